"""Undeclared models, decided: keys, projectors, guards, and entries as three states meet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.actions import RemoveEntry
from reconciler.core.discovered_keys import key_for
from reconciler.core.manifest import Discover, Policy
from reconciler.core.names import RelPath
from reconciler.core.observed import GgufFile, Observed, OnDisk
from reconciler.core.plan import Plan
from tests.support.worlds import World, desired, model, planned

SERVE = Policy(discover=Discover.SERVE)


def on_disk(*paths: str, unreadable: str = "") -> OnDisk:
    """Give a disk with these files, each a model by its header."""
    files = tuple(
        GgufFile(path=RelPath(path), size_bytes=100, architecture="llama") for path in sorted(paths)
    )
    return OnDisk(files=files, unreadable=frozenset({RelPath(unreadable)} if unreadable else ()))


def plan(
    world: World, disk: OnDisk | None, policy: Policy = SERVE, *, allow_prune: bool = False
) -> Plan:
    """Plan for a manifest that declares nothing, with these files on the disk."""
    return planned(
        desired(policy=policy),
        seen(world, disk),
        world.ledger,
        allow_prune=allow_prune,
    )


def seen(world: World, disk: OnDisk | None) -> Observed:
    """Give what is observed of a world with these files."""
    return replace(world.observed(), on_disk=disk)


def served(*paths: str) -> World:
    """Give a world in which all these files have their entries."""
    world = World()
    return world.applied(plan(world, on_disk(*paths)))


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("acme/chat-GGUF/chat-Q4_K_M.gguf", "acme/chat-GGUF/chat-Q4_K_M"),
        ("Loud.GGUF", "Loud"),
        ("a/big-00001-of-00003.gguf", "a/big"),
    ],
)
def test_key_is_the_path_without_its_end(path: str, key: str) -> None:
    """An entry is called as its file, less suffix and shard number, while that is short enough."""
    assert key_for(RelPath(path), longest=80) == key


def test_long_key_is_cut_and_stays_the_same() -> None:
    """A key past the limit has its full length, a digest at its end, and never changes."""
    long = RelPath(f"{'x' * 200}.gguf")
    key = key_for(long, longest=80)
    assert (len(key), key[:71], key) == (80, "x" * 71, key_for(long, longest=80))
    assert key != key_for(RelPath(f"{'x' * 201}.gguf"), longest=80)


@pytest.mark.parametrize(
    ("names", "projector"),
    [
        (("m-Q4_K_M.gguf", "mmproj-F16.gguf"), "d/mmproj-F16.gguf"),
        (("m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf"), "d/mmproj-F16.gguf"),
        (("m-Q4_K_M.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"), None),
        (("m-Q4_K_M.gguf", "other-Q4_K_M.gguf", "mmproj-F16.gguf"), None),
        (("m-Q4_K_M.gguf", "deeper/mmproj-F16.gguf"), None),
    ],
)
def test_projector_is_used_only_where_it_can_be_no_other(
    names: tuple[str, ...], projector: str | None
) -> None:
    """One projector beside one model, in any quants, is that model's; else nobody can tell."""
    found = plan(World(), on_disk(*(f"d/{name}" for name in names)))
    assert {item.mmproj for item in found.discovered} == {projector}


@pytest.mark.parametrize(
    ("architecture", "kind"), [("clip", None), ("llama", "adapter"), ("llama", "mmproj")]
)
def test_header_that_says_no_model_is_none(architecture: str, kind: str | None) -> None:
    """A projector or an adapter under any name gets no entry, for it could not be served."""
    file = GgufFile(path=RelPath("f.gguf"), size_bytes=1, architecture=architecture, type=kind)
    assert plan(World(), OnDisk(files=(file,))).discovered == ()


def test_two_files_with_one_key_are_both_refused_and_the_older_entry_wins() -> None:
    """Neither of two newcomers gets the key; beside one that has it, the newcomer alone is out."""
    both = plan(World(), on_disk("m.gguf", "m.GGUF"))
    assert (both.actions, set(both.stalled)) == ((), {"m.gguf", "m.GGUF"})
    world = served("m.gguf")
    second = plan(world, on_disk("m.gguf", "m.GGUF"))
    assert (second.actions, set(second.stalled)) == ((), {"m.GGUF"})


def test_file_in_another_form_keeps_its_entry() -> None:
    """A model that is split under the same name is the same model: its entry follows."""
    world = served("m.gguf")
    moved = plan(world, on_disk("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"))
    assert moved.summary.updated == ("m",)
    after = world.applied(moved)
    assert b"m-00001-of-00002.gguf" in after.config


def test_file_that_nobody_may_look_at_keeps_its_entry() -> None:
    """Where a folder cannot be read nothing is known of what is in it, so nothing goes."""
    world = served("a/m.gguf")
    assert plan(world, on_disk(unreadable="a/m.gguf")).actions == ()
    assert plan(world, on_disk()).summary.removed == ("a/m",)


def test_generated_entries_count_for_themselves() -> None:
    """Many declared models do not make a loss of generated entries look small, and one may go."""
    world = served("a.gguf", "b.gguf", "c.gguf")
    assert plan(world, on_disk("a.gguf", "b.gguf")).refusals == ()
    declared = [model(f"m{number}") for number in range(40)]
    many = world.applied(
        planned(
            desired(*declared, policy=SERVE),
            seen(world, on_disk("a.gguf", "b.gguf", "c.gguf")),
            world.ledger,
        )
    )
    gone = planned(desired(*declared, policy=SERVE), seen(many, on_disk()), many.ledger)
    assert ["3 of 3 entries" in refusal.message for refusal in gone.refusals] == [True]
    assert plan(world, on_disk(), allow_prune=True).refusals == ()


def test_generated_entries_never_hide_the_last_declared_model() -> None:
    """A manifest that lost its only model is refused, whatever else is served beside it."""
    world = World()
    full = planned(
        desired(model("only"), policy=SERVE),
        seen(world, on_disk("a.gguf", "b.gguf")),
        world.ledger,
    )
    after = world.applied(full)
    emptied = plan(after, on_disk("a.gguf", "b.gguf"))
    assert ["every model (1 of 1)" in refusal.message for refusal in emptied.refusals] == [True]


def test_switching_to_report_takes_the_entries_out_and_lists_the_files() -> None:
    """With `report` nothing is generated any more: entries of ours go, the files are told of."""
    world = served("a.gguf")
    found = plan(world, on_disk("a.gguf"), Policy(discover=Discover.REPORT))
    assert [type(action) for action in found.actions] == [RemoveEntry]
    assert [item.path for item in found.discovered] == ["a.gguf"]


def test_without_a_config_nothing_is_generated_or_forgotten() -> None:
    """A run that manages no config lists the files, and keeps what the ledger has of entries."""
    world = served("a.gguf")
    blind = replace(seen(world, on_disk("a.gguf", "b.gguf")), config_path=None, config=None)
    found = planned(desired(policy=SERVE), blind, world.ledger)
    assert (found.actions, found.refusals) == ((), ())
    assert found.ledger_after.models == world.ledger.models
