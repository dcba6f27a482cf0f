"""References follow the models they lead to, or the plan is refused with their line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import pytest

from reconciler.core.actions import EditReference
from reconciler.core.desired import Desired
from reconciler.core.following import follow
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.plan import Plan
from reconciler.core.values import Json
from tests.support.llama_swap_loader import ConfigRefused, load
from tests.support.worlds import World, desired, model, pinned

THEIRS = b"""\
macros: {who: a, nickname: nick}
models:
  mine: {cmd: 'x ${PORT}'}
  other: {cmd: 'x ${PORT}'}
"""
BYTES = pinned("a", "a-1")

# How each kind of place is written, in blocks and in braces, around the items that name models.
BLOCK = {
    "group": "groups:\n  g:\n    members:\n<list>",
    "group below routing": "routing:\n  router:\n    use: group\n    settings:\n      groups:\n"
    "        g:\n          members:\n<list>",
    "matrix variable": "matrix:\n  vars:\n<vars>  sets:\n    s: mine\n",
    "matrix set": "matrix:\n  sets:\n    t: mine\n    s: <set>  # all\n",
    "matrix cost": "matrix:\n  evict_costs:\n<keys>  sets:\n    s: mine\n",
    "profile": "profiles:\n  p:\n    pins:\n<pins>",
    "selector": "selectors:\n  s:\n    strategy: pin\n    targets:\n<list>",
    "preload": "hooks:\n  on_startup:\n    preload:\n<list>",
    "priority": "routing:\n  scheduler:\n    settings:\n      fifo:\n        priority:\n<keys>",
}
FLOW = {
    "group": "groups: {g: {members: [<flow>]}}",
    "group below routing": "routing: {router: {use: group, settings: {groups: {g: {members: "
    "[<flow>]}}}}}\n",
    "matrix variable": "matrix: {vars: {<vars-flow>}, sets: {s: mine}}\n",
    "matrix set": "matrix: {sets: {t: mine, s: '<set>'}}\n",
    "matrix cost": "matrix: {evict_costs: {<keys-flow>}, sets: {s: mine}}\n",
    "profile": "profiles: {p: {pins: {<vars-flow>}}}\n",
    "selector": "selectors: {s: {strategy: pin, targets: [<flow>]}}\n",
    "preload": "hooks: {on_startup: {preload: [<flow>]}}\n",
    "priority": "routing: {scheduler: {settings: {fifo: {priority: {<keys-flow>}}}}}\n",
}
ITEMS = {
    "first": ("{}", "mine", "other"),
    "middle": ("mine", "{}", "other"),
    "last": ("mine", "other", "{}"),
    "sole": ("{}",),
}
NAMES = {"ID": "a", "alias": "nick", "macro": "${who}", "alias by macro": "${nickname}"}
CHANGES = ("removed", "disabled", "renamed", "other alias")
# Where llama-swap expands no macro, or knows no alias, there is nothing to follow.
_KEYS = ("matrix cost", "priority")
_MATRIX = ("matrix variable", "matrix set", "matrix cost")


def written(items: tuple[str, ...]) -> dict[str, str]:
    """Give the items of one place, written in as many ways as there are kinds of places."""
    pairs = [f"v{number}: {quoted(item)}" for number, item in enumerate(items)]
    keys = [f"{item}: {number + 1}" for number, item in enumerate(items)]
    return {
        "list": "".join(f"            - {quoted(item)}  # {item}\n" for item in items),
        "flow": ", ".join(map(quoted, items)),
        "vars": "".join(f"    {pair}\n" for pair in pairs),
        "vars-flow": ", ".join(pairs),
        "pins": "".join(f"      {pair}\n" for pair in pairs),
        "set": " & ".join(items),
        "keys": "".join(f"          {key}\n" for key in keys),
        "keys-flow": ", ".join(keys),
    }


def quoted(item: str) -> str:
    """Quote what braces would break."""
    return f'"{item}"' if "$" in item else item


@dataclass(frozen=True)
class Case:
    """One place that leads to our model, and what becomes of that."""

    kind: str
    flow: bool
    position: str
    name: str
    change: str

    def __str__(self) -> str:
        style = "flow" if self.flow else "block"
        return f"{self.kind}-{style}-{self.position}-{self.name}-{self.change}"

    def section(self) -> bytes:
        """Give the text of the place."""
        items = tuple(item.format(NAMES[self.name]) for item in ITEMS[self.position])
        text = (FLOW if self.flow else BLOCK)[self.kind]
        for way, words in written(items).items():
            text = text.replace(f"<{way}>", words)
        return text.encode()

    @property
    def is_concerned(self) -> bool:
        """Whether the place leads to the model before the change, and no longer after."""
        by_alias = self.name.startswith("alias")
        if "macro" in self.name and self.kind in _KEYS:
            return False
        if self.kind in _MATRIX and by_alias:
            return False
        return by_alias if self.change == "other alias" else True

    @property
    def is_refused(self) -> bool:
        """Whether nobody but its author can say what should stand there."""
        goes = self.change in ("removed", "disabled")
        if not goes and self.change == "renamed" and self.name.startswith("alias"):
            return False  # The alias stays, and leads to the model under its new ID.
        if "macro" in self.name:
            return True
        if self.kind == "matrix set":
            return goes
        return goes and self.position == "sole" and self.kind in ("profile", "selector")


CASES = [
    case
    for each in product(BLOCK, (False, True), ITEMS, NAMES, CHANGES)
    # Where an item stands has to do with how it is written, and not with how it names its model.
    if (case := Case(*each)).is_concerned
    and (case.name == "ID" or case.position in ("last", "sole"))
]


def serving(*aliases: str) -> Serve:
    """Give what is declared of our model."""
    return Serve(fields={"aliases": list(aliases)} if aliases else {})


def wanted(change: str) -> Desired:
    """Give the manifest after the change."""
    match change:
        case "removed":
            return desired()
        case "disabled":
            return desired(model("a", BYTES, serve=serving("nick"), enabled=False))
        case "renamed":
            return desired(model("b", BYTES, serve=serving("nick"), renamed_from="a"))
        case _:
            return desired(model("a", BYTES, serve=serving("another")))


@cache
def applied(*aliases: str) -> World:
    """Give a host that serves our model `a`."""
    return World(config=THEIRS).reached(desired(model("a", BYTES, serve=serving(*aliases))))


def world_with(section: bytes, *aliases: str) -> World:
    """Give such a host, with a config that refers to the model."""
    world = applied(*aliases)
    return replace(world, config=world.config + section)


def is_loaded(config: bytes | None) -> bool:
    """Whether the newest loader takes the config."""
    try:
        load(config or b"", behave="2026", environ={})
    except ConfigRefused:
        return False
    return True


def edited(plan: Plan) -> list[tuple[str, int, str, str | None]]:
    """Give the references that a plan edits."""
    return [
        (item.kind, item.line, item.before, item.after)
        for item in plan.actions
        if isinstance(item, EditReference)
    ]


def line_of(case: Case, world: World) -> int:
    """Give the line, from 1, at which the place names our model."""
    above = world.config.removesuffix(case.section()).count(b"\n")
    named = re.compile(rf"(?<![\w.-]){re.escape(NAMES[case.name])}(?![\w.-])")
    lines = case.section().decode().split("\n")
    return above + next(number for number, line in enumerate(lines, 1) if named.search(line))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_reference_is_left_behind(case: Case) -> None:
    """A model is removed, disabled, renamed or loses a name, and something refers to it: the newest
    loader takes what comes out, or the plan is refused with the line of just that place.
    """
    world = world_with(case.section(), "nick")
    assert is_loaded(world.config)
    plan = world.plan(wanted(case.change))
    assert is_loaded(plan.config_after)
    if case.is_refused:
        assert plan.config_after == world.config
        assert {item.message.split(": ")[0] for item in plan.refusals} == {
            f"/etc/config.yaml:{line_of(case, world)}"
        }
        return
    assert plan.refusals == ()
    assert plan.config_after != world.config
    after = world.applied(plan)
    assert after.plan(wanted(case.change)).actions == ()


def changed(config: str, *aliases: str, to: Desired) -> Plan:
    """Plan a change of our model `a`, which the lines of `config` refer to."""
    return world_with(config.encode(), *aliases).plan(to)


def renamed(name: str = "b") -> Desired:
    """Give the manifest with our model under another ID."""
    item = model("b", BYTES, renamed_from="a")
    return desired(replace(item, spec=replace(item.spec, id=ModelId(name))))


def test_the_plan_tells_of_each_reference_that_it_edits() -> None:
    """What refers to the model, its line, and what it says before and after."""
    config = "groups: {g: {members: [mine, a]}}\nhooks: {on_startup: {preload: [a, other]}}\n"
    gone, moved = (changed(config, to=wanted) for wanted in (desired(), renamed()))
    assert edited(gone) == [("group", 7, "a", None), ("preload", 8, "a", None)]
    assert edited(moved) == [("group", 7, "a", "b"), ("preload", 8, "a", "b")]
    assert moved.config_after is not None
    assert b"members: [mine, b]}}\nhooks: {on_startup: {preload: [b, " in moved.config_after


def test_a_name_that_is_lost_gives_way_to_the_id() -> None:
    """A model that loses an alias is still the one that was meant; no list names it twice."""
    config = (
        "groups: {g: {members: [nick, mine]}}\n"
        "selectors: {s: {strategy: pin, targets: [a, nick]}}\n"
    )
    plan = changed(config, "nick", to=wanted("other alias"))
    assert edited(plan) == [("group", 9, "nick", "a"), ("selector", 10, "nick", None)]
    assert is_loaded(plan.config_after)


def test_a_name_that_stood_there_before_us_is_not_taken_from_who_uses_it() -> None:
    """Of an entry that we found, an alias goes only where nobody would have to be rewritten: with
    the model all of it comes back. A name that came with us gives way to the ID.
    """
    entry = THEIRS + b"  a: {cmd: 'x ${PORT} -m /a.gguf', aliases: [nick, '${MODEL_ID}-x']}\n"
    refers = b"hooks: {on_startup: {preload: [nick, a-x]}}\n"
    other = desired(model("a", BYTES, serve=serving("another")))
    plan = World(config=entry + refers).plan(other)
    assert [item.message.split(": that name stood")[0] for item in plan.refusals] == [
        "/etc/config.yaml:6: preload names nick, a name that a would lose",
        "/etc/config.yaml:6: preload names a-x, a name that a would lose",
    ]
    assert plan.config_after == entry + refers
    world = World(config=entry).reached(other)
    assert world.plan(desired()).config_after == entry
    world = replace(world, config=world.config + b"hooks: {on_startup: {preload: [another]}}\n")
    assert edited(world.plan(desired())) == [("preload", 6, "another", "a")]
    more = desired(model("a", BYTES, serve=serving("yet another")))
    assert edited(world.plan(more)) == [("preload", 6, "another", "a")]


def test_two_names_that_are_lost_leave_one_id() -> None:
    """Two aliases in one list give way to the ID once."""
    plan = changed(
        "groups: {g: {members: [one, two]}}\n", "one", "two", to=desired(model("a", BYTES))
    )
    assert plan.config_after is not None
    assert b"members: [a]" in plan.config_after


def test_a_name_made_of_the_id_changes_with_it() -> None:
    """An alias that holds the ID by macro, and what refers to it, follow a rename."""
    own = (
        "    aliases: ['${MODEL_ID}-fast']\n"
        "    filters: {setParamsByID: {'${MODEL_ID}:high': {t: 1}}}\n"
    )
    refers = "selectors: {s: {strategy: pin, targets: [a-fast, 'a:high']}}\n"
    plan = changed(own + refers, to=renamed())
    assert edited(plan) == [
        ("selector", 9, "a-fast", "b-fast"),
        ("selector", 9, "a:high", "b:high"),
    ]
    assert is_loaded(plan.config_after)


def test_a_name_that_stands_for_parameters_has_no_substitute() -> None:
    """What `setParamsByID` names is the model in one way of its own, so its references are told."""
    high = Serve(fields={"filters": {"setParamsByID": {"a:high": {"t": 1}}}})
    world = World(config=THEIRS).reached(desired(model("a", BYTES, serve=high)))
    world = replace(world, config=world.config + b"hooks: {on_startup: {preload: ['a:high']}}\n")
    (refusal,) = world.plan(desired(model("a", BYTES))).refusals
    assert "preload names a:high, a name that a would lose" in refusal.message


MATRIX = """matrix:
  vars: {v: a, w: mine}
  evict_costs: {v: 3, w: 1}
  sets:
    s: w
