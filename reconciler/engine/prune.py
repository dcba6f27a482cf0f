"""Delete for good what is kept beside the models: each step can be done twice without harm."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from reconciler.core.actions import EmptyTrash
from reconciler.core.names import Sha256
from reconciler.core.plan import Plan
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.store import Inventory, ModelsFolder
from reconciler.core.prune import STALE_SECONDS, PruneLimits, PrunePlan, plan_prune
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


def carry_out_prune(folder: ModelsFolder, inventory: Inventory, plan: PrunePlan) -> None:
    """Delete what the plan names. The caller holds the run lock. Raises `ReconcilerError`."""
    _empty((run.run for run in plan.trash), folder, inventory)
    inventory.forget_digests(
        [gone for item in plan.partials for gone in folder.delete_leftover(item.name)]
    )


def make_room(plan: Plan, host: Host) -> None:
    """Empty the trash as far as the plan says, before anything is brought.

    Raises `ReconcilerError` where something cannot be deleted.
    """
    runs = (item.run for item in plan.actions if isinstance(item, EmptyTrash))
    _empty(runs, host.folder, host.inventory)


def drop_old(host: Host, wanted: Collection[Sha256]) -> None:
    """Delete what was kept for its time: old trash, and stale downloads of what is not `wanted`.

    What cannot go is only told.
    """
    limits = PruneLimits(trash_seconds=host.trash_ttl_seconds, partials_seconds=STALE_SECONDS)
    try:
        plan = prepare_prune(host.folder, host.inventory, host.clock, limits)
        unwanted = tuple(item for item in plan.partials if item.name not in wanted)
        carry_out_prune(host.folder, host.inventory, replace(plan, partials=unwanted))
    except ReconcilerError as error:
        host.reporter.warn(
            f"what is kept beside the models could not be emptied: {error.message}", error.hint
        )


def _empty(runs: Iterable[str], folder: ModelsFolder, inventory: Inventory) -> None:
    # Once they are gone: killed in between, some rows stay that nobody asks for.
    inventory.forget_digests([gone for run in runs for gone in folder.empty_trash(run)])
