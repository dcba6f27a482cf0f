"""The actions a plan is made of: small values, each saying what, where and why.

`reason` is for people; nothing ever branches on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.copies import Store
from reconciler.core.llamaswap.groups import GroupMove
from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.ownership import FieldChange
from reconciler.core.reload import Strategy
from reconciler.core.source import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyTrash:
    """Delete for good what `run` took away, so that there is room for what is brought.

    `frees_bytes` of its `size_bytes` have no other name on this disk.
    """

    run: str
    files: int
    size_bytes: int
    frees_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Bring a file's bytes over the network into the partial folder; `have_bytes` are there."""

    model: ModelId
    path: RelPath
    size_bytes: int
    have_bytes: int
    sha256: Sha256
    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Take a file's bytes from this machine, `origin` being where they come from otherwise.

    `source` is an absolute path, and `store` says whose; both tell of a hint until the bytes were
    hashed. `source` is empty where an earlier run has staged them.
    """

    model: ModelId
    path: RelPath
    size_bytes: int
    sha256: Sha256
    source: str
    store: Store
    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Make a verified file visible under its name, where nothing stands."""

    model: ModelId
    path: RelPath
    size_bytes: int
    sha256: Sha256
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Put verified bytes in the place of older ones of ours, which go to the trash."""

    model: ModelId
    path: RelPath
    size_bytes: int
    sha256: Sha256
    old_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEntry:
    """Write a model's entry in llama-swap's config, some of its fields, or its membership.

    `group` is what becomes of its membership of a group; None where that stays.
    """

    model: ModelId
    new: bool
    changes: tuple[FieldChange, ...]
    reason: str
    group: GroupMove | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveEntry:
    """Take what is ours of a model's entry, and of its membership, out of llama-swap's config."""

    model: ModelId
    whole: bool
    reason: str
    group: GroupMove | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """Give a model that was `old` its new ID, in the ledger and as its entry's key.

    Its files and its pin stay as they are.
    """

    model: ModelId
    old: ModelId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditReference:
    """Let a reference in llama-swap's config follow `model`, to which it led as `before`.

    `kind` says what refers to it, `place` by which keys, and `line` where. `after` is the name it
    gets; None takes it out.
    """

    model: ModelId
    kind: str
    place: str
    line: int
    before: str
    after: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """Have llama-swap take its config anew, without an end of the container.

    `strategy` is the way that is tried first; `how` says what makes that one work.
    """

    container: str
    strategy: Strategy
    how: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Restart the container, so that llama-swap serves what the config says."""

    container: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unload:
    """Stop models whose bytes change under a path that stays, so that they load the new ones."""

    container: str
    models: tuple[ModelId, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Take away a file of ours that no model wants, after the health gate."""

    path: RelPath
    size_bytes: int
    to_trash: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Stop speaking of a file; nothing on disk is touched."""

    path: RelPath
    reason: str


Action = (
    EmptyTrash
    | Download
    | Adopt
    | Place
    | Replace
    | Rename
    | SetEntry
    | RemoveEntry
    | EditReference
    | Reload
    | Restart
    | Unload
    | Prune
    | Forget
)