"""


def test_a_variable_goes_with_its_cost() -> None:
    """A variable that no set uses is no part of the matrix; its cost goes too."""
    plan = changed(MATRIX, to=desired())
    assert [kind for kind, *_ in edited(plan)] == ["matrix variable", "matrix cost"]
    assert plan.config_after is not None
    assert b"vars: {w: mine}\n  evict_costs: {w: 1}\n" in plan.config_after
    assert is_loaded(plan.config_after)


def test_a_set_that_uses_a_variable_forbids_the_removal() -> None:
    """The set is named, since it is the set that somebody must think about."""
    plan = changed(MATRIX.replace("s: w", "s: w & v"), to=desired())
    (refusal,) = plan.refusals
    assert refusal.message.startswith("/etc/config.yaml:11: matrix set names v, whose entry would")


def test_a_variable_alone_follows_a_rename() -> None:
    """Sets and costs that name the variable stay as they are."""
    plan = changed(MATRIX.replace("s: w", "s: w & v"), to=renamed("x/y:z"))
    assert edited(plan) == [("matrix variable", 8, "a", "x/y:z")]
    assert is_loaded(plan.config_after)


def test_a_set_is_edited_by_its_words() -> None:
    """Every use of the ID in an expression changes, other words that hold it do not, and two models
    that are renamed at once both do.
    """
    world = World(config=THEIRS).reached(desired(model("a", BYTES), model("c")))
    text = b"matrix:\n  sets:\n    a: mine\n    s: c & (a & mine | a)  # a & c\n    t: a & +a\n"
    world = replace(world, config=world.config + text)
    plan = world.plan(
        desired(
            model("b", BYTES, renamed_from="a"), model("d", pinned("c", "c-1"), renamed_from="c")
        )
    )
    assert plan.refusals == ()
    assert plan.config_after is not None
    assert b"s: d & (b & mine | b)  # a & c\n    t: b & +a\n" in plan.config_after
    assert is_loaded(plan.config_after)


@pytest.mark.parametrize(
    ("name", "matrix", "why"),
    [
        ("x/y", "sets: {s: a}", "no set can name 'x/y': give it a variable"),
        ("w", "vars: {w: mine}, sets: {s: a & w}", "'w' is a variable of that matrix"),
        ("w", "vars: {w: mine}, sets: {s: w}, evict_costs: {a: 2}", "'w' stands there for"),
    ],
)
def test_a_set_takes_not_every_id(name: str, matrix: str, why: str) -> None:
    """An ID that the expression could not hold, or that means something else there, is told."""
    (refusal,) = changed(f"matrix: {{{matrix}}}\n", to=renamed(name)).refusals
    assert refusal.message.startswith("/etc/config.yaml:7: matrix")
    assert why in refusal.message


def test_two_priorities_of_one_model_are_left_to_their_author() -> None:
    """Where the ID has a priority of its own already, nobody knows which of the two is meant."""
    fifo = "routing: {scheduler: {settings: {fifo: {priority: {a: 1, nick: 2}}}}}\n"
    (refusal,) = changed(fifo, "nick", to=wanted("other alias")).refusals
    assert "priority names nick" in refusal.message


def test_an_alias_that_waits_for_the_id_is_told() -> None:
    """Another model's alias takes over an ID that goes: llama-swap takes it, and so do we."""
    config = THEIRS.replace(b"{cmd: 'x ${PORT}'}\n", b"{cmd: 'x ${PORT}', aliases: [a]}\n", 1)
    world = World(config=config).reached(desired(model("a", BYTES)))
    world = replace(world, config=world.config + b"hooks: {on_startup: {preload: [a]}}\n")
    plan = world.plan(desired())
    assert plan.refusals == ()
    assert edited(plan) == []
    assert plan.warnings == (
        "/etc/config.yaml:3: a is an alias of mine too: requests for it reach mine from now on",
    )
    assert edited(world.plan(renamed())) == [("preload", 7, "a", "b")]


