"""A plan with nothing to do, beside a plain load of a llama-swap config with as many models.

The load (PyYAML, pure Python) is what a tool pays before it starts to do anything; our plan reads
manifest, lock, config, inventory and the disk, and decides.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Cost, cost_of, machine, median
from benchmarks.plan.host import applied_host, generated_config

MODELS = (10, 100, 1000)
RUNS = 7
_LOAD = "import sys, yaml; yaml.load(open(sys.argv[1]), Loader=yaml.SafeLoader)"


def table(_options: Sequence[str]) -> str:
    """Measure, and give the table as Markdown. There are no options."""
    rows = [
        f"`reconcile --plan`, nothing to do ({machine()}; median of {RUNS}, interleaved)",
        "",
        "| models | plan | CPU | memory | plain YAML load | ratio |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in MODELS:
        ours, theirs = _measure(count)
        ratio = ours.wall_seconds / theirs.wall_seconds
        rows.append(
            f"| {count} | {ours.wall_seconds:.2f} s | {ours.cpu_seconds:.2f} s "
            f"| {ours.peak_bytes / 1e6:.0f} MB | {theirs.wall_seconds:.2f} s | {ratio:.2f} |"
        )
    return "\n".join([*rows, ""])


def _measure(count: int) -> tuple[Cost, Cost]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = applied_host(home / "host", count)
        config = home / "generated.yaml"
        config.write_text(generated_config(count))
        environment = {**os.environ, **settings}
        plan = [sys.executable, "-m", "reconciler", "--plan"]
        load = [sys.executable, "-c", _LOAD, str(config)]
        ours, theirs = [], []
        for _ in range(RUNS):
            ours.append(cost_of(plan, environment))
            theirs.append(cost_of(load, environment))
        return median(ours), median(theirs)
