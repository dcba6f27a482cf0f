"""Membership of groups in whole plans: what stands in the config, and that it goes again."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from reconciler.core.actions import SetEntry
from reconciler.core.desired import Desired, DesiredModel
from reconciler.core.ledger import Ledger, LedgerGroup
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.llamaswap.shapes import as_mapping
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.yamltext.config import read_config
from reconciler.errors import ConfigUnreadable
from tests.support.corpus import each_config
from tests.support.llama_swap_loader import BEHAVIOURS, ConfigRefused, load
from tests.support.searching import trying
from tests.support.splice_configs import configs
from tests.support.worlds import CONFIG, World, desired, model

NOTHING = desired()
THEIRS = (
    "groups:\n  g:\n    swap: false  # theirs\n    members:\n      - mine\n",
    "groups:\n  g:\n    members:\n    - mine  # first\n    # last\n\n  h: {members: [mine2]}\n",
    "groups: {g: {members: [ mine ]}, h: {members: []}}  # theirs\n",
    "groups: {}\n",
    "groups:   # later\n",
    "groups: ~\n",
    "groups:\n  g:\n  h: {}\n",
    "groups:\n  'g':\n    members: []  # nobody\n    exclusive: true\n",
    "groups:\n  g:\n    members: null\n",
    "groups:\n    7:\n        members: [\n            mine,\n        ]\n",
    "routing:\n  router:\n    use: group\n",
    "routing:\n  router: {settings: {groups: {g: {members: [mine]}}}}\n",
    "routing:\n  router:\n    settings:\n      groups:\n        h:\n          members: [mine]\n",
)


def member(name: str, group: str | None, *, enabled: bool = True) -> DesiredModel:
    """Give a desired model that is a member of `group`."""
    return model(name, serve=Serve(group=group), enabled=enabled)


def grouped(**groups: str | None) -> Desired:
    """Give a desired state of models, each with its group."""
    return desired(*(member(name, group) for name, group in groups.items()))


def world(groups: str = "") -> World:
    """Give a host whose config has one model, and these groups."""
    return World(config=CONFIG + groups.encode())


def groups_of(state: World) -> object:
    """Give the groups that stand in its config."""
    return read_config(state.config, "config.yaml").data.get("groups")


def loading(config: bytes) -> set[str]:
    """Give the versions of llama-swap that load a config."""
    versions = set()
    for behave in BEHAVIOURS:
        with contextlib.suppress(ConfigRefused):
            load(config, behave=behave, environ={})
            versions.add(behave)
    return versions


def test_a_missing_group_is_made_in_the_style_of_the_file() -> None:
    """A group takes two-space lines and list dashes from its neighbours, and a name that YAML
    takes for a number its quotes.
    """
    state = world().reached(grouped(a="7", b="7"))
    assert state.config.startswith(CONFIG)
    added = state.config.removeprefix(CONFIG).decode()
    assert 'groups:\n  "7":\n    members:\n      - a\n      - b\n' in added


@pytest.mark.parametrize("groups", THEIRS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("ends", [True, False])
def test_taking_all_members_out_gives_the_old_bytes_back(
    groups: str, newline: str, *, ends: bool
) -> None:
    """Whatever stood there before us, nothing of ours is left when our models go."""
    text = f"{groups}models:\n  mine:\n    cmd: x --port ${{PORT}}\n  mine2: {{cmd: x, proxy: y}}\n"
    old = (text if ends else text.removesuffix("\n")).replace("\n", newline).encode()
    state = World(config=old).reached(grouped(a="g", b="h", c="g", d="new"))
    assert state.config != old
    state = state.reached(grouped(a="g", b="g", c=None, d="h"))
    assert state.reached(NOTHING).config == old


def test_a_disabled_model_leaves_its_group() -> None:
    """Its entry goes, so its membership does; and both come back."""
    state = world().reached(grouped(a="g", b="g"))
    off = state.reached(desired(member("a", "g", enabled=False), member("b", "g")))
    assert groups_of(off) == {"g": {"members": ["b"]}}
    assert groups_of(off.reached(grouped(a="g", b="g"))) == {"g": {"members": ["b", "a"]}}


def test_a_stalled_model_keeps_its_membership() -> None:
    """What cannot be applied now stays as it was last applied."""
    state = world().reached(grouped(a="g", b="g"))
    after = state.reached(desired(member("b", "h"), stalled={"a": "no answer"}))
    assert groups_of(after) == {"g": {"members": ["a"]}, "h": {"members": ["b"]}}
    assert after.reached(NOTHING).config == CONFIG


def test_a_membership_alone_is_a_change_of_the_plan() -> None:
    """It restarts nothing it need not: an action of its own says what is joined, and the model
    counts as updated.
    """
    state = world().reached(grouped(a=None))
    plan = state.plan(grouped(a="g"))
    [action] = [item for item in plan.actions if isinstance(item, SetEntry)]
    assert action.group is not None
    assert (action.changes, action.group.joins, action.group.makes) == ((), "g", True)
    assert plan.summary.updated == ("a",)
    assert state.reached(grouped(a="g")).plan(grouped(a="g")).is_empty


def test_a_membership_taken_out_by_hand_is_told_and_put_back() -> None:
    """The plan names the group, and the config has the member again."""
    state = world("groups:\n  g:\n    members: [mine]\n").reached(grouped(a="g"))
    by_hand = replace(state, config=state.config.replace(b", a]", b"]"))
    plan = by_hand.plan(grouped(a="g"))
    assert [(item.key, item.message) for item in plan.drift] == [
        ("group", "it was taken out of group g by hand")
    ]
    assert by_hand.applied(plan).config == state.config


def test_a_renamed_model_keeps_its_membership_under_the_new_name() -> None:
    """Its place in the group gets the new name, is still ours, and may change with the rename."""
    state = world().reached(grouped(old="g", b="g"))
    renames = {ModelId("new"): ModelId("old")}
    stays = state.reached(replace(grouped(new="g", b="g"), renames=renames))
    assert groups_of(stays) == {"g": {"members": ["new", "b"]}}
    assert stays.reached(NOTHING).config == CONFIG
    moves = state.reached(replace(grouped(new="h", b="g"), renames=renames))
    assert groups_of(moves) == {"g": {"members": ["b"]}, "h": {"members": ["new"]}}
    assert moves.reached(NOTHING).config == CONFIG


def test_what_somebody_adds_to_our_group_keeps_it() -> None:
    """A member and a setting of somebody else's stay, with all around them."""
    state = world().reached(grouped(a="g"))
    by_hand = state.config.replace(b"- a\n", b"- a\n      - mine\n    swap: false\n")
    after = replace(state, config=by_hand).reached(NOTHING)
    assert groups_of(after) == {"g": {"members": ["mine"], "swap": False}}


