"""Delete for good what is kept beside the models: each step can be done twice without harm."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.core.actions import EmptyTrash
from reconciler.core.keeping import expired
from reconciler.core.plan import Plan
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.store import Inventory, ModelsFolder
from reconciler.core.prune import PruneLimits, PrunePlan, plan_prune
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError


def prepare_prune(
    folder: ModelsFolder, inventory: Inventory, clock: Clock, limits: PruneLimits
) -> PrunePlan:
    """Look at trash and partial downloads, and choose; nothing is changed."""
    return plan_prune(
        folder.trashed_runs(),
        folder.leftovers(),
        limits=limits,
        unfinished=inventory.load_rollout(),
        now=clock.now(),
    )


def carry_out_prune(folder: ModelsFolder, plan: PrunePlan) -> None:
    """Delete what the plan names. The caller holds the run lock. Raises `ReconcilerError`."""
    for run in plan.trash:
        folder.empty_trash(run.run)
    for item in plan.partials:
        folder.delete_leftover(item.name)


def make_room(plan: Plan, host: Host) -> None:
    """Empty the trash as far as the plan says, before anything is brought.

    Raises `ReconcilerError` where something cannot be deleted.
    """
    _empty((item.run for item in plan.actions if isinstance(item, EmptyTrash)), host.folder)


def drop_old_trash(host: Host) -> None:
    """Empty what has been in the trash for its time to live; what cannot go is only told."""
    try:
        old = expired(
            host.folder.trashed_runs(), now=host.clock.now(), ttl_seconds=host.trash_ttl_seconds
        )
        _empty((item.run for item in old), host.folder)
    except ReconcilerError as error:
        host.reporter.warn(f"the trash could not be emptied: {error.message}", error.hint)


def _empty(runs: Iterable[str], folder: ModelsFolder) -> None:
    for run in runs:
        folder.empty_trash(run)
