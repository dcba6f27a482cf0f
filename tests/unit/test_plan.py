"""The plan: what follows from three states, and what must never follow."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import Download, Forget, Prune, RemoveEntry, SetEntry
from reconciler.core.desired import Desired, DesiredModel
from reconciler.core.ledger import Provenance
from reconciler.core.manifest import Policy, Serve
from reconciler.core.manifest import Prune as PrunePolicy
from reconciler.core.names import ModelId, RelPath
from tests.support.searching import trying
from tests.support.worlds import CONFIG, World, desired, digest, model, pinned

A, B = RelPath("acme/a/m.gguf"), RelPath("acme/b/m.gguf")


def kinds(plan_actions: object) -> list[str]:
    """Give the names of the actions."""
    assert isinstance(plan_actions, tuple)
    return [type(action).__name__ for action in plan_actions]


def test_actions_stand_in_their_fixed_order() -> None:
    """Bytes first, then what shows, then the restart, and what nobody wants goes last."""
    world = World().reached(desired(model("a")))
    plan = world.plan(desired(model("b")))
    assert kinds(plan.actions) == ["Download", "Place", "SetEntry", "RemoveEntry", "Prune"]
    running = replace(world, running=True).plan(desired(model("b")))
    assert kinds(running.actions)[-2:] == ["Restart", "Prune"]


def test_every_action_has_a_reason() -> None:
    """Nothing is done, and nothing is skipped over, without saying why."""
    world = World().reached(desired(model("a"), model("b")))
    plan = world.plan(desired(model("b", pinned("b", "b-2"))))
    assert len(plan.actions) >= 4
    assert all(action.reason for action in plan.actions)


def test_unresolved_model_keeps_what_it_has() -> None:
    """A model that cannot be resolved now loses neither files nor entry nor its place in the
    ledger, and its removal is not taken for one.
    """
    world = World().reached(desired(model("a"), model("b")))
    plan = world.plan(desired(model("b"), stalled={"a": "gone"}))
    assert plan.actions == ()
    assert plan.ledger_after == world.ledger
    assert list(plan.stalled) == ["a"]


def test_found_file_is_forgotten_and_never_pruned() -> None:
    """A file that lay at its place before us is used, recorded as found, and left when we go."""
    world = World(contents={A: digest("a-1")}).reached(desired(model("a")))
    assert world.ledger.files[A].provenance is Provenance.FOUND
    plan = world.plan(desired())
    assert [type(item) for item in plan.actions] == [RemoveEntry, Forget]


def test_file_that_somebody_replaced_is_not_pruned() -> None:
    """A file of ours whose bytes are no longer the ones we placed is somebody's work: it stays."""
    world = World().reached(desired(model("a")))
    changed = replace(world, contents={A: digest("theirs")})
    actions = changed.plan(desired()).actions
    assert not [item for item in actions if isinstance(item, Prune)]


def test_policy_decides_what_becomes_of_unwanted_files() -> None:
    """`trash` moves, `delete` deletes, `keep` forgets."""
    world = World().reached(desired(model("a"), model("b")))
    seen = {}
    for policy in PrunePolicy:
        wanted = desired(model("b"), policy=Policy(prune=policy))
        seen[policy] = [
            item for item in world.plan(wanted).actions if isinstance(item, Prune | Forget)
        ]
    assert [item.to_trash for item in seen[PrunePolicy.TRASH] if isinstance(item, Prune)] == [True]
    assert [item.to_trash for item in seen[PrunePolicy.DELETE] if isinstance(item, Prune)] == [
        False
    ]
    assert [type(item) for item in seen[PrunePolicy.KEEP]] == [Forget]


def test_full_disk_refuses_the_plan() -> None:
    """What must be fetched must fit; the refusal says how much is needed and how much is free."""
    plan = replace(World(), free_bytes=60).plan(desired(model("a")))
    assert [refusal.message for refusal in plan.refusals] == [
        "/models has no room for this: 100 B must be brought, but only 60 B are free"
    ]


def test_same_facts_give_the_same_fingerprint_and_others_another() -> None:
    """The fingerprint names what a plan was decided on: it changes with any of it."""
    world = World().reached(desired(model("a")))
    wanted = desired(model("a"))
    same = world.plan(wanted).fingerprint
    assert world.plan(wanted).fingerprint == same
    others = [
        replace(world, config=world.config + b"# more\n").plan(wanted).fingerprint,
        replace(world, contents={A: digest("x")}).plan(wanted).fingerprint,
        world.plan(replace(wanted, digest="other")).fingerprint,
        replace(world, ledger=replace(world.ledger, reload_pending=True)).plan(wanted).fingerprint,
    ]
    assert len({same, *others}) == 5


