"""A file of ours that only changes its name is told apart from one that is wanted twice."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.copies import Copy, Store
from reconciler.core.file_actions import renamed_files
from reconciler.core.manifest import Policy
from reconciler.core.manifest import Prune as PrunePolicy
from reconciler.core.names import RelPath
from reconciler.core.plan import Plan
from tests.support.worlds import World, desired, digest, model, pinned, planned

OLD = RelPath("acme/old/m.gguf")


def plan_for(*names: str, store: Store = Store.OURS, policy: Policy | None = None) -> Plan:
    """Plan for models with the bytes of `old`, which is applied; `store` says whose they are."""
    world = World().reached(desired(model("old", pinned("old", "same"))))
    copy = Copy(path=f"/models/{OLD}", store=store)
    return planned(
        desired(*(model(name, pinned(name, "same")) for name in names), policy=policy),
        replace(world.observed(), copies={digest("same"): copy}),
        world.ledger,
        allow_prune=True,
    )


def test_a_file_whose_old_name_goes_is_renamed() -> None:
    """One path comes and one goes, and both mean the same bytes of ours."""
    assert renamed_files(plan_for("new").actions, "/models") == {digest("same"): OLD}


def test_a_file_that_stays_or_is_wanted_twice_is_not() -> None:
    """Its bytes are needed under more than one name; or its old name is kept."""
    assert renamed_files(plan_for("old", "new").actions, "/models") == {}
    assert renamed_files(plan_for("new", "newer").actions, "/models") == {}
    kept = plan_for("new", policy=Policy(prune=PrunePolicy.KEEP))
    assert renamed_files(kept.actions, "/models") == {}


def test_a_file_of_others_is_never_renamed() -> None:
    """What we did not bring is not ours to move."""
    plan = plan_for("new", store=Store.MODELS_FOLDER)
    assert renamed_files(plan.actions, "/models") == {}
