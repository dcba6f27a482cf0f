"""Open an inventory; one that is damaged is moved aside, and what it knew is worked out anew."""

from __future__ import annotations

from pathlib import Path

from reconciler.adapters.base.files import sync_folder, translated
from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.run_lock import RunLock
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.reporting import Reporter
from reconciler.errors import InventoryDamaged


def open_inventory(
    state: Path,
    *,
    for_writing: bool,
    check: bool,
    clock: Clock,
    reporter: Reporter,
    lock_timeout_seconds: float,
) -> Inventory:
    """Open the inventory in `state`; one that is found damaged here counts as lost.

    For writing it is moved aside, under the run lock, so that nobody moves the new one that a
    run at work has just begun. For reading it stays, and an empty one in memory takes its place.
    `check` is as for `Inventory`.

    Raises:
        LockHeld: it is damaged, and another run holds the folder.
        ReconcilerError: as `Inventory` says.
    """
    try:
        return Inventory(state, for_writing=for_writing, check=check)
    except InventoryDamaged as error:
        if not for_writing:
            reporter.warn(
                f"{error.message}; it counts as lost",
                "the next run moves it aside and begins a new one",
            )
            return Inventory(state, for_writing=False, lost=True)
    with RunLock(state, timeout_seconds=lock_timeout_seconds, clock=clock, reporter=reporter):
        try:
            return Inventory(state, for_writing=True)
        except InventoryDamaged as error:
            aside = _move_aside(state / "inventory.db", f"{clock.now():%Y%m%dT%H%M%SZ}")
            reporter.warn(
                f"{error.message}; it lies now at {aside}, and a new one is begun",
                "what is ours is worked out from the disk, the lock and the config; "
                "past runs are only in the old one",
            )
        return Inventory(state, for_writing=True)


def _move_aside(path: Path, when: str) -> Path:
    """Rename a database and what belongs to it; gives its new name."""
    aside = path.with_name(f"{path.name}.damaged-{when}")
    with translated(path, "moving aside"):
        for ending in ("-wal", "-shm"):
            beside = path.with_name(path.name + ending)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + ending))
        path.rename(aside)
        sync_folder(path.parent)
    return aside
