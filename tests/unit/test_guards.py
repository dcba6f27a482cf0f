"""Guards: what is refused, how many may go, and what lifts each refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.desired import Desired
from reconciler.core.guards import allowed_removals
from reconciler.core.ledger import Ledger
from reconciler.core.manifest import Policy
from reconciler.core.names import ModelId
from reconciler.core.observed import Observed
from reconciler.core.plan import Plan
from tests.support.worlds import World, desired, model, planned


def refusals(
    world: World, *models: str, allow_prune: bool = False, max_prune: float = 0.25
) -> list[str]:
    """Give why a plan for these models is refused."""
    wanted = desired(*(model(name) for name in models), policy=Policy(max_prune=max_prune))
    return [item.message for item in world.plan(wanted, allow_prune=allow_prune).refusals]


def world_of(*models: str) -> World:
    """Give a world with these models applied."""
    return World().reached(desired(*(model(name) for name in models)))


@pytest.mark.parametrize(
    ("max_prune", "owned", "allowed"),
    [(0.25, 8, 2), (0.25, 7, 1), (0.25, 3, 1), (0.25, 1, 0), (0.0, 5, 1), (3, 10, 3), (3, 3, 2)],
)
def test_so_many_may_go(max_prune: float, owned: int, allowed: int) -> None:
    """A share is rounded down, a count is taken as it is; one may always go, except the last."""
    assert allowed_removals(max_prune, owned) == allowed


@given(share=st.floats(0, 1) | st.integers(0, 50), owned=st.integers(1, 50))
def test_never_all_and_never_none_but_the_last(share: float, owned: int) -> None:
    """Whatever the policy says, the last model needs a second word, any other single one none."""
    assert min(1, owned - 1) <= allowed_removals(share, owned) <= owned - 1


def test_too_many_removals_are_refused_until_allowed() -> None:
    """Two of four pass no guard of a quarter; one does; --allow-prune lifts it."""
    world = world_of("a", "b", "c", "d")
    assert refusals(world, "a", "b") == [
        "this would remove 2 of 4 models; policy.max_prune allows 1"
    ]
    assert refusals(world, "a", "b", "c") == []
    assert refusals(world, "a", "b", allow_prune=True) == []
    assert refusals(world, "a", "b", max_prune=2) == []


def test_removing_everything_is_refused_even_where_others_come() -> None:
    """A manifest that shares no model with the last one is more often a mistake."""
    world = world_of("a")
    assert refusals(world) == ["this would remove every model (1 of 1)"]
    assert refusals(world, "b") == ["this would remove every model (1 of 1)"]


def test_disabling_is_no_removal() -> None:
    """A disabled model keeps its bytes, so any number of them passes."""
    world = world_of("a", "b")
    off = desired(model("a", enabled=False), model("b", enabled=False))
    assert world.plan(off, allow_prune=False).refusals == ()


def test_protected_model_neither_goes_nor_loses_its_entry() -> None:
    """Protection holds whatever is allowed, until `protect: false` was applied once."""
    world = World().reached(desired(model("a", protect=True), model("b")))
    for plan in (
        world.plan(desired(model("b")), allow_prune=True),
        world.plan(desired(model("a", enabled=False), model("b")), allow_prune=True),
        world.plan(desired(model("a", enabled=False, protect=False), model("b"))),
    ):
        assert [item.message for item in plan.refusals] == [
            "a is protected, and this would take it out"
        ]
    assert world.plan(desired(model("a"), model("b"))).refusals == ()
    kept = world.reached(desired(model("a"), model("b")))
    assert kept.ledger.models[ModelId("a")].protect
    lifted = world.reached(desired(model("a", protect=False), model("b")))
    assert refusals(lifted, "b") == []


def test_nothing_is_removed_from_another_device() -> None:
    """A models folder that lies on another device than recorded may be an empty mount point: a
    plan that would remove is refused, one that only adds is not, and --allow-prune lifts it.
    """
    world = world_of("a", "b")
    elsewhere = replace(world, ledger=replace(world.ledger, device=2))
    assert "another device" in refusals(elsewhere, "a")[0]
    assert refusals(elsewhere, "a", "b", "c") == []
    assert refusals(elsewhere, "a", allow_prune=True) == []
    assert refusals(replace(world, ledger=replace(world.ledger, device=None)), "a") == []


def test_entry_in_a_config_that_is_not_managed_now_is_not_orphaned() -> None:
    """Without its config a model with an entry cannot go, be it removed or disabled: the message
    names the config.
    """
    world = world_of("a", "b")
    blind = replace(world.observed(), config_path=None, config=None)
    for wanted in (desired(model("a")), desired(model("a"), model("b", enabled=False))):
        plan = build(wanted, blind, world.ledger)
        assert [item.message for item in plan.refusals] == [
            "the entry of b stands in /etc/config.yaml, which this run does not manage"
        ]
    assert build(desired(model("a"), model("b")), blind, world.ledger).refusals == ()


def build(wanted: Desired, observed: Observed, ledger: Ledger) -> Plan:
    """Plan without a world."""
    return planned(wanted, observed, ledger)


def test_plan_that_takes_anything_away_asks_first() -> None:
    """A removal, a disabling and a file that goes are asked about; additions are not."""
    world = world_of("a", "b")
    assert world.plan(desired(model("a"))).takes_away
    assert world.plan(desired(model("a"), model("b", enabled=False))).takes_away
    assert not world.plan(desired(model("a"), model("b"), model("c"))).takes_away
    assert not world.plan(desired(model("a"), model("b"))).takes_away
