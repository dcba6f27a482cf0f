"""CPU of planning and of splicing llama-swap's config, within one process that has started."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.measure import machine
from reconciler.core.comparison import compare_states
from reconciler.core.desired import Desired, DesiredModel
from reconciler.core.edits import (
    AddEntry,
    AddItem,
    Edit,
    RemoveEntry,
    RemoveItem,
    RenameKey,
    SetField,
)
from reconciler.core.ledger import Ledger, Scaffold
from reconciler.core.llamaswap.version import NEWEST
from reconciler.core.manifest import Serve
from reconciler.core.observed import Observed
from reconciler.core.plan import Plan, build_plan
from reconciler.core.values import Json
from reconciler.core.yamltext.compose import compose
from reconciler.core.yamltext.config import splice
from reconciler.core.yamltext.models import config_values
from tests.support.worlds import World, desired, model

MODELS = 1000
IN_FLOW = 300
RUNS = 9
_PLAN_SECONDS = 0.2
_SPLICE_SECONDS = 0.5
Measured = tuple[str, float, Callable[[], object]]


def table(_options: Sequence[str]) -> str:
    """Measure, and give the table as Markdown. There are no options."""
    rows = [
        f"CPU seconds in process ({machine()}; {RUNS} times each, the first not counted)",
        "",
        "| what | least | median | at most | |",
        "| :--- | ---: | ---: | ---: | :--- |",
    ]
    for what, most, work in (*_plans(), *_splices()):
        taken = _cpu_seconds(work)
        least, median = min(taken), statistics.median(taken)
        # The least is what the work costs; all above it is what others on the machine cost.
        verdict = "" if least <= most else "too slow"
        rows.append(f"| {what} | {least:.3f} s | {median:.3f} s | {most} s | {verdict} |")
    return "\n".join([*rows, ""])


def _cpu_seconds(work: Callable[[], object]) -> list[float]:
    work()
    taken = []
    for _ in range(RUNS):
        # A command reads each text for the first time.
        compose.cache_clear()
        config_values.cache_clear()
        gc.collect()
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return taken


def _plans() -> Iterator[Measured]:
    models = [_model(f"model-{number:04d}", ttl_seconds=300) for number in range(MODELS)]
    changed = [_model(item.spec.id, ttl_seconds=60) for item in models]
    world = World(running=True).reached(desired(*models))
    cases = {
        "nothing to do": models,
        "one model changed": [*changed[:1], *models[1:]],
        "one model gone": models[1:],
        "one model new": [*models, _model("one-more", ttl_seconds=300)],
        "half of them gone": models[::2],
        "all of them changed": changed,
    }
    for what, wanted in cases.items():
        plan = partial(_plan, world.observed(), world.ledger, desired(*wanted))
        assert not plan().refusals, what
        yield f"plan, {MODELS} models: {what}", _PLAN_SECONDS, plan


def _plan(observed: Observed, ledger: Ledger, wanted: Desired) -> Plan:
    """Plan as a run does for a llama-swap that runs: its version is asked where entries change."""
    compared = compare_states(wanted, observed, ledger, server="llama-server")
    if compared.changing:
        compared = compared.looked_closer(replace(observed, version=NEWEST))
    return build_plan(compared, allow_prune=True)


def _model(name: str, *, ttl_seconds: int) -> DesiredModel:
    args = {"ctx-size": 8192, "jinja": True}
    return model(name, serve=Serve(args=args, fields={"ttl": ttl_seconds}))


def _splices() -> Iterator[Measured]:
    names = [f"model-{number:04d}" for number in range(MODELS)]
    block = _config(names)
    flow = _config_in_flow(names[:IN_FLOW])
    fields: dict[str, Json] = {"cmd": "run --port ${PORT} -m /m/new.gguf", "ttl": 300}
    cases: dict[str, tuple[bytes, Sequence[Edit]]] = {
        f"{MODELS} models: one added": (block, [AddEntry(model="new", fields=fields)]),
        f"{MODELS} models: a field of each set": (block, _sets(names)),
        f"{MODELS} models: all removed": (block, [RemoveEntry(model=name) for name in names]),
        f"{MODELS} models: five of each edit of places": (block, _items(names)),
        f"{IN_FLOW} models in flow: a field of each set": (flow, _sets(names[:IN_FLOW])),
        f"{IN_FLOW} models in flow: all removed": (
            flow,
            [RemoveEntry(model=name) for name in names[:IN_FLOW]],
        ),
    }
    for what, (config, edits) in cases.items():
        work = partial(splice, config, "config", edits, Scaffold())
        yield f"splice, {what}", _SPLICE_SECONDS, work


def _sets(names: Sequence[str]) -> Sequence[Edit]:
    return [SetField(model=name, key="ttl", value=60) for name in names]


def _items(names: Sequence[str]) -> Sequence[Edit]:
    members = ("groups", "all", "members")
    return [
        *(RemoveItem(place=(*members, str(number))) for number in range(5)),
        *(AddItem(place=(*members, str(len(names))), value=f"new-{number}") for number in range(5)),
        *(RenameKey(place=("models", name), key=f"{name}-renamed") for name in names[5:10]),
    ]


def _config(names: Sequence[str]) -> bytes:
    entries = "".join(
        f"  {name}:\n    cmd: |\n      llama-server --port ${{PORT}}\n"
        f"      -m /models/{name}.gguf\n      -c 8192\n"
        f"    ttl: 300\n    aliases: [{name}-chat]\n\n"
        for name in names
    )
    members = "".join(f"      - {name}\n" for name in names)
    return f"models:\n{entries}groups:\n  all:\n    members:\n{members}".encode()


def _config_in_flow(names: Sequence[str]) -> bytes:
    entries = ", ".join(f'"{name}": {{"cmd": "run ${{PORT}}", "ttl": 300}}' for name in names)
    return f"models: {{{entries}}}\n".encode()
