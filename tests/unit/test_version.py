"""Which llama-swap judges a config: the one that runs, else the newest that is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.desired import Desired
from reconciler.core.llamaswap.rules import introduced, judge, standing
from reconciler.core.llamaswap.version import parse_version
from reconciler.core.manifest import Serve
from reconciler.core.plan import Plan
from reconciler.core.values import Json
from tests.support.worlds import World, desired, model, planned

_OLD, _NEW = 173, 250
_CMD = "srv --port ${PORT}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250", 250),
        ("v250", 250),
        ("v250+5", 250),
        ("250-5-g0a1b2c3", 250),
        (" 173\n", 173),
        ("0", None),
        ("local_0a1b2c3", None),
        ("1234567", None),
        ("2.5", None),
        ("", None),
        (None, None),
    ],
)
def test_number_of_a_build(text: str | None, number: int | None) -> None:
    """A release, and what is built after it, has a number; a build of one's own has none."""
    assert parse_version(text) == number


def _config(**more: Json) -> dict[str, Json]:
    return {"models": {"a": {"cmd": _CMD}, "b": {"cmd": _CMD}}, **more}


def _with(**fields: Json) -> dict[str, Json]:
    return {"models": {"a": {"cmd": _CMD, **fields}, "b": {"cmd": _CMD}}}


_PINS: Json = {"p": {"pins": {"x": "a"}}}
_ONLY_2025 = _config(profiles={"p": ["a", "b"]})
_ONLY_2026 = _config(profiles=_PINS)


@pytest.mark.parametrize(
    ("before", "after", "refused_by"),
    [
        # What only 2026 refuses is refused as long as nobody says that an older build runs.
        (_config(), _with(ttl=-2), {_NEW, None, 190}),
        (_config(), _with(capabilities={"in": ["video"]}), {_NEW, None, 190}),
        (_config(), _config(groups={"g": {"members": ["gone"]}}), {_NEW, None, 190}),
        # What both refuse is refused by all.
        (_config(), _with(env=["A"]), {_OLD, _NEW, None, 190}),
        # What only 2025 refuses is refused there alone.
        (_config(), _config(profiles=_PINS), {_OLD}),
        # A file that only 2025 loads shows which build runs.
        (_ONLY_2025, {**_ONLY_2025, **_with(ttl=-2)}, {_NEW}),
        (_ONLY_2025, {**_ONLY_2025, **_with(env=["A"])}, {_OLD, _NEW, None, 190}),
        # One that neither loads shows nothing.
        ({**_ONLY_2025, **_with(env=["A"])}, {**_ONLY_2025, **_with(ttl=-2)}, {_NEW, None, 190}),
        # One that only 2026 loads is judged by it.
        (_ONLY_2026, {**_ONLY_2026, **_with(ttl=-2)}, {_NEW, None, 190}),
        # What was refused before is nobody's fault now.
        (_with(ttl=-2), _with(ttl=-2, name="A"), set()),
        (_with(env=["A"]), _with(env=["A"], name="A"), set()),
    ],
)
def test_who_refuses_what_is_introduced(
    before: dict[str, Json], after: dict[str, Json], refused_by: set[int | None]
) -> None:
    """A known build judges alone, whatever others say; else the newest known, or 2025's where the
    file was fit for that alone. Builds that nobody measured count as unknown.
    """
    versions = (_OLD, _NEW, None, 190)
    assert {each for each in versions if introduced(judge(before), after, each)} == refused_by


def test_what_stood_there_is_told_by_the_one_who_judges() -> None:
    """A known build's faults are told as they are; else the newest's, and from which build on."""
    data = _config(groups={"g": {"members": ["gone"]}})
    assert standing(judge(data), _OLD) == ()
    (known,) = standing(judge(data), _NEW)
    assert known.message == "groups.g.members.0: 'gone' names no model"
    (unknown,) = standing(judge(data), None)
    assert unknown.message == (
        "groups.g.members.0: 'gone' names no model "
        "(llama-swap from 218 on does not start with this)"
    )
    (both,) = standing(judge(_with(env=["A"])), None)
    assert "from" not in both.message
    assert standing(judge(_ONLY_2026), None) == ()


THEIRS = b"models:\n  mine:\n    cmd: srv --port ${PORT} -m /mine.gguf\n"


def _plan(world: World, wanted: Desired, version: int | None) -> Plan:
    observed = replace(world.observed(), version=version)
    return planned(wanted, observed, world.ledger, allow_prune=True)


def _declared(**fields: Json) -> Desired:
    item = model("a", serve=Serve(fields=fields))
    return desired(replace(item, spec=replace(item.spec, path="home.yaml", line=12)))


@pytest.mark.parametrize(
    ("fields", "refused_by", "key"),
    [
        ({"ttl": -2}, {_NEW, None}, "ttl"),
        ({"env": ["A"]}, {_OLD, _NEW, None}, "env"),
        ({"name": "${nothing}"}, {_NEW, None}, "name"),
        ({"capabilities": {"in": ["video"]}}, {_NEW, None}, "capabilities"),
        ({"ttl": 60, "capabilities": {"in": ["text"]}}, set(), ""),
    ],
)
def test_plan_refuses_what_the_running_build_would(
    fields: dict[str, Json], refused_by: set[int | None], key: str
) -> None:
    """The refusal names the manifest's line and the key, and the config stays as it is."""
    world = World(config=THEIRS)
    for version in (_OLD, _NEW, None):
        plan = _plan(world, _declared(**fields), version)
        assert bool(plan.refusals) == (version in refused_by), version
        for refusal in plan.refusals:
            assert refusal.message.startswith("home.yaml:12: llama-swap would refuse the config: ")
            assert f"models.a.{key}" in refusal.message
            assert refusal.hint == f"mend `serve.{key}` of a in the manifest"
            assert plan.config_after == THEIRS


def test_what_stood_there_before_us_never_blocks() -> None:
    """A fault of theirs is a warning with its line, by every build, and we write beside it."""
    config = THEIRS + b"groups:\n  g:\n    members: [mine, gone]\n"
    for version, told in ((_OLD, False), (_NEW, True), (None, True)):
        plan = _plan(World(config=config), _declared(ttl=60), version)
        assert plan.refusals == ()
        assert plan.config_after != config
        assert [line.startswith("/etc/config.yaml:6: ") for line in plan.warnings] == [True] * told


def test_text_that_cannot_come_back_is_told_with_the_way_out() -> None:
    """Their command was one that llama-swap does not load: giving it back is refused, with its line
    and what to do; once they have done it the model goes, and their edit stays.
    """
    broken = b"models:\n  a:\n    cmd: /run.sh\n    ttl: 7\n"
    wanted = desired(model("a", serve=Serve(args={"jinja": True})))
    world = World(config=broken).reached(wanted)
    plan = world.plan(desired())
    (refusal,) = plan.refusals
    assert "the text that stood there before us" in refusal.message
    assert refusal.hint.startswith("edit cmd of a (line 3 of the config) by hand")
    mended = replace(world, config=world.config.replace(b" --jinja", b" --jinja --mine"))
    assert mended.config != world.config
    plan = mended.plan(desired())
    assert plan.refusals == ()
    assert any("cmd was edited by hand" in line for line in plan.warnings)
    assert plan.config_after == mended.config


def test_version_is_part_of_what_a_plan_was_decided_on() -> None:
    """A plan for one build is not mistaken for one for another."""
    world = World(config=THEIRS)
    plans = {_plan(world, _declared(ttl=60), version).fingerprint for version in (_OLD, _NEW, None)}
    assert len(plans) == 3
