"""Observed state: a snapshot of the disk, llama-swap's config and its container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.core.copies import Copy
from reconciler.core.filesystems import Mount, Room
from reconciler.core.identity import FileIdentity
from reconciler.core.keeping import TrashedRun
from reconciler.core.names import RelPath, Sha256

if TYPE_CHECKING:
    from reconciler.core.gguf.facts import GgufFacts
    from reconciler.core.gguf.seen import SeenHeader
    from reconciler.core.siblings import Siblings


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFile:
    """One file below the models folder. `sha256` is None where size alone settled the question."""

    path: RelPath
    identity: FileIdentity
    sha256: Sha256 | None
    links: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """One GGUF file below the models folder; what it says of itself is None where nobody looked.

    `problem` says why its header cannot be read, and is empty where it can, or where nobody did.
    """

    path: RelPath
    size_bytes: int
    architecture: str | None = None
    quant: str | None = None
    type: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """The GGUF files below the models folder, declared or not, sorted by path.

    `unreadable` are paths that a generated entry serves and that cannot be looked at now. `headers`
    is what those of undeclared files say, to be kept; it decides nothing that `files` does not say.
    """

    files: tuple[GgufFile, ...] = ()
    unreadable: frozenset[RelPath] = frozenset()
    headers: Mapping[FileIdentity, SeenHeader] = field(default_factory=dict, repr=False)


class RuntimeStatus(StrEnum):
    """How the thing that runs llama-swap stands."""

    RUNNING = "running"
    STOPPED = "stopped"
    UNMANAGED = "unmanaged"


class Sight(StrEnum):
    """How what runs llama-swap sees a path."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    READABLE = "readable"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMapping:
    """One folder or file as seen from both sides: here on the host, and inside the container."""

    host: str
    container: str
    writable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """What runs llama-swap, and how it sees our files.

    `kind` is `docker`, `command` or `none`. `endpoint` and `id` say which engine and container, for
    the plan. `mappings` are the container's mounts; `config_path` is llama-swap's config as a path
    here (None where it cannot be told); `config_is_mount` says that this one file is a mount of its
    own, so that a rename would not be seen inside. `config_dir` is the folder whose configs it
    merges, as a path here (None: it was started without one). `url` is where it answers (None:
    unknown).

    `config_inside` is the config's path as llama-swap names it, `config_dir_inside` the folder's.
    `watches` says whether llama-swap watches its config by itself (None: not known, which is not
    the same as no). `restart_policy` is the engine's word ("no", "always", "unless-stopped",
    "on-failure"; empty: not known), `is_restarting` that it is between two starts right now, and
    `stop_grace_seconds` what the engine gives it to end (None: not known). `user` is who it was
    told to run as, `has_health_check` whether the engine asks it for its health, `listen_port`
    where llama-swap listens inside, and `command` what it was made with, without its entrypoint.
    `problems` are what could not be found out, and why. `reloads_by` says, of the kind `command`,
    for which of `signal` and `restart` there is a command, the gentler first. `has_log`: what it
    logs from a moment on can be read.
    """

    kind: str
    status: RuntimeStatus
    name: str = ""
    id: str = ""
    endpoint: str = ""
    mappings: tuple[PathMapping, ...] = ()
    config_path: str | None = None
    config_is_mount: bool = False
    config_dir: str | None = None
    url: str | None = None
    config_inside: str | None = None
    config_dir_inside: str | None = None
    watches: bool | None = None
    restart_policy: str = ""
    is_restarting: bool = False
    stop_grace_seconds: int | None = None
    user: str = ""
    has_health_check: bool = False
    listen_port: str = ""
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    reloads_by: tuple[str, ...] = ()
    has_log: bool = True

    @property
    def is_container(self) -> bool:
        """Whether it sees files through mounts; else it sees them as this host does."""
        return self.kind == "docker"

    @property
    def called(self) -> str:
        """What a message calls it."""
        return f"container {self.name}" if self.name else "llama-swap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The host as it was a moment ago.

    `files` holds every file at a path that the desired state or the ledger names; `obstacles` says,
    for a path that a model wants and where its bytes are not, why none can be placed there.
    `staged_bytes`
    says how much of a wanted digest is already in our partial folder. `copies` gives, for a wanted
    digest, a file of this machine that has it, or says so by its name. `config` is the bytes of
    llama-swap's config, None where there is no such file.

    `room` is that of the models folder, `config_room` that of the config's (None: none is managed).
    The rest is looked at only where bytes are wanted: `mount` and `config_mount` are what both lie
    on (None: not known), `staged_disk_bytes` what a wanted digest takes up on the disk already,
    `shared` those that can be taken from a file of this machine without a copy, and `trash_bytes`
    what emptying the trash would free, `trash` what is in it, run by run. `on_disk` is None unless
    the manifest asks for files that no model declares.

    `siblings` are the other files that llama-swap merges with the config, None where it reads no
    folder of them. `old_config` is the bytes of the file that the ledger says our entries stand in,
    where that is another one now.

    `version` is the build of the llama-swap that runs, and `facts` what the headers of files that
    are wanted say, by their digest. Both are looked at only where the plan changes the config: a
    build that does not say and a header that was not read are missing.
    """

    models_dir: str
    device: int
    files: Mapping[RelPath, ObservedFile] = field(default_factory=dict)
    obstacles: Mapping[RelPath, str] = field(default_factory=dict)
    staged_bytes: Mapping[Sha256, int] = field(default_factory=dict)
    copies: Mapping[Sha256, Copy] = field(default_factory=dict)
    config_path: str | None = None
    config: bytes | None = None
    siblings: Siblings | None = None
    old_config: bytes | None = None
    runtime: RuntimeState
    room: Room
    config_room: Room | None = None
    mount: Mount | None = None
    config_mount: Mount | None = None
    staged_disk_bytes: Mapping[Sha256, int] = field(default_factory=dict)
    shared: frozenset[Sha256] = frozenset()
    trash_bytes: int = 0
    trash: tuple[TrashedRun, ...] = ()
    on_disk: OnDisk | None = None
    version: int | None = None
    facts: Mapping[Sha256, GgufFacts] = field(default_factory=dict)
