"""Configs that people really run, planned for: what we do to them, and what we take back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from reconciler.core.desired import DesiredModel
from reconciler.core.llamaswap.references import read_references
from reconciler.core.manifest import Serve
from reconciler.core.yamltext.config import read_config
from reconciler.errors import ConfigUnreadable
from tests.support.corpus import UNREADABLE, corpus_files, each_config, inserted, needs_corpus
from tests.support.judge import accepted_by
from tests.support.served_configs import add_reference
from tests.support.worlds import World, desired, model, pinned

SERVE = Serve(args={"ctx-size": 8192, "jinja": True}, fields={"ttl": 300, "aliases": ["zz-new"]})
BYTES = pinned("new", "new-1")
NEW = model("new:Q4", BYTES, serve=SERVE)
CHANGED = model("new:Q4", BYTES, serve=replace(SERVE, fields={"ttl": 60, "name": "on"}))
RENAMED = model("renamed", BYTES, serve=CHANGED.spec.serve, renamed_from="new:Q4")


def reached(world: World, *models: DesiredModel) -> World:
    """Plan and apply what must not be refused; whoever loaded the config before still does, and
    what was done is done.
    """
    wanted = desired(*models)
    plan = world.plan(wanted)
    assert not plan.refusals
    after = world.applied(plan)
    assert accepted_by(world.config) <= accepted_by(after.config)
    assert after.plan(wanted).is_empty
    return after


@each_config()
def test_model_comes_changes_gets_another_name_and_goes(config: Path) -> None:
    """A new model only adds bytes; a change and a rename stay within them; taken out, the old bytes
    are back.
    """
    old = config.read_bytes()
    world = reached(World(config=old), NEW)
    assert b"new:Q4" in inserted(old, world.config)
    world = reached(world, CHANGED)
    changed = inserted(old, world.config)
    world = reached(world, RENAMED)
    renamed = inserted(old, world.config)
    assert b"renamed" in renamed
    assert b"new:Q4" not in renamed
    assert changed.count(b"\n") == renamed.count(b"\n")
    assert reached(world).config == old


@each_config()
def test_comments_around_our_model_survive_all_of_it(config: Path) -> None:
    """What a person writes above and below our entry is there to the end, where it was."""
    old = config.read_bytes()
    world = reached(World(config=old), NEW)
    view = read_config(world.config, config.name)
    lines = world.config.split(b"\n")
    newline = b"\r" if lines[0].endswith(b"\r") else b""
    line = view.models["new:Q4"].line - 1
    indent = lines[line][: len(lines[line]) - len(lines[line].lstrip())]
    lines[line:line] = [indent + b"# by hand, above" + newline]
    world = replace(world, config=b"\n".join(lines))
    for wanted in ((CHANGED,), (RENAMED,), ()):
        world = reached(world, *wanted)
        assert world.config.count(b"# by hand, above") == 1
    # A blank line that parted our entry from theirs may stay, for it now parts the comment.
    left = world.config.replace(b"# by hand, above", b"")
    assert left.split() == old.split()
    assert left.count(b"\n") - old.count(b"\n") in (1, 2)


@each_config()
def test_model_of_theirs_is_given_back_as_it_was(config: Path) -> None:
    """An entry that stood there before us, enforced and let go, has its old bytes again. Where
    another one is made of it, nothing is done, and the line of the other is named.
    """
    old = config.read_bytes()
    theirs = list(read_config(old, config.name).models)
    world = World(config=old)
    serve = Serve(args={"ctx-size": 8192}, fields={"ttl": 4321, "name": "a: b #c"})
    for key in (theirs[0], theirs[-1]):
        taken = model(key, BYTES, serve=serve)
        plan = world.plan(desired(taken))
        if plan.refusals:
            (refusal,) = plan.refusals
            assert re.search(r"config\.yaml:\d+.* holds anchor .*, which line \d+", refusal.message)
            assert plan.config_after == old
            continue
        assert plan.config_after not in (None, old)
        assert reached(reached(world, taken)).config == old


@each_config()
def test_model_of_theirs_comes_back_from_another_name(config: Path) -> None:
    """Renamed, an entry that stood there before us takes along what refers to it; taken out, every
    byte is as it was.
    """
    old = config.read_bytes()
    view = read_config(old, config.name)
    named = {item.name for item in read_references(view.data)}
    key = next((key for key in view.models if key in named), next(iter(view.models)))
    serve = Serve(args={"ctx-size": 8192})
    world = World(config=old).reached(desired(model(key, BYTES, serve=serve)))
    world = reached(world, model("renamed", BYTES, serve=serve, renamed_from=key))
    after = read_config(world.config, config.name)
    assert list(after.models) == ["renamed" if item == key else item for item in view.models]
    assert key not in {item.name for item in read_references(after.data)}
    assert reached(world).config == old


@each_config()
@pytest.mark.parametrize("seed", range(2))
def test_what_people_write_of_our_model_never_dangles(config: Path, seed: int) -> None:
    """Named by a person in a place of its own, a model that goes takes that with it, or stays."""
    world = reached(World(config=config.read_bytes()), NEW)
    present = set(read_config(world.config, config.name).data)
    names = ["new:Q4", "zz-new"]
    written = add_reference(world.config, present, names, Random(f"{config.name} {seed}"))  # noqa: S311 - variety
    world = replace(world, config=written)
    for wanted in (desired(RENAMED), desired(replace(NEW, spec=replace(NEW.spec, enabled=False)))):
        plan = world.plan(wanted)
        after = world.applied(plan).config
        assert plan.refusals or accepted_by(written) <= accepted_by(after)


@needs_corpus
def test_config_that_nobody_could_load_is_refused_with_its_line() -> None:
    """A file with a key twice is not planned for at all; the error says where it is wrong."""
    (path,) = (path for path in corpus_files() if path.name == UNREADABLE)
    data = path.read_bytes()
    assert not accepted_by(data)
    with pytest.raises(ConfigUnreadable, match=r"config\.yaml:16:1: key 'startPort'"):
        World(config=data).plan(desired(NEW))