def test_a_found_member_stays_until_its_model_goes() -> None:
    """Who stood in a group before us stays when the manifest stops saying so."""
    theirs = "groups: {g: {members: [mine, a]}}\n"
    state = world(theirs).reached(grouped(a="g"))
    assert state.ledger.models[ModelId("a")].group == LedgerGroup(name="g", found=True)
    assert state.reached(grouped(a=None)).config.endswith(theirs.encode())


def test_a_lost_ledger_makes_members_found() -> None:
    """Nobody can prove that a member was ours, so it is left where it is."""
    state = world().reached(grouped(a="g"))
    models = {key: replace(item, group=None) for key, item in state.ledger.models.items()}
    lost = replace(state, ledger=replace(state.ledger, models=models))
    after = lost.reached(grouped(a=None))
    assert groups_of(after) == {"g": {"members": ["a"]}}


@pytest.mark.parametrize(
    ("groups", "line", "message"),
    [
        ("groups:\n  h:\n    members:\n      - mine\n      - a\n", 9, "member of group h by hand"),
        ("matrix:\n  sets:\n    s: mine\n", 5, "llama-swap takes no groups beside one"),
        (
            "routing:\n  router:\n    settings:\n      matrix: {sets: {s: mine}}\n",
            8,
            "llama-swap takes no groups beside one",
        ),
        ("x: &l [mine]\ngroups:\n  g:\n    members: *l\n", 8, "alias"),
    ],
)
def test_a_group_that_cannot_be_joined_is_refused_with_its_line(
    groups: str, line: int, message: str
) -> None:
    """The refusal names the file and the line, and the config stays as it is."""
    plan = world(groups).plan(grouped(a="g"))
    [refusal] = plan.refusals
    assert refusal.message.startswith(f"/etc/config.yaml:{line}:")
    assert message in refusal.message
    assert plan.config_after == plan.config_before