def test_what_goes_with_the_same_plan_is_in_nobodys_way() -> None:
    """References are judged on the result: an alias that is taken away too is none."""
    both = desired(model("a", BYTES), model("b", serve=serving("a")))
    world = World(config=THEIRS).reached(both)
    plan = world.plan(desired(model("b")))
    assert (plan.refusals, plan.warnings) == ((), ())


def test_what_led_nowhere_before_stays() -> None:
    """A reference that somebody else broke is theirs; one that a peer answers too stands."""
    config = (
        "peers: {p: {proxy: 'http://x', models: [a]}}\n"
        "selectors: {nick: {strategy: pin, targets: [mine]}, s: {strategy: pin, targets: [a]}}\n"
        "hooks: {on_startup: {preload: [gone]}}\n"
    )
    assert edited(changed(config, to=desired())) == []


def test_nothing_lost_is_nothing_to_follow() -> None:
    """A config whose names all lead where they did has no reference looked at."""
    data: dict[str, Json] = {"models": {"a": {}}, "groups": {"g": {"members": ["a", "gone"]}}}
    assert follow(data, {**data, "models": {"a": {}, "b": {}}}, {}).edits == ()


def test_a_reference_that_cannot_be_edited_is_told_with_its_line() -> None:
    """The line is that of the file as it stands, though our entry above would be gone by then."""
    world = World(config=THEIRS).reached(desired(model("a", BYTES)))
    section = b"groups:\n  g:\n    members:\n      - &x a\n      - mine\nx: *x\n"
    world = replace(world, config=world.config + section)
    line = world.config.decode().split("\n").index("      - &x a") + 1
    (refusal,) = world.plan(desired()).refusals
    assert refusal.message.startswith(
        f"/etc/config.yaml:{line}: group names a, whose entry would go: "
    )
    assert f"holds anchor &x, which line {line + 2} uses" in refusal.message
