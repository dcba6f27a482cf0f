"""A model under a new ID keeps its bytes, its pin, its entry, and whatever people made of that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.actions import EditReference, RemoveEntry, Rename, SetEntry
from reconciler.core.desired import Desired, expand
from reconciler.core.gate import expect_models
from reconciler.core.ledger import LedgerEntry
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.lock import Asked, Lock, Pin
from reconciler.core.manifest import Manifest, ModelSpec, Policy, Serve
from reconciler.core.moved_pins import MovedPins
from reconciler.core.names import ModelId
from reconciler.core.pin_names import under_new_names
from reconciler.core.yamltext.config import read_config
from tests.support.worlds import CONFIG, World, desired, digest, model, pinned, planned

BYTES = pinned("old", "old-1")
OLD = desired(model("old", BYTES))
NEW = desired(model("new", BYTES, renamed_from="old"))
BACK = desired(model("old", BYTES, renamed_from="new"))
FOUND = b"""\
models:
  # tuned by hand
  "old": &fast   # the fast one
    cmd: >
      llama-server --port ${PORT}
      -m /elsewhere.gguf
    ttl: 60
  mine: {cmd: 'x ${PORT}', ttl: 5}
"""


def test_nothing_is_fetched_or_taken_away() -> None:
    """The one thing that is planned is the rename: no bytes move, no guard counts a removal, nobody
    is asked, and the next plan is empty.
    """
    world = World(running=True).reached(OLD)
    plan = world.plan(NEW, allow_prune=False)
    assert [type(item).__name__ for item in plan.actions] == ["Rename", "Restart"]
    assert plan.renames == {"new": "old"}
    assert (plan.refusals, plan.drift, plan.warnings) == ((), (), ())
    assert not plan.takes_away
    assert (plan.summary.added, plan.summary.updated, plan.summary.removed) == ((), ("new",), ())
    after = world.applied(plan)
    assert after.ledger.models.keys() == {"new"}
    assert after.contents == world.contents
    assert after.plan(NEW).is_empty


def test_only_the_key_changes_and_comes_back() -> None:
    """Hand edits, comments, anchors and order of an entry stay; renamed back, every byte is as it
    was, and so it is once the model is gone.
    """
    world = World(config=FOUND).reached(OLD)
    renamed = world.reached(NEW)
    assert renamed.config == world.config.replace(b'"old":', b'"new":')
    assert renamed.reached(BACK).config == world.config
    assert renamed.reached(BACK).ledger == world.ledger
    assert renamed.reached(desired()).config == FOUND


def test_an_entry_that_we_made_goes_whole_under_any_name() -> None:
    """A rename twice over, and the config is still as before us when the model goes."""
    again = desired(model("newest", BYTES, renamed_from="new"))
    world = World().reached(OLD).reached(NEW).reached(again)
    assert b"  newest:\n" in world.config
    assert world.reached(desired()).config == CONFIG


def test_a_name_before_us_is_not_forgotten() -> None:
    """An entry of somebody else gets its first ID back, however often it was renamed, and what
    refers to it follows there too; the ledger survives its own text.
    """
    config = FOUND + b"hooks: {on_startup: {preload: [mine, old]}}\n"
    world = World(config=config).reached(OLD).reached(NEW)
    world = world.reached(desired(model("newest", BYTES, renamed_from="new")))
    assert b"preload: [mine, newest]" in world.config
    world = replace(world, ledger=ledger_from_json(ledger_to_json(world.ledger)))
    plan = world.plan(desired())
    assert plan.config_after == config
    assert {type(item) for item in plan.actions} >= {RemoveEntry, EditReference}


def test_a_first_name_that_is_taken_stays_with_who_has_it() -> None:
    """Where another entry has the old ID by now, ours keeps its name, and that is said."""
    world = World(config=FOUND).reached(OLD).reached(NEW)
    world = replace(world, config=world.config + b"  old: {cmd: 'x ${PORT}'}\n")
    plan = world.plan(desired())
    assert plan.refusals == ()
    assert plan.config_after is not None
    assert b'"new": &fast' in plan.config_after
    assert plan.warnings == (
        "new was old before us, and keeps its name: another entry has the old one now",
    )


def test_an_entry_that_was_given_back_keeps_its_id() -> None:
    """A model that was disabled, and comes back under another ID, has an entry of its own; who
    refers to the entry of somebody else goes on to, whatever else the plan does.
    """
    config = FOUND + b"selectors: {s: {strategy: pin, targets: [old]}}\n"
    off = desired(model("old", BYTES, enabled=False), model("gone"))
    world = World(config=config).reached(OLD).reached(off).reached(NEW)
    assert b"targets: [old]" in world.config
    assert read_config(world.config, "c").models.keys() == {"old", "mine", "new"}
    plan = world.plan(desired())
    assert (plan.refusals, plan.config_after) == ((), config)


def test_a_membership_of_an_entry_that_was_given_back_is_not_the_models() -> None:
    """What stands in a group for the entry of somebody else makes nobody else a member."""
    config = FOUND + b"groups: {g: {members: [mine, old]}}\n"
    off = desired(model("old", BYTES, enabled=False))
    joined = desired(model("new", BYTES, serve=Serve(group="g"), renamed_from="old"))
    world = World(config=config).reached(OLD).reached(off).reached(joined)
    assert b"members: [mine, old, new]" in world.config
    assert world.reached(desired()).config == config


def test_a_first_name_that_is_declared_again_is_the_same_entry() -> None:
    """Where a rename is taken out of the manifest, nothing is left of it, nor counted as gone."""
    config = FOUND + b"hooks: {on_startup: {preload: [mine, old]}}\n"
    before = World(config=config).reached(OLD)
    world = before.reached(NEW)
    plan = world.plan(OLD, allow_prune=False)
    assert (plan.refusals, plan.warnings, plan.summary.removed) == ((), (), ())
    assert plan.renames == {"old": "new"}
    assert world.applied(plan).config == before.config
    assert world.applied(plan).ledger == before.ledger
    assert world.applied(plan).reached(desired()).config == config


def test_a_protected_model_does_not_make_way_for_the_first_name() -> None:
    """Its entry is not handed over: taking it out is refused as ever."""
    kept = desired(model("old", BYTES, protect=True))
    world = World(config=FOUND).reached(kept).reached(NEW)
    plan = world.plan(OLD)
    assert plan.renames == {}
    assert [item.message for item in plan.refusals] == [
        "new is protected, and this would take it out"
    ]


@pytest.mark.parametrize(
    ("config", "name", "line", "why"),
    [
        ("old: {cmd: 'x ${PORT}'}", "1e3", 2, "could not come back from 1e3, which needs quotes"),
        ("'old': {cmd: 'x ${PORT}'}", "a: b", 4, "in quotes it could"),
        ("'old': {cmd: 'x ${PORT}', aliases: [new]}", "new", 4, "'new' leads somewhere already"),
        ("'old': {cmd: 'x ${PORT}'}", "other", 5, "other, which old would become: it would lead"),
        ("'old': {cmd: 'x ${PORT}'}", "nick", 5, "nick, which old would become: it would lead"),
    ],
)
def test_what_could_not_come_back_is_not_renamed(
    config: str, name: str, line: int, why: str
) -> None:
    """An entry of somebody else is renamed only where all of it can be undone to the byte."""
    rest = (
        "  mine: {cmd: 'x ${PORT}', aliases: [nick]}\n"
        "profiles: {p: [old]}\nhooks: {on_startup: {preload: [other, nick]}}\n"
    )
    serve = Serve(args={"c": 1})
    world = World(config=f"models:\n  {config}\n{rest}".encode())
    world = world.reached(desired(model("old", BYTES, serve=serve)))
    plan = world.plan(desired(model(name, BYTES, serve=serve, renamed_from="old")))
    told = [item.message for item in plan.refusals]
    assert any(item.startswith(f"/etc/config.yaml:{line}: ") and why in item for item in told), told
    assert plan.config_after == world.config


def test_a_membership_of_ours_need_not_come_back() -> None:
    """It goes with the model, so that quotes which the new ID needs are no hindrance."""
    config = FOUND + b"groups: {g: {members: [mine]}}\n"
    serve = Serve(group="g")
    world = World(config=config).reached(desired(model("old", BYTES, serve=serve)))
    world = world.reached(desired(model("a: b", BYTES, serve=serve, renamed_from="old")))
    assert b'members: [mine, "a: b"]' in world.config
    assert world.reached(desired()).config == config


def test_declared_otherwise_at_the_same_time() -> None:
    """A rename and a change of fields come in one plan, and in one edit of the config."""
    world = World().reached(desired(model("old", BYTES, serve=Serve(fields={"ttl": 60}))))
    plan = world.plan(
        desired(model("new", BYTES, serve=Serve(fields={"ttl": 90}), renamed_from="old"))
    )
    assert [type(item) for item in plan.actions] == [Rename, SetEntry]
    assert plan.config_after == world.config.replace(b"  old:", b"  new:").replace(b"60", b"90")
    assert plan.drift == ()


def test_drift_is_told_under_the_new_name() -> None:
    """What somebody edited before the rename is what it always was: drift, put right."""
    wanted = {"ttl": 60}
    world = World().reached(desired(model("old", BYTES, serve=Serve(fields=wanted))))
    world = replace(world, config=world.config.replace(b"ttl: 60", b"ttl: 7"))
    plan = world.plan(desired(model("new", BYTES, serve=Serve(fields=wanted), renamed_from="old")))
    assert [item.model for item in plan.drift] == ["new"]
    assert plan.config_after is not None
    assert b"ttl: 60" in plan.config_after


def test_parameters_for_the_own_id_follow() -> None:
    """A person's parameters by the model's own ID stay parameters of its own ID."""
    world = World().reached(OLD)
    own = b"    filters: {setParamsByID: {old: {t: 1}, 'old:x': {t: 2}}}\n"
    world = replace(world, config=world.config + own)
    plan = world.plan(NEW)
    assert plan.config_after is not None
    assert b"setParamsByID: {new: {t: 1}, 'old:x': {t: 2}}" in plan.config_after


def test_a_rename_that_somebody_made_by_hand_is_taken_over() -> None:
    """The entry stands under its new ID already, as we wrote it: it is still ours."""
    world = World().reached(OLD)
    world = replace(world, config=world.config.replace(b"  old:", b"  new:"))
    plan = world.plan(NEW)
    assert plan.config_after == world.config
    assert world.applied(plan).reached(desired()).config == CONFIG


def test_an_entry_of_somebody_else_under_the_new_id_is_not_taken() -> None:
    """It is named with its line, and nothing changes."""
    world = World().reached(OLD)
    world = replace(world, config=world.config + b"  new: {cmd: 'x ${PORT}'}\n")
    plan = world.plan(NEW)
    assert [item.message for item in plan.refusals] == [
        "/etc/config.yaml:7: new stands there already, so old cannot be renamed to it"
    ]
    assert plan.config_after == world.config


def test_a_key_that_cannot_be_renamed_refuses_the_plan() -> None:
    """Where the entry cannot be edited without touching others, the place is told."""
    config = b"models: &all\n  old: {cmd: 'x ${PORT} -m /x.gguf'}\nextra: *all\n"
    world = World(config=CONFIG).reached(OLD)
    entry = LedgerEntry(made=False, fields={})
    owned = replace(world.ledger.models[ModelId("old")], entry=entry)
    ledger = replace(world.ledger, models={ModelId("old"): owned})
    plan = replace(world, config=config, ledger=ledger).plan(NEW)
    assert plan.refusals
    assert plan.refusals[0].message.startswith("/etc/config.yaml:")
    assert plan.config_after == config


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(desired(model("new", BYTES, renamed_from="never")), id="never was here"),
        pytest.param(desired(model("new", BYTES, renamed_from="new")), id="itself"),
    ],
)
def test_an_old_id_that_is_gone_means_nothing(wanted: Desired) -> None:
    """`renamed_from` may stay in the manifest for good."""
    world = World().reached(desired(model("new", BYTES)))
    assert world.plan(wanted).is_empty


def test_a_new_id_that_was_applied_already_takes_nothing_over() -> None:
    """Both models were here, so the old one goes as any other does, and the new one stays."""
    both = desired(model("old", BYTES), model("new"))
    world = World().reached(both)
    plan = world.plan(desired(model("new", renamed_from="old")))
    assert (plan.renames, plan.summary.removed, plan.unchanged) == ({}, ("old",), ("new",))


def test_protection_and_disabling_go_with_the_model() -> None:
    """What the ledger remembers of the model it goes on remembering; a model that is renamed and
    disabled in one go leaves no entry.
    """
    world = World().reached(desired(model("old", BYTES, protect=True))).reached(NEW)
    assert world.ledger.models[ModelId("new")].protect
    assert world.plan(desired()).refusals
    off = desired(model("new", BYTES, renamed_from="old", enabled=False))
    assert World().reached(OLD).reached(off).config == CONFIG
    assert World(config=FOUND).reached(OLD).reached(off).config == FOUND


def test_a_model_that_stalls_keeps_its_bytes_under_the_new_name() -> None:
    """A rename needs no bytes, so it waits for none: the files and the entry stay in use."""
    world = World().reached(OLD)
    wanted = replace(desired(stalled={"new": "no answer"}), renames=NEW.renames)
    after = world.reached(wanted)
    assert after.contents == world.contents
    assert after.config == world.config.replace(b"  old:", b"  new:")
    assert after.ledger.models[ModelId("new")].files == (BYTES.path,)


def test_other_bytes_may_come_with_a_new_name() -> None:
    """The old file is replaced as in any update."""
    world = World().reached(OLD)
    other = replace(BYTES, sha256=digest("old-2"))
    plan = world.plan(desired(model("new", other, renamed_from="old")))
    assert [type(item).__name__ for item in plan.actions] == ["Download", "Replace", "Rename"]


def test_a_config_that_we_do_not_see_forbids_it() -> None:
    """The entry would keep its old name in a config that this run does not manage."""
    world = World().reached(OLD)
    observed = replace(world.observed(), config_path=None, config=None)
    plan = planned(NEW, observed, world.ledger)
    assert [item.message for item in plan.refusals] == [
        "the entry of new stands in /etc/config.yaml, which this run does not manage"
    ]


def test_what_was_wrong_under_the_old_name_is_no_news() -> None:
    """A fault that a person brought into the entry is theirs under any name, and blocks nothing."""
    world = World().reached(OLD)
    world = replace(world, config=world.config + b"    env: [broken]\n")
    plan = world.plan(NEW)
    assert plan.refusals == ()
    assert plan.warnings[0].startswith("/etc/config.yaml:7: models.old.env.0: 'broken' is not")


def test_an_old_text_that_cannot_come_back_may_be_edited_away() -> None:
    """Where an anchor that it needs is gone, the hint says what ends that."""
    config = b"models:\n  a: {cmd: &c 'x ${PORT} -m /m.gguf'}\n  b:\n    cmd: *c\n"
    told = desired(model("b", serve=Serve(args={"c": 1})))
    world = World(config=config).reached(told)
    world = replace(world, config=world.config.replace(b"&c ", b""))
    (refusal,) = world.plan(desired()).refusals
    assert refusal.hint.endswith("a field that was edited by hand is not given back")


def test_the_gate_wants_the_new_name_and_not_the_old() -> None:
    """llama-swap must list the one and no longer the other, unless that lives on as an alias."""
    before = World().reached(OLD)
    after = before.reached(NEW)
    gate = expect_models(read_config(after.config, "c"), before.ledger, after.ledger, ["old"])
    assert (set(gate.expected), set(gate.absent)) == ({"new"}, {"old"})
    kept = Serve(fields={"aliases": ["old"]})
    after = before.reached(desired(model("new", BYTES, serve=kept, renamed_from="old")))
    gate = expect_models(read_config(after.config, "c"), before.ledger, after.ledger, ["old"])
    assert (set(gate.expected), set(gate.absent)) == ({"new"}, set())


def test_what_is_kept_by_id_is_found_under_the_new_one() -> None:
    """Pins follow; what the new ID has wins, and an old ID that is declared keeps its own."""
    pin = Pin(asked=Asked(source="acme/old"), files=(BYTES,))
    other = Pin(asked=Asked(source="acme/old:Q8_0"), files=(BYTES,))
    specs = {ModelId(key): item.spec for key, item in NEW.models.items()}
    old, new = ModelId("old"), ModelId("new")
    assert under_new_names({old: pin}, specs) == {new: pin}
    assert under_new_names({old: pin, new: other}, specs) == {old: pin, new: other}
    declared: dict[ModelId, ModelSpec] = {**specs, old: OLD.models[old].spec}
    assert under_new_names({old: pin}, declared) == {old: pin}
    moved = MovedPins(pins={old: pin}, instead_of={old: other}, refused={old: other})
    assert moved.renamed(specs) == MovedPins(
        pins={new: pin}, instead_of={new: other}, refused={new: other}
    )


def test_the_desired_state_knows_the_old_names_of_stalled_models_too() -> None:
    """What the manifest says of renames holds for every model."""
    spec = NEW.models[ModelId("new")].spec
    manifest = Manifest(models={spec.id: spec}, policy=Policy(), paths=(), digest=digest("m"))
    stalled = desired(stalled={"new": "no answer"}).stalled
    found = expand(manifest, Lock(), lock_digest="", stalled=stalled)
    assert found.renames == {"new": "old"}
