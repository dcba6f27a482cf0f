"""The ledger: what we last applied, and so what we own.

Whatever is on the host and not in here is somebody else's: never removed, never overwritten. The
ledger also keeps what is needed to undo: for each config field we replaced, the text that stood
there before us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.values import Json


class Provenance(StrEnum):
    """Who put a file at its place."""

    BROUGHT = "brought"
    FOUND = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFile:
    """One file that a model of ours uses. Only a brought one may ever be pruned."""

    path: RelPath
    size_bytes: int
    sha256: Sha256
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerField:
    """One field of a config entry that we enforce.

    `value` is what we last wrote (or found equal). `original` is the text that stood in its place
    before us and `original_value` what it meant, None where there was nothing. `found` marks a
    field that was equal by chance, which is left as it is when we go. `scaffold` marks one that
    nobody declared: we filled it in, and leave it once somebody edits it. `left` is what somebody
    made of the field and we have left, and told of (None: nothing).
    """

    value: Json
    original: str | None = None
    original_value: Json = None
    found: bool = False
    scaffold: bool = False
    left: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One model's entry in llama-swap's config. `made` means the whole entry is ours.

    `original_key` is the ID that an entry of somebody else had before we renamed it.
    """

    made: bool
    fields: Mapping[str, LedgerField]
    original_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerGroup:
    """One model's membership in llama-swap's group `name`.

    `found` marks one that somebody else had made, which is left as it is when we go.
    """

    name: str
    found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerModel:
    """One model we last applied: its files by path, its entry, and whether it is protected.

    `source` is the manifest's word on where it comes from; empty where nobody knows any more.
    `discovered` is the first path of one that no manifest declares: we made its entry, and its
    files, which are not in the ledger, are not ours. `group` is the group that the manifest put it
    in.
    """

    id: ModelId
    files: tuple[RelPath, ...]
    entry: LedgerEntry | None = None
    protect: bool = False
    source: str = ""
    discovered: RelPath | None = None
    group: LedgerGroup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePlace:
    """A place of llama-swap's config that we made for members of a group, by the keys to it.

    `filled` is the text of the empty value that stood there before us; None where nothing did, so
    that the key itself is ours.
    """

    place: tuple[str, ...]
    filled: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """What we made around our entries in llama-swap's config, to be undone with the last one.

    `models_key`: we added the `models:` key itself. `models_value`: the text of an empty or null
    value that we replaced (None: none was). `groups` are the places made for members of groups,
    each undone with the last member of ours below it.
    """

    models_key: bool = False
    models_value: str | None = None
    groups: tuple[MadePlace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All that we last applied to one models folder.

    `device` is the device number of the models folder (the mount sentinel). `config_path` is the
    config that the entries stand in, `container` the one that served it (empty: none).
    `reload_pending` says that the server may still run with an older config than the one on disk.
    `stalled` is the digest of the manifest and lock that last failed the health gate, with the
    reason.
    """

    models: Mapping[ModelId, LedgerModel] = field(default_factory=dict)
    files: Mapping[RelPath, LedgerFile] = field(default_factory=dict)
    scaffold: Scaffold = field(default_factory=Scaffold)
    config_path: str | None = None
    container: str = ""
    device: int | None = None
    reload_pending: bool = False
    stalled: str | None = None
    stalled_reason: str = ""