def test_pending_reload_is_made_up_for() -> None:
    """A server that was never told of the config on disk is restarted, even if nothing else is to
    do, and once that is done the ledger says so; without a container nothing is restarted.
    """
    world = World(running=True).reached(desired(model("a")))
    pending = replace(world, ledger=replace(world.ledger, reload_pending=True))
    plan = pending.plan(desired(model("a")))
    assert kinds(plan.actions) == ["Restart"]
    assert pending.applied(plan).plan(desired(model("a"))).is_empty
    assert replace(pending, running=False).plan(desired(model("a"))).is_empty


def test_disabled_model_claims_its_files() -> None:
    """A disabled model loses its entry and keeps its files; one never applied brings none."""
    world = World().reached(desired(model("a")))
    plan = world.plan(desired(model("a", enabled=False), model("b", enabled=False)))
    assert kinds(plan.actions) == ["RemoveEntry"]
    after = world.applied(plan)
    assert after.contents == world.contents
    assert after.plan(desired(model("a", enabled=False), model("b", enabled=False))).is_empty


names = st.sampled_from(["a", "b", "c", "d"])
serves = st.builds(
    Serve,
    args=st.none() | st.dictionaries(st.sampled_from(["ctx-size", "jinja"]), st.integers(1, 9)),
    fields=st.dictionaries(st.sampled_from(["ttl", "name"]), st.integers(1, 3)),
)


@st.composite
def wanted_states(draw: st.DrawFn) -> Desired:
    """Any desired state over four models with two versions of their files."""
    models: list[DesiredModel] = []
    for name in sorted(draw(st.sets(names))):
        version = draw(st.integers(1, 2))
        files = [pinned(name, f"{name}-{version}")]
        if draw(st.booleans()):
            files.append(pinned("shared", "mmproj", name="mmproj.gguf", role="mmproj"))
        models.append(model(name, *files, serve=draw(serves), enabled=draw(st.integers(0, 5)) > 0))
    return desired(*models)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world with files of others in it, that has been through some desired states."""
    foreign = draw(st.sets(names))
    contents = {
        RelPath(f"acme/{name}/m.gguf"): digest(f"{name}-{draw(st.integers(1, 3))}")
        for name in foreign
    }
    world = World(contents=contents)
    for wanted in draw(st.lists(wanted_states(), max_size=3)):
        world = world.reached(wanted)
    return world


@trying(25)
@given(world=worlds(), wanted=wanted_states())
def test_second_plan_is_always_empty(world: World, wanted: Desired) -> None:
    """Whatever was there and whatever is wanted: after one apply there is nothing left to do."""
    first = world.plan(wanted)
    assert not first.refusals
    after = world.applied(first)
    second = after.plan(wanted)
    assert second.actions == ()
    assert second.ledger_after == after.ledger
    assert second.stalled.keys() == first.stalled.keys()


@trying(25)
@given(start=worlds(), path=st.lists(wanted_states(), max_size=3))
def test_taking_everything_out_always_gives_the_old_world_back(
    start: World, path: list[Desired]
) -> None:
    """From any world through any states to none: the config is the old one, byte for byte, and
    exactly the files that others put there are left, with their bytes.
    """
    others = {
        item: content
        for item, content in start.contents.items()
        if item not in start.ledger.files or start.ledger.files[item].provenance is Provenance.FOUND
    }
    world = start
    for wanted in path:
        world = world.reached(wanted)
    end = world.reached(desired())
    assert end.config == CONFIG
    assert end.contents == others
    assert (end.ledger.models, end.ledger.files) == ({}, {})


@trying(25)
@given(world=worlds(), wanted=wanted_states())
def test_nothing_that_we_did_not_bring_is_ever_touched(world: World, wanted: Desired) -> None:
    """No plan places, replaces or prunes over a file that others put there."""
    others = {
        item
        for item in world.contents
        if item not in world.ledger.files or world.ledger.files[item].provenance is Provenance.FOUND
    }
    touched = {
        getattr(action, "path", None)
        for action in world.plan(wanted).actions
        if not isinstance(action, Forget | Download)
    }
    assert not touched & others


def test_summary_counts_what_the_actions_do() -> None:
    """The numbers of the summary are those of the actions."""
    world = World().reached(desired(model("a"), model("b")))
    plan = world.plan(desired(model("a", pinned("a", "a-2")), model("c")))
    assert plan.summary.added == (ModelId("c"),)
    assert plan.summary.updated == (ModelId("a"),)
    assert plan.summary.removed == (ModelId("b"),)
    assert plan.summary.fetch_bytes == 200
    assert plan.summary.trash_bytes == 200
    assert plan.unchanged == ()
    assert {item.model for item in plan.actions if isinstance(item, SetEntry)} == {"c"}
