"""Which requests a rollout would cut, so that their end is waited for first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.actions import Reload, Restart, Unload
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.rollout import RolloutState

if TYPE_CHECKING:
    from reconciler.core.plan import Plan
    from reconciler.core.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whose requests would be cut: those of `models`, or with None all of them."""

    models: frozenset[str] | None = None

    def covers(self, model: str) -> bool:
        """Whether the requests of a model would be cut; those of one without a name may be."""
        return self.models is None or not model or model in self.models

    def count(self, requests: Mapping[str, int]) -> int:
        """Count those of `requests`, given by model, that would be cut."""
        return sum(number for model, number in requests.items() if self.covers(model))


def reach_of(plan: Plan, state: RuntimeState) -> Reach | None:
    """Say whose requests a plan cuts; None where that is nobody's."""
    return _reach(
        state,
        reloads=any(isinstance(item, Reload | Restart) for item in plan.actions),
        changes_config=plan.config_after is not None and plan.config_after != plan.config_before,
        unloads={
            str(model) for item in plan.actions if isinstance(item, Unload) for model in item.models
        },
    )


def reach_of_rest(rollout: Rollout, state: RuntimeState) -> Reach | None:
    """Say whose requests are cut by bringing a rollout to its end, forward or back; None: nobody's.

    Which models use the files that it replaces is not written down, so that it may be any.
    """
    if rollout.state is RolloutState.PASSED:
        return None
    replaces = any(move.trash for move in rollout.moves)
    return _reach(state, reloads=replaces, changes_config=rollout.changes_config)


def _reach(
    state: RuntimeState, *, reloads: bool, changes_config: bool, unloads: Collection[str] = ()
) -> Reach | None:
    if state.status is RuntimeStatus.STOPPED or state.url is None:
        return None
    # A config that is only written may still be noticed by whoever watches it.
    if reloads or (changes_config and state.watches is not False):
        return Reach()
    return Reach(models=frozenset(unloads)) if unloads else None
