"""A plan with nothing to do, beside a plain load of a llama-swap config with as many models.

The load (PyYAML, pure Python) is what a tool pays before it starts to do anything. Ours is measured
twice: as it is asked again and again, with nothing changed since; and the whole way, with an empty
cache, where it reads manifest, lock, config, inventory and the disk, and decides.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Cost, cost_of, machine, median
from benchmarks.plan.host import applied_host, generated_config

MODELS = (10, 100, 1000, 10_000)
RUNS = 7
# The largest takes its peer several seconds a run.
RUNS_OF_MANY = 3
_MANY = 10_000
_LOAD = "import sys, yaml; yaml.load(open(sys.argv[1]), Loader=yaml.SafeLoader)"
_PLAN = (sys.executable, "-m", "reconciler", "--plan")
# What was written just now is not trusted yet, so the first plans are not remembered.
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """The costs on a host with `count` models."""

    count: int
    again: Cost
    whole: Cost
    load: Cost


def table(_options: Sequence[str]) -> str:
    """Measure, and give the table as Markdown. There are no options."""
    rows = [_measure(count) for count in MODELS]
    lines = [
        f"`reconcile --plan`, nothing to do ({machine()}; median of {RUNS}, interleaved, "
        f"{RUNS_OF_MANY} for {_MANY} models)",
        "",
        "| models | plan | CPU | memory | growth | the whole way | memory | growth "
        "| plain YAML load | ratio | whole ratio |",
        "| ---: |" + " ---: |" * 10,
    ]
    lines += [_line(row, before) for before, row in zip((None, *rows), rows, strict=False)]
    return "\n".join([*lines, ""])


def _line(row: _Row, before: _Row | None) -> str:
    again, whole, load = row.again, row.whole, row.load
    cells = (
        str(row.count),
        f"{again.wall_seconds:.3f} s",
        f"{again.cpu_seconds:.3f} s",
        f"{again.peak_bytes / 1e6:.0f} MB",
        _growth(again, before.again) if before else "",
        f"{whole.wall_seconds:.2f} s",
        f"{whole.peak_bytes / 1e6:.0f} MB",
        _growth(whole, before.whole) if before else "",
        f"{load.wall_seconds:.2f} s",
        f"{again.wall_seconds / load.wall_seconds:.2f}",
        f"{whole.wall_seconds / load.wall_seconds:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _growth(cost: Cost, before: Cost) -> str:
    return f"{cost.wall_seconds / before.wall_seconds:.1f} x"


def _measure(count: int) -> _Row:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = applied_host(home / "host", count)
        config = home / "generated.yaml"
        config.write_text(generated_config(count))
        environment = {**os.environ, **settings}
        load = (sys.executable, "-c", _LOAD, str(config))
        _remember(environment)
        again, whole, theirs = [], [], []
        for number in range(RUNS_OF_MANY if count >= _MANY else RUNS):
            empty = environment | {"XDG_CACHE_HOME": str(home / f"cache-{number}")}
            again.append(cost_of(_PLAN, environment))
            whole.append(cost_of(_PLAN, empty))
            theirs.append(cost_of(load, environment))
        return _Row(count=count, again=median(again), whole=median(whole), load=median(theirs))


def _remember(environment: Mapping[str, str]) -> None:
    """Ask until the answer is kept."""
    for _ in range(_TRIES):
        cost_of(_PLAN, environment)
        if any(Path(environment["XDG_CACHE_HOME"]).glob("reconciler/plans/*.json")):
            return
    raise RuntimeError("the plan is not remembered")
