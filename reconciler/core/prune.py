"""What `prune` would delete: trash and partial downloads, and never what a rollout still needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.core.keeping import Leftover, TrashedRun, expired
from reconciler.core.rollout import Rollout

# A partial download that nobody has written to for so long is not waited for any more.
STALE_SECONDS: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneLimits:
    """How old something must be to go, in seconds: what is in the trash, and what is unfinished."""

    trash_seconds: float
    partials_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What would be deleted for good. `kept` says what must stay, and why."""

    trash: tuple[TrashedRun, ...] = ()
    partials: tuple[Leftover, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.trash or self.partials)

    @property
    def frees_bytes(self) -> int:
        """How many bytes are free once it is done."""
        return sum(item.frees_bytes for item in self.trash) + sum(
            item.frees_bytes for item in self.partials
        )


def plan_prune(
    trash: Sequence[TrashedRun],
    partials: Sequence[Leftover],
    *,
    limits: PruneLimits,
    unfinished: Rollout | None,
    now: datetime,
) -> PrunePlan:
    """Choose what is older than `limits`.

    `unfinished` is a rollout that was cut short: what it has staged and taken away is what the next
    run finishes it with, or goes back by.
    """
    old_trash = expired(trash, now=now, ttl_seconds=limits.trash_seconds)
    old_partials = tuple(
        item
        for item in partials
        if (now - item.touched_at).total_seconds() > limits.partials_seconds
    )
    if unfinished is None:
        return PrunePlan(trash=old_trash, partials=old_partials)
    staged = {move.staged.removeprefix("partial/") for move in unfinished.moves}
    return PrunePlan(
        trash=tuple(item for item in old_trash if item.run != unfinished.run),
        partials=tuple(item for item in old_partials if item.name not in staged),
        kept=(f"run {unfinished.run} was cut short: what it needs stays until a run finishes it",),
    )
