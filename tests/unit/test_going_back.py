"""Generations as values: what is kept of them, and what going back makes of a plan."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from reconciler.adapters.store.inventory import Inventory
from reconciler.core.generations import (
    Generation,
    GenerationState,
    digest_of,
    manifest_from_text,
    manifest_to_text,
    unbroken,
)
from reconciler.core.going_back import (
    Return,
    desired_then,
    gone_back,
    names_since,
    standing_digest,
)
from reconciler.core.ledger import Ledger
from reconciler.core.lock import Asked, Lock, Pin
from reconciler.core.manifest import Manifest, Policy
from reconciler.core.names import ModelId, Sha256
from reconciler.core.reading.manifest_text import ManifestText
from tests.support.worlds import CONFIG, World, desired, model, pinned

STATE = GenerationState(manifest="[]", lock="lock\n", moved=None, config="models: {}\r\n")


def generation(number: int, *, found: str, left: str) -> Generation:
    """Give a generation that found one config and left another, each named by a letter."""
    return Generation(
        run=f"r{number}",
        applied_at="2026-01-01T00:00:00+00:00",
        lock_digest="l",
        config_digest=left,
        found_digest=found,
        number=number,
    )


def manifest(*names: str, **renamed: str) -> Manifest:
    """Give a manifest that declares models; `renamed` gives old IDs by new ones."""
    specs = [model(name).spec for name in names]
    specs += [model(new, renamed_from=old).spec for new, old in renamed.items()]
    return Manifest(
        models={spec.id: spec for spec in specs},
        policy=Policy(),
        paths=("home.yaml",),
        digest=Sha256("d" * 64),
    )


def target(then: World, *names: str, config: bytes | None = None) -> Return:
    """Give the way back to a world in which `names` were applied."""
    return Return(
        generation=generation(3, found="a", left="b"),
        manifest=manifest(*names),
        ledger=then.ledger,
        config=config,
        renamed={},
        held="held",
    )


def pins(*names: str) -> Lock:
    """Give the pins of models whose files are those that `worlds.model` makes."""
    asked = Asked(source="", revision=None, mmproj="none", draft=None, files={})
    return Lock(
        pins={ModelId(name): Pin(asked=asked, files=(pinned(name, f"{name}-1"),)) for name in names}
    )


def test_state_is_kept_whole_and_the_rest_is_listed(tmp_path: Path) -> None:
    """What a generation was made of comes back as it was; one without it says so."""
    with closing(Inventory(tmp_path, for_writing=True)) as inventory:
        first = generation(0, found="", left="a")
        inventory.end_rollout(Ledger(), replace(first, state=STATE, returned_to=7))
        inventory.end_rollout(Ledger(), replace(first, run="r2"))
        assert inventory.state_of(1) == STATE
        assert (inventory.state_of(2), inventory.state_of(3)) == (None, None)
        listed = inventory.last_generations(5)
    assert [(item.number, item.is_whole, item.returned_to) for item in listed] == [
        (2, False, 0),
        (1, True, 7),
    ]


def test_so_many_generations_are_kept_as_are_asked_for(tmp_path: Path) -> None:
    """The oldest go first, and their numbers are not given again."""
    with closing(Inventory(tmp_path, for_writing=True)) as inventory:
        for number in range(5):
            one = replace(generation(0, found="", left=""), run=f"r{number}")
            inventory.end_rollout(Ledger(), one, keep=2)
        assert [item.number for item in inventory.last_generations(9)] == [5, 4]


def test_manifest_comes_back_byte_for_byte() -> None:
    """Path, folder and bytes of each file, whatever its line ends and letters."""
    texts = (
        ManifestText(path="a.yaml", folder="/m", data=b"version: 1\r\nmodels: {}\r\n"),
        ManifestText(path="b.yaml", folder="/m", data="# grüße 🦙\n".encode()),
    )
    assert manifest_from_text(manifest_to_text(texts)) == texts


def test_config_is_known_only_where_nobody_else_wrote_it() -> None:
    """The chain from a generation to now must be whole: each found what the one before it left."""
    kept = [
        generation(3, found="b", left="c"),
        generation(2, found="a", left="b"),
        generation(1, found="", left="a"),
    ]
    assert [unbroken(kept, number, "c") for number in (1, 2, 3)] == [True, True, True]
    assert not unbroken(kept, 1, "edited since")
    edited = [kept[0], replace(kept[1], found_digest="edited then"), kept[2]]
    assert [unbroken(edited, number, "c") for number in (1, 2, 3)] == [False, True, True]
    assert not unbroken(kept, 9, "c")


def test_names_are_followed_over_several_renames() -> None:
    """A model of then is known by the ID it has now; one that was never renamed keeps its own."""
    later = [manifest("b", mid="old"), manifest("b", new="mid")]
    assert names_since([ModelId("old"), ModelId("b")], later) == {"old": "new"}
    assert names_since([ModelId("old")], []) == {}


def test_standing_digest_is_of_manifest_and_lock() -> None:
    """It changes with either, and a lock that is not there is an empty one."""
    digests = {standing_digest("m", b"l"), standing_digest("m", b"k"), standing_digest("n", b"l")}
    assert len(digests) == 3
    assert standing_digest("m", None) == standing_digest("m", b"")


def test_what_could_not_be_applied_then_stays_as_it_is() -> None:
    """A model that the old manifest declares and the old ledger has otherwise is set aside."""
    then = World().reached(desired(model("a")))
    back = desired_then(target(then, "a", "b"), pins("a", "b"), "")
    assert (set(back.models), set(back.stalled)) == ({"a"}, {"b"})
    assert "stays as it is now" in back.stalled[ModelId("b")].reason
    assert set(desired_then(target(then, "a"), Lock(), "").stalled) == {"a"}


def test_going_back_ends_with_the_bytes_of_then() -> None:
    """Entries that come back in another order mean the same, and the very text of then is taken;
    its ledger says of them what it said, so that taking them out again gives the first config.
    """
    both = desired(model("a"), model("b"))
    then = World().reached(both)
    now = then.reached(desired(model("b")))
    plain = now.plan(both)
    assert plain.config_after != then.config
    plan = gone_back(plain, target(then, "a", "b", config=then.config))
    assert plan.config_after == then.config
    assert (plan.ledger_after.stalled, plan.fingerprint) == ("held", plain.fingerprint)
    assert now.applied(plan).reached(desired()).config == CONFIG


def test_config_that_others_edited_keeps_their_edits() -> None:
    """Without the text of then, what is planned against the config as it is now stays."""
    both = desired(model("a"), model("b"))
    then = World().reached(both)
    now = then.reached(desired(model("b")))
    edited = replace(now, config=now.config + b"# mine\n")
    plan = gone_back(edited.plan(both), target(then, "a", "b"))
    assert plan.config_after is not None
    assert plan.config_after.endswith(b"# mine\n") or b"# mine\n" in plan.config_after


def test_text_of_then_is_not_taken_where_it_means_something_else() -> None:
    """The plan decides what the config means; another meaning is never written."""
    both = desired(model("a"), model("b"))
    then = World().reached(both)
    now = then.reached(desired(model("b")))
    plain = now.plan(both)
    other = then.config.replace(b"/mine.gguf", b"/other.gguf")
    assert gone_back(plain, target(then, "a", "b", config=other)).config_after == plain.config_after


def test_what_must_be_fetched_is_told() -> None:
    """Bytes that are no longer kept are named before anything is done."""
    then = World().reached(desired(model("a"), model("b")))
    now = then.reached(desired(model("b")))
    plan = gone_back(now.plan(desired(model("a"), model("b"))), target(then, "a", "b"))
    assert plan.warnings == ("100 B of generation 3 are no longer kept: they are fetched",)
    same = gone_back(then.plan(desired(model("a"), model("b"))), target(then, "a", "b"))
    assert same.warnings == ()


def test_file_that_is_not_there_has_no_digest() -> None:
    """An empty file is a file."""
    assert digest_of(None) == ""
    assert len(digest_of(b"")) == 64
