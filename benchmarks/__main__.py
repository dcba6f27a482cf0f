"""Run every benchmark: `python -m benchmarks`, or one: `python -m benchmarks plan`."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = ("plan",)


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them, and print their tables."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(import_module(f"benchmarks.{name}.run").table())
    return 0


sys.exit(main(sys.argv[1:]))
