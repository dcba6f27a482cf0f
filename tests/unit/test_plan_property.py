"""Whatever is planned, llama-swap loads the result, and nothing that is not ours changes."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.core.desired import DesiredModel
from reconciler.core.ledger import Ledger
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.plan import Plan
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config
from tests.support.judge import accepted_by
from tests.support.llama_swap_loader import Model, load
from tests.support.served_configs import NAMES, add_reference, make_served_config
from tests.support.worlds import World, desired, model, pinned

# The suite tries the same few each time; a search for more sets the number, and looks elsewhere.
EXAMPLES = os.environ.get("RECONCILER_HYPOTHESIS_EXAMPLES")
at_length = settings(
    max_examples=int(EXAMPLES or "25"), deadline=None, derandomize=EXAMPLES is None
)
briefly = settings(max_examples=int(EXAMPLES or "12"), deadline=None, derandomize=EXAMPLES is None)
SEEDS = st.integers(0, 2**32 - 1)
OURS = ("ours", "ours/2:Q4", "1e3")
GROUPS = ("g", "fresh", "on")


def declared_next(
    chance: Random, before: Sequence[DesiredModel], names: Collection[str]
) -> list[DesiredModel]:
    """Draw what a manifest declares next: some as before, some changed, gone, new or renamed."""
    models: dict[str, DesiredModel] = {}
    for item in before:
        old = item.spec.id
        match chance.choice(("same", "same", "changed", "gone", "disabled", "renamed")):
            case "same":
                models[old] = replace(item, spec=replace(item.spec, renamed_from=None))
            case "changed":
                models[old] = drawn(chance, old)
            case "disabled":
                spec = replace(item.spec, enabled=False, renamed_from=None)
                models[old] = replace(item, spec=spec)
            case "renamed":
                new = chance.choice(sorted(names))
                if new not in {each.spec.id for each in before} | models.keys():
                    serve = (
                        item.spec.serve if chance.random() < 0.5 else drawn(chance, new).spec.serve
                    )
                    on = chance.random() < 0.8
                    models[new] = model(new, *item.files, serve=serve, enabled=on, renamed_from=old)
            case _:
                pass
    for name in chance.sample(sorted(names), chance.randrange(min(3, len(names) + 1))):
        if name not in models and name not in {item.spec.renamed_from for item in models.values()}:
            models[name] = drawn(chance, name)
    return list(models.values())


def drawn(chance: Random, name: str) -> DesiredModel:
    """Draw a model of that ID; one of ours has a command of its own, and other names perhaps."""
    fields: dict[str, Json] = {}
    if chance.random() < 0.4:
        fields["aliases"] = [f"{name}-{chance.choice(NAMES)}"]
    if chance.random() < 0.3:
        fields["ttl"] = chance.choice((60, 300))
    args: dict[str, Json] = {"c": chance.choice((1, 2))}
    serve = Serve(
        args=args if name in OURS or chance.random() < 0.5 else None,
        group=chance.choice(GROUPS) if chance.random() < 0.3 else None,
        fields=fields,
    )
    return model(name, pinned(name, f"{name}-1"), serve=serve)


def without_first_names(world: World, wanted: Sequence[DesiredModel]) -> list[DesiredModel]:
    """Leave out who would take the ID that an entry had before us while we call it otherwise.

    That entry keeps its new name for good, and a warning says so.
    """
    staying = {item.spec.id for item in wanted} | {item.spec.renamed_from for item in wanted}
    first = {
        owned.entry.original_key
        for key, owned in world.ledger.models.items()
        if owned.entry is not None and key in staying
    }
    return [
        item for item in wanted if item.spec.id not in first or item.spec.renamed_from is not None
    ]


def edited_by_hand(chance: Random, world: World, declared: Sequence[DesiredModel]) -> World:
    """Give the world after somebody wrote of our models in a place of its own."""
    view = read_config(world.config, "config")
    ours = [item.spec.id for item in declared if item.spec.id in view.models]
    aliases = [alias for name in ours for alias in view.models[name].aliases]
    names = [*ours, *(alias for alias in aliases if alias not in view.models)]
    if not names:
        return world
    present = set(view.data)
    return replace(world, config=add_reference(world.config, present, names, chance))


def check(world: World, plan: Plan, foreign: Collection[str]) -> None:
    """Hold a plan that is not refused against what llama-swap makes of the config."""
    after = world.config if plan.config_after is None else plan.config_after
    for model_id in foreign:
        assert texts(world.config, model_id) == texts(after, model_id)
    accepting = accepted_by(world.config)
    assert accepting <= accepted_by(after)
    for behave in accepting:
        assert served(world.config, behave, foreign) == served(after, behave, foreign)
    kept = comments(world.config) + replaced_comments(world.ledger)
    assert sorted(kept) == sorted(comments(after) + replaced_comments(plan.ledger_after))


def served(config: bytes, behave: str, models: Collection[str]) -> Mapping[str, Model]:
    """Give what llama-swap makes of some models."""
    loaded = load(config, behave=behave, environ={}).models
    return {name: loaded[name] for name in models}


def texts(config: bytes, model_id: str) -> Mapping[str, str]:
    """Give the text of each field of a model."""
    fields = read_config(config, "config").models[model_id].fields
    return {key: field.text for key, field in fields.items()}


def comments(config: bytes) -> list[str]:
    """Give the lines that hold nothing but a comment."""
    lines = map(str.strip, config.decode().split("\n"))
    return [line for line in lines if line.startswith("#")]


def replaced_comments(ledger: Ledger) -> list[str]:
    """Give the comments that stood in values which we have replaced, and will give back.

    What stands beside a key is its own, and stays there.
    """
    entries = [model.entry for model in ledger.models.values() if model.entry is not None]
    originals = [field.original for entry in entries for field in entry.fields.values()]
    below = [text.partition("\n")[2] for text in originals if text]
    return [line for text in below for line in comments(text.encode())]


@at_length
@given(SEEDS)
def test_llama_swap_loads_whatever_is_planned(seed: int) -> None:
    """Models come, change, get new names and go, while people write of them in groups, profiles,
    matrix, selectors, hooks and priorities: a plan is refused, or every version that loaded the
    config before loads it after, with the models of others as they were; and then it is done.
    """
    chance = Random(seed)  # noqa: S311 - variety, not secrecy
    world = World(config=make_served_config(seed))
    assume(accepted_by(world.config))
    theirs = list(read_config(world.config, "config").models)
    names = {*OURS, *theirs[:1]}
    declared: list[DesiredModel] = []
    for _ in range(4):
        wanted = declared_next(chance, declared, names)
        plan = world.plan(desired(*wanted))
        if plan.refusals:
            continue
        check(world, plan, theirs[1:])
        declared, world = wanted, world.applied(plan)
        again = world.plan(desired(*wanted))
        assert again.config_after in (None, world.config), again.actions
        world = edited_by_hand(chance, world, declared) if chance.random() < 0.4 else world


@at_length
@given(SEEDS)
def test_taken_out_again_the_old_bytes_come_back(seed: int) -> None:
    """However the declared models changed in between, without them the config is as it was."""
    chance = Random(seed)  # noqa: S311 - variety, not secrecy
    old = make_served_config(seed)
    assume(accepted_by(old))
    world = World(config=old)
    names = {*OURS, *list(read_config(old, "config").models)[:1]}
    declared: list[DesiredModel] = []
    for _ in range(3):
        wanted = without_first_names(world, declared_next(chance, declared, names))
        plan = world.plan(desired(*wanted))
        if not plan.refusals:
            declared, world = wanted, world.applied(plan)
    plan = world.plan(desired())
    assert not plan.refusals
    assert world.applied(plan).config == old


@briefly
@given(SEEDS)
def test_whatever_it_is_called_an_entry_comes_back(seed: int) -> None:
    """An entry that stood there before us gets one name after the other, and its first one again,
    with and without a word of where it comes from, in groups, under other aliases, disabled, while
    others refer to it: at the end every byte is as it was, or nothing was done in the first place.
    """
    chance = Random(seed)  # noqa: S311 - variety, not secrecy
    old = make_served_config(seed)
    assume(accepted_by(old))
    theirs = list(read_config(old, "config").models)
    world = World(config=old)
    names = (*OURS, "x", "y", theirs[0])
    name = theirs[0]
    for _ in range(5):
        told = chance.random() < 0.7
        wanted = drawn(chance, chance.choice(names) if told or chance.random() < 0.5 else theirs[0])
        spec = replace(
            wanted.spec,
            renamed_from=ModelId(name) if told and wanted.spec.id != name else None,
            enabled=chance.random() < 0.85,
        )
        item = DesiredModel(spec=spec, files=(pinned(theirs[0], "bytes"),))
        plan = world.plan(desired(item))
        if plan.refusals:
            assert plan.config_after == world.config
            continue
        check(world, plan, theirs[1:])
        name, world = spec.id, world.applied(plan)
        assert world.plan(desired(item)).is_empty
    plan = world.plan(desired())
    assert not plan.refusals
    assert world.applied(plan).config == old
