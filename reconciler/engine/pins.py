"""The lock alone: pin what is not pinned, or move pins that are. Nothing on the host changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import Manifest
from reconciler.core.moved_pins import counting_pins
from reconciler.core.names import ModelId
from reconciler.core.pin_names import under_new_names
from reconciler.core.ports.digests import LocalFiles
from reconciler.core.ports.hub import Hub
from reconciler.core.ports.texts import LockFile
from reconciler.core.ports.transfer import Transfer
from reconciler.core.reading.lock_text import parse_lock, render_lock
from reconciler.engine.host_pins import read_moved
from reconciler.engine.resolve import resolve
from reconciler.errors import ReconcilerError


@dataclass(frozen=True, slots=True, kw_only=True)
class PinChanges:
    """What became of the pins. `dropped` are pins of models that nobody declares any more."""

    pinned: tuple[ModelId, ...]
    moved: tuple[ModelId, ...]
    dropped: tuple[ModelId, ...]
    stalled: Mapping[ModelId, ReconcilerError]

    @property
    def is_empty(self) -> bool:
        """Whether the lock is as it should be."""
        return not (self.pinned or self.moved or self.dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSources:
    """What pins are made from: the hub, plain URLs, local files, and what a host keeps for itself.

    The last is `moved`, None where no host is known.
    """

    hub: Hub
    transfer: Transfer
    local: LocalFiles
    models_dir: str | None
    moved: LockFile | None = None
    moved_path: str = ""


def change_pins(
    manifest: Manifest,
    file: LockFile,
    path: str,
    sources: PinSources,
    *,
    move: Collection[ModelId] = (),
    write: bool,
) -> PinChanges:
    """Resolve what is not pinned and move the pins of `move`; write the lock if that is wanted.

    What the lock lacks and a host has pinned for itself is taken from there. That a host has moved
    a tracked pin changes nothing here.

    Raises:
        LockInvalid: the lock cannot be read.
        Refused, DiskFull: it cannot be written.
    """
    before_text = file.read()
    before = parse_lock(before_text, path) if before_text is not None else Lock()
    here = _kept_here(manifest, before, sources)
    resolution = resolve(
        manifest,
        Lock(pins={**before.pins, **here}),
        hub=sources.hub,
        transfer=sources.transfer,
        local=sources.local,
        models_dir=sources.models_dir,
        move=move,
    )
    after = resolution.lock
    if not write:
        before = Lock(pins={**before.pins, **here})
    if write and after != before:
        file.write(render_lock(after))
    changed = [key for key in after.pins if after.pins[key] != before.pins.get(key)]
    return PinChanges(
        pinned=tuple(key for key in changed if key not in before.pins),
        moved=tuple(key for key in changed if key in before.pins),
        dropped=tuple(key for key in before.pins if key not in after.pins),
        stalled=resolution.stalled,
    )


def _kept_here(manifest: Manifest, lock: Lock, sources: PinSources) -> Mapping[ModelId, Pin]:
    if sources.moved is None:
        return {}
    _, moved = read_moved(sources.moved, sources.moved_path)
    models = manifest.models
    lock = Lock(pins=under_new_names(lock.pins, models))
    return counting_pins(lock, moved.renamed(models), models, tracked=False)
