"""What `doctor` looks at, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core.filesystems import Mount, Room
from reconciler.core.observed import RuntimeState, Sight


class Severity(StrEnum):
    """How much a finding matters: whether something does not work, or only may not one day."""

    ERROR = "error"
    WARNING = "warning"


class Access(StrEnum):
    """What llama-swap answers us."""

    OPEN = "open"
    KEY_MISSING = "key missing"
    KEY_REFUSED = "key refused"
    SILENT = "silent"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Why something could not be looked at, in the words of the error that said so."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: what it is, why that matters, and how it is mended.

    `rule` names the kind of finding, for machines. `commands` are lines for a shell on this host,
    and `compose` lines of a compose file; where neither is given, `mend` says it all.
    """

    rule: str
    severity: Severity
    what: str
    why: str
    mend: str
    commands: tuple[str, ...] = ()
    compose: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What could be found out. A part that could not be looked at has its complaint instead.

    `runtime` is None only with `runtime_problem`. `data` is the config as llama-swap merges it,
    None where there is none that can be read, and `config_faults` say with file and line what
    llama-swap refuses in it. `config_here` and `config_inside` are its bytes as we and as
    llama-swap see them, None where nobody can say. `sights` tell how llama-swap sees its config,
    the models folder and the files that entries name, by the paths it has for them. `here` are the
    host's paths of such files, those that are there. `declared` are the models that the manifest
    names. `sought` is the container that was looked for, where nobody said what runs llama-swap.
    `log` is the container's last words, where it does not answer.
    """

    runtime: RuntimeState | None
    runtime_problem: Complaint | None = None
    models_dir: str | None = None
    models_problem: Complaint | None = None
    mount: Mount | None = None
    room: Room | None = None
    reserve_bytes: int = 0
    config_path: str | None = None
    config_problem: Complaint | None = None
    data: Mapping[str, object] | None = None
    config_faults: tuple[str, ...] = ()
    config_here: bytes | None = None
    config_inside: bytes | None = None
    sights: Mapping[str, Sight] = field(default_factory=dict)
    here: frozenset[str] = frozenset()
    access: Access = Access.NOT_ASKED
    version: int | None = None
    declared: frozenset[str] = frozenset()
    sought: str = ""
    log: tuple[str, ...] = ()