def test_a_ledger_keeps_memberships_and_reads_older_ones() -> None:
    """What is written down comes back whole; a ledger from before there were groups loads too."""
    ledger = world("groups: ~\n").reached(grouped(a="g")).ledger
    document = ledger_to_json(ledger)
    assert ledger_from_json(document) == ledger
    assert ledger.scaffold.groups
    for item in document["models"]:
        del item["group"]
    del document["scaffold"]["groups"]
    older: Ledger = ledger_from_json(document)
    assert older.models[ModelId("a")].group is None
    assert older.scaffold.groups == ()


@each_config()
def test_a_published_config_gets_members_and_its_old_bytes_back(config: Path) -> None:
    """In a group it has and in a new one; what is refused has a matrix, whose line is told."""
    old = config.read_bytes()
    state = World(config=old)
    theirs = str(next(iter(as_mapping(groups_of(state))), "g"))
    plan = state.plan(grouped(ours=theirs, ours2="fresh"))
    if plan.refusals:
        line = int(plan.refusals[0].message.split(":")[1])
        assert b"matrix:" in old.splitlines()[line - 1]
        return
    there = state.applied(plan)
    assert loading(old) <= loading(there.config)
    assert there.plan(grouped(ours=theirs, ours2="fresh")).is_empty
    moved = there.reached(grouped(ours="fresh", ours2=theirs))
    assert moved.reached(NOTHING).config == old


@st.composite
def configs_with_groups(draw: st.DrawFn) -> bytes:
    """Draw a config that may have groups of its own, of models that it has."""
    base = draw(configs())
    theirs = draw(st.sampled_from(("", *THEIRS)))
    try:
        view = read_config(base, "config.yaml")
    except ConfigUnreadable:
        assume(False)
    names = [*view.models, "mine", "mine2"]
    for word, name in (("mine2", names[1]), ("mine", names[0])):
        theirs = re.sub(rf"\b{word}\b", f'"{name}"', theirs)
    assume(b"\ngroups" not in base and b"\n---" not in base and b"\n..." not in base)
    assume(b"\n" in base and not base.startswith((b"groups", b"{", b"---")))
    newline = b"\r\n" if b"\r\n" in base else b"\n"
    text = theirs.encode().replace(b"\n", newline)
    if draw(st.booleans()):
        return text + base.removeprefix(b"\xef\xbb\xbf")
    return base + (b"" if base.endswith(newline) else newline) + text


STATES = st.dictionaries(
    st.sampled_from(("ours", "ours2", "7", "a")),
    st.sampled_from((None, "g", "h", "7", "new")),
    max_size=3,
)


@trying(30)
@given(configs_with_groups(), st.lists(STATES, min_size=1, max_size=4), st.data())
def test_any_sequence_of_memberships_ends_in_the_old_bytes(
    old: bytes, states: list[dict[str, str | None]], data: st.DataObject
) -> None:
    """After each plan that is not refused another finds nothing to do, and a llama-swap that loaded
    the file before still does; with all taken out, the file is what it was.
    """
    try:
        read_config(old, "config.yaml")
    except ConfigUnreadable:
        assume(False)
    state = World(config=old)
    applied = 0
    for groups in states:
        off = data.draw(st.sampled_from((*groups, None)))
        wanted = desired(
            *(member(name, group, enabled=name != off) for name, group in groups.items())
        )
        plan = state.plan(wanted)
        if not plan.refusals:
            loaded = loading(state.config)
            state = state.applied(plan)
            assert loaded <= loading(state.config)
            applied += 1
            assert state.plan(wanted).is_empty
    event(f"{applied} of {len(states)} applied")
    last = state.plan(NOTHING)
    event("could go" if not last.refusals else f"could not: {last.refusals[0].message[:60]}")
    if not last.refusals:
        assert state.applied(last).config == old
