"""Ownership in llama-swap's config: what is ours, what is theirs, and what comes back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import RemoveEntry, SetEntry
from reconciler.core.desired import Desired
from reconciler.core.ledger import LedgerEntry, LedgerField
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.ownership import scaffold_entry
from reconciler.core.yamltext.config import read_config
from tests.support.searching import trying
from tests.support.worlds import World, desired, model, pinned

A = ModelId("a")
THEIRS = b"""\
# M1=0
healthCheckTimeout: 60

models:
  mine:
    cmd: llama-server --port ${PORT} -m /mine.gguf  # M2=0
  a:   # M3=0
    ttl: 7
    cmd: >
      llama-server --port ${PORT}
      -m /srv/a.gguf --ctx-size 1
    description: 'M4=0'

# M5=0
"""
OURS = b"models:\n  mine:\n    cmd: x\n"


def world(config: bytes = THEIRS) -> World:
    """Give a world with this config and nothing of ours in it."""
    return World(config=config)


def edited(before: World, old: str, new: str) -> World:
    """Give the world after somebody replaced one text in the config."""
    text = before.config.decode()
    assert text.count(old) == 1, text
    return replace(before, config=text.replace(old, new).encode())


def entry(of: World, name: str = "a") -> LedgerEntry:
    """Give what the ledger says of an entry."""
    found = of.ledger.models[ModelId(name)].entry
    assert found is not None
    return found


def wants(*, version: int = 1, **serve: object) -> Desired:
    """Give a desired state with one model, its file in some version, served as said."""
    return desired(model("a", pinned("a", f"a-{version}"), serve=Serve(**serve)))  # type: ignore[arg-type]


ANY_ENTRY = wants()
WITH_TTL = wants(fields={"ttl": 7})
OTHER_TTL = wants(fields={"ttl": 8})
WITH_ARGS = wants(args={"jinja": True}, fields={"ttl": 9, "name": "A"})
NOTHING = desired()


@pytest.mark.parametrize(
    "path",
    [
        [ANY_ENTRY],
        [WITH_TTL],
        [WITH_TTL, OTHER_TTL],
        [WITH_TTL, OTHER_TTL, WITH_TTL],
        [OTHER_TTL, ANY_ENTRY, WITH_ARGS],
        [WITH_ARGS, WITH_TTL, WITH_ARGS, ANY_ENTRY],
        [wants(cmd="server ${PORT}"), OTHER_TTL],
    ],
    ids=lambda path: str(len(path)),
)
def test_entry_that_stood_before_us_comes_back_byte_for_byte(path: list[Desired]) -> None:
    """Found equal, changed, changed back, given up in part: when the model goes, every field we
    replaced has its old text again, quoting, folding and comments and all.
    """
    now = world()
    for wanted in path:
        now = now.reached(wanted)
    assert now.config != THEIRS
    assert now.reached(NOTHING).config == THEIRS


def test_field_that_is_equal_by_chance_is_left_when_we_go() -> None:
    """A declared value that stands there already is found, not written, and stays."""
    now = world().reached(WITH_TTL)
    assert entry(now).fields["ttl"].found
    assert b"ttl: 7" in now.reached(ANY_ENTRY).config
    assert b"ttl: 7" in now.reached(NOTHING).config


def test_path_in_their_command_is_moved_on_and_back() -> None:
    """Without a word on the command only its path is ours: over several versions it follows the
    file, and at last names their own again.
    """
    now = world()
    for version, name in ((1, "m.gguf"), (2, "m.gguf"), (3, "m.gguf")):
        now = now.reached(wants(version=version))
        assert f"-m /models/acme/a/{name} --ctx-size 1".encode() in now.config
    moved = desired(model("a", pinned("a", "a-4", name="other.gguf")))
    now = now.reached(moved)
    assert b"-m /models/acme/a/other.gguf --ctx-size 1" in now.config
    assert now.reached(NOTHING).config == THEIRS


def test_argument_that_somebody_added_to_their_command_survives_everything() -> None:
    """After our patch they add an argument: the next version patches around it, and when the model
    goes the command stays as they made it, with a warning.
    """
    now = edited(world().reached(wants()), "--ctx-size 1", "--ctx-size 1 --jinja")
    assert now.plan(wants()).is_empty
    moved = desired(model("a", pinned("a", "a-4", name="other.gguf")))
    now = now.reached(moved)
    assert b"-m /models/acme/a/other.gguf --ctx-size 1 --jinja" in now.config
    now = edited(now, "--jinja", "--jinja --verbose")
    plan = now.plan(NOTHING)
    assert any("cmd was edited by hand" in warning for warning in plan.warnings)
    assert b"--ctx-size 1 --jinja --verbose" in now.applied(plan).config


def test_declared_field_is_enforced_and_the_edit_is_told() -> None:
    """What the manifest declares is set right again, and said to be drift with its line."""
    now = edited(world().reached(OTHER_TTL), "ttl: 8", "ttl: 80")
    plan = now.plan(OTHER_TTL)
    assert [(item.model, "ttl was edited by hand" in item.message) for item in plan.drift] == [
        (A, True)
    ]
    assert b"ttl: 8\n" in now.applied(plan).config
    assert now.reached(OTHER_TTL).reached(NOTHING).config == THEIRS


def drifted(world: World, wanted: Desired) -> list[tuple[str | None, object, object, str, bool]]:
    """Give what a plan tells of each drifted field, its line left out."""
    return [
        (item.key, item.found, item.wrote, item.origin, item.kept)
        for item in world.plan(wanted).drift
    ]


def with_origins(serve: Serve) -> Desired:
    """Give a desired state whose words come from a preset and the defaults."""
    origins = {"ttl": "preset long", "args": "model, defaults", "name": "defaults"}
    return desired(model("a", serve=replace(serve, origins=origins)))


def test_drift_tells_both_values_and_where_ours_came_from() -> None:
    """Each edit is told with what stands there, what we wrote, its line and its origin."""
    wanted = with_origins(Serve(args={"jinja": True}, fields={"ttl": 8, "name": "A"}))
    now = world().reached(wanted)
    now = edited(now, "ttl: 8", "ttl: 80")
    now = edited(now, "--jinja", "--no-jinja")
    now = edited(now, "    name: A\n", "")
    told = {key: rest for key, *rest in drifted(now, wanted)}
    assert told["ttl"] == [80, 8, "preset long", False]
    assert told["cmd"][2:] == ["model, defaults", False]
    assert told["name"] == [None, "A", "defaults", False]
    messages = {item.key: item.message for item in now.plan(wanted).drift}
    line = now.config.decode().split("ttl: 80")[0].count("\n") + 1
    assert messages["ttl"] == f"ttl was edited by hand (line {line}): 80 instead of 8 (preset long)"
    assert messages["name"] == 'name was taken out by hand; it was "A" (defaults)'
    # Of long values the part is shown where they differ.
    assert "no-jinja" in messages["cmd"]
    assert len(messages["cmd"]) < 230
    assert now.reached(wanted).plan(wanted).drift == ()


def test_drift_of_what_was_found_says_so() -> None:
    """A value that stood there before us and is declared: its edit is set right, and its origin
    is the file itself.
    """
    now = edited(world().reached(WITH_TTL), "ttl: 7", "ttl: 70")
    assert drifted(now, WITH_TTL) == [("ttl", 70, 7, "found", False)]
    assert drifted(now, ANY_ENTRY) == []


def test_edit_that_stays_is_told_once() -> None:
    """A command that nobody declares is scaffolded: an edit of it is left, told until a run has
    seen it, and then no more; another edit is told anew, and one undone is forgotten.
    """
    now = edited(world(OURS).reached(wants()), "-m /models", "--jinja -m /models")
    ((key, _, _, origin, kept),) = drifted(now, wants())
    assert (key, origin, kept) == ("cmd", "model", True)
    assert "and stays so" in now.plan(wants()).drift[0].message
    assert now.plan(wants()).is_empty
    now = now.reached(wants())
    assert drifted(now, wants()) == []
    again = edited(now, "--jinja", "--verbose")
    assert [item[0] for item in drifted(again, wants())] == ["cmd"]
    back = edited(now, "--jinja ", "")
    assert drifted(back, wants()) == []
    moved = desired(model("a", pinned("a", "a-4", name="other.gguf")))
    assert b"--jinja -m /models/acme/a/other.gguf" in now.reached(moved).config
    # Declared at last, the edit is overwritten, and that is told.
    assert [item[4] for item in drifted(now, wants(args={"x": 1}))] == [False]


def test_edit_of_a_generated_entry_is_told_once() -> None:
    """An entry made for a file that nobody declares says so as its origin; the edit stays."""
    owned = LedgerEntry(made=True, fields={"cmd": LedgerField(value="srv -m /a.gguf")})
    view = read_config(b"models:\n  a:\n    cmd: srv -m /a.gguf --mine\n", "config").models["a"]
    fields = {"cmd": "srv -m /a.gguf"}
    first = scaffold_entry(ModelId("a"), fields, view=view, owned=owned)
    (drift,) = first.drift
    assert (drift.key, drift.origin, drift.kept, drift.line) == ("cmd", "discovered", True, 3)
    assert first.edits == ()
    assert scaffold_entry(ModelId("a"), fields, view=view, owned=first.after).drift == ()


def test_environment_is_not_told() -> None:
    """Of environment variables the names are told, never the values, in text and in JSON."""
    wanted = wants(fields={"env": ["TOKEN=mine", "A=1"]})
    now = edited(world(OURS).reached(wanted), "TOKEN=mine", "TOKEN=theirs")
    plan = now.plan(wanted)
    (drift,) = plan.drift
    assert drift.found == drift.wrote == ["TOKEN=…", "A=…"]
    (action,) = [item for item in plan.actions if isinstance(item, SetEntry)]
    assert "mine" not in repr(action) + drift.message
    assert "theirs" not in repr(action) + drift.message


def test_key_that_somebody_added_goes_with_our_entry_and_is_told() -> None:
    """Their own key in an entry of ours goes with it: warned of with its line before it does."""
    now = edited(
        world(OURS).reached(wants(fields={"ttl": 1})), "ttl: 1\n", "ttl: 1\n    env: [A=1]\n"
    )
    plan = now.plan(NOTHING)
    line = now.config.decode().split("    env:")[0].count("\n") + 1
    assert f"a: env (line {line}) is not ours, and goes with its entry" in plan.warnings
    assert now.applied(plan).config == OURS


def test_edit_of_a_field_that_is_given_up_stays() -> None:
    """Edited by hand, then declared no more: the edit stays, with a warning, for good."""
    now = edited(world().reached(OTHER_TTL), "ttl: 8", "ttl: 80")
    plan = now.plan(ANY_ENTRY)
    assert any("ttl was edited by hand" in warning for warning in plan.warnings)
    now = now.applied(plan)
    assert b"ttl: 80" in now.config
    assert now.plan(ANY_ENTRY).warnings == ()
    assert now.reached(NOTHING).config == THEIRS.replace(b"ttl: 7", b"ttl: 80")


def test_field_that_somebody_took_out_is_no_error_when_we_go() -> None:
    """A field of ours that they deleted is not put back when the model goes."""
    now = edited(world().reached(OTHER_TTL), "    ttl: 8\n", "")
    assert now.reached(NOTHING).config == THEIRS.replace(b"    ttl: 7\n", b"")


def test_entry_of_ours_goes_whole_and_what_was_edited_in_it_is_told() -> None:
    """An entry that we made is removed with everything in it; an edit of a field of ours is told
    as drift, so that a person who is asked can say no.
    """
    now = world(OURS).reached(wants(fields={"ttl": 1}))
    now = edited(now, "ttl: 1", "ttl: 100")
    plan = now.plan(NOTHING)
    assert any("ttl was edited by hand" in item.message for item in plan.drift)
    assert now.applied(plan).config == OURS


def test_key_that_somebody_added_to_our_entry_is_not_touched() -> None:
    """In an entry of ours their own keys stay through every change of ours."""
    now = world(OURS).reached(wants(fields={"ttl": 1}))
    now = edited(now, "ttl: 1\n", "ttl: 1\n    concurrencyLimit: 3  # mine\n")
    now = now.reached(wants(version=2, args={"jinja": True}))
    assert b"    concurrencyLimit: 3  # mine\n" in now.config
    assert b"ttl" not in now.config


def test_entry_that_somebody_took_out_is_made_again_and_told() -> None:
    """A model that is declared has an entry; that it was gone is told as drift."""
    now = world(OURS).reached(wants())
    now = replace(now, config=OURS)
    plan = now.plan(wants())
    assert any("taken out of the config by hand" in item.message for item in plan.drift)
    assert now.applied(plan).reached(NOTHING).config == OURS


def test_edit_of_a_command_that_we_only_found_is_told_once_at_most() -> None:
    """A command that names the right path by itself is theirs: after an edit of its arguments it
    is simply known anew, not called drift for ever.
    """
    config = THEIRS.replace(b"/srv/a.gguf", b"/models/acme/a/m.gguf")
    now = edited(world(config).reached(wants()), "--ctx-size 1", "--ctx-size 2")
    now = now.reached(wants())
    assert now.plan(wants()).drift == ()
    assert now.reached(NOTHING).config == config.replace(b"--ctx-size 1", b"--ctx-size 2")


def test_alias_that_somebody_has_already_is_refused() -> None:
    """llama-swap would not start with an alias that two models have: refused, nothing changed."""
    config = OURS + b"    aliases: [nick]\n"
    plan = world(config).plan(wants(fields={"aliases": ["nick"]}))
    assert ["'nick' is already an alias of 'mine'" in item.message for item in plan.refusals] == [
        True
    ]
    assert plan.config_after == config
    assert world(config).plan(wants(fields={"aliases": ["free"]})).refusals == ()


@pytest.mark.parametrize(
    "wanted", [wants(fields={"aliases": ["mine"]}), desired(model("nick"))], ids=["alias", "id"]
)
def test_alias_that_loses_to_a_model_is_told_once(wanted: Desired) -> None:
    """An alias that bears a model's name is accepted and loses: whoever asked under it reaches
    another model from now on, so that is said, by the plan that brings it about.
    """
    before = world(OURS + b"    aliases: [nick]\n")
    plan = before.plan(wanted)
    assert sum("requests for it reach the model" in line for line in plan.warnings) == 1
    assert not any("reach the model" in line for line in before.applied(plan).plan(wanted).warnings)


def test_config_under_another_path_owns_only_what_reads_as_ours() -> None:
    """The same text under a new path is still ours; an entry there that only bears the name is
    theirs, and comes back as it was.
    """
    now = world(OURS).reached(wants(fields={"ttl": 1}))
    ledger = replace(now.ledger, config_path="/elsewhere/config.yaml")
    moved = replace(now, ledger=ledger)
    assert moved.plan(wants(fields={"ttl": 1})).is_empty
    assert moved.reached(NOTHING).config == OURS
    foreign = replace(world(THEIRS), ledger=ledger, contents=now.contents)
    assert not any(isinstance(item, RemoveEntry) for item in foreign.plan(NOTHING).actions)
    reached = foreign.reached(WITH_ARGS)
    assert reached.config != THEIRS
    assert reached.reached(NOTHING).config == THEIRS


def test_plan_tells_every_field_it_changes() -> None:
    """Before and after of each changed field are part of the action."""
    plan = world().plan(OTHER_TTL)
    (action,) = [item for item in plan.actions if isinstance(item, SetEntry)]
    assert not action.new
    assert {
        (item.key, item.before, item.after) for item in action.changes if item.key == "ttl"
    } == {("ttl", 7, 8)}


Edit = Callable[[str], str]


def bump(mark: str) -> Edit:
    """Give an edit that counts one of their marks up."""

    def edit(text: str) -> str:
        found = re.search(rf"{mark}=(\d+)", text)
        assert found is not None, text
        return text.replace(found[0], f"{mark}={int(found[1]) + 1}")

    return edit


def add_line(text: str) -> str:
    """Add a comment of two lines at the top."""
    return "# another\n#   thought\n" + text


def add_entry(text: str) -> str:
    """Add an entry of their own before the one they had."""
    number = text.count("-extra")
    return text.replace("  mine:\n", f'  "x{number}-extra": {{cmd: "x"}} # theirs\n  mine:\n')


def add_section(text: str) -> str:
    """Add a section of their own before the models."""
    return (
        text.replace("\nmodels:\n", f"\nmacros:\n  m{text.count('macros')}: x\n\nmodels:\n", 1)
        if ("macros" not in text)
        else text
    )


EDITS = [*(bump(f"M{number}") for number in range(1, 6)), add_line, add_entry, add_section]
serves = st.builds(
    Serve,
    args=st.none() | st.dictionaries(st.sampled_from(["ctx-size", "jinja"]), st.integers(1, 9)),
    fields=st.dictionaries(st.sampled_from(["ttl", "name", "aliases"]), st.integers(6, 8)).map(
        lambda fields: {
            key: [f"alias-{value}"] if key == "aliases" else value for key, value in fields.items()
        }
    ),
)


@st.composite
def wanted_states(draw: st.DrawFn) -> Desired:
    """Any desired state over a model with an entry of theirs, and one without."""
    models = [
        model(
            name,
            pinned(
                name, f"{name}-{draw(st.integers(1, 2))}", name=draw(st.sampled_from(["m", "n"]))
            ),
            serve=Serve(
                args=(serve := draw(serves)).args,
                fields={
                    key: value
                    for key, value in serve.fields.items()
                    if key != "aliases" or name == "a"
                },
            ),
            enabled=draw(st.integers(0, 4)) > 0,
        )
        for name in sorted(draw(st.sets(st.sampled_from(["a", "b"]))))
    ]
    return desired(*models)


@trying(30)
@given(steps=st.lists(st.tuples(wanted_states(), st.lists(st.sampled_from(EDITS))), max_size=4))
def test_their_edits_and_nothing_else_are_left_in_the_end(
    steps: list[tuple[Desired, list[Edit]]],
) -> None:
    """Whatever we apply and whatever they edit in between, outside of our fields: when everything
    of ours is out again, the config is the old one with their edits in it, byte for byte.
    """
    now, theirs = world(), THEIRS.decode()
    for wanted, edits in steps:
        now = now.reached(wanted)
        for edit in edits:
            now = replace(now, config=edit(now.config.decode()).encode())
            theirs = edit(theirs)
    end = now.reached(NOTHING)
    assert end.config.decode() == theirs
    assert end.ledger.models == {}
