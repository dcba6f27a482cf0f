"""A full verify of one large file in cache, beside the tools that people check files with.

Ours is the whole command: Python's start, the inventory, the report. `--size-gib N` takes a smaller
file than 4 GiB.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hashing.host import applied_host
from benchmarks.measure import Cost, cost_of, machine, median

RUNS = 7


def table(options: Sequence[str]) -> str:
    """Measure, and give the table as Markdown."""
    parser = ArgumentParser(prog="python -m benchmarks hashing")
    parser.add_argument("--size-gib", type=float, default=4.0)
    size_bytes = round(parser.parse_args(options).size_gib * 2**30)
    costs = _measure(size_bytes)
    rows = [
        f"{size_bytes / 2**30:g} GiB in cache ({machine()}; median of {RUNS}, interleaved)",
        "",
        "| | time | CPU | memory | throughput | beside `b3sum` |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    best = costs.get("`b3sum`")
    for name, cost in costs.items():
        ratio = f"{best.wall_seconds / cost.wall_seconds:.2f}" if best else "-"
        rows.append(
            f"| {name} | {cost.wall_seconds:.2f} s | {cost.cpu_seconds:.2f} s "
            f"| {cost.peak_bytes / 1e6:.0f} MB | {size_bytes / 1e9 / cost.wall_seconds:.2f} GB/s "
            f"| {ratio} |"
        )
    return "\n".join([*rows, ""])


def _measure(size_bytes: int) -> dict[str, Cost]:
    with tempfile.TemporaryDirectory() as folder:
        settings, model = applied_host(Path(folder), size_bytes)
        ours = [sys.executable, "-m", "reconciler", "verify"]
        commands = {
            "`reconcile verify`": ours,
            "`reconcile verify --quick`": [*ours, "--quick"],
            **{
                f"`{tool}`": [tool, str(model)]
                for tool in ("b3sum", "sha256sum")
                if shutil.which(tool)
            },
        }
        environment = {**os.environ, **settings}
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                costs[name].append(cost_of(command, environment))
        return {name: median(found) for name, found in costs.items()}
