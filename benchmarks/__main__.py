"""Run every benchmark: `python -m benchmarks`, or one: `python -m benchmarks NAME [OPTIONS]`."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = ("config", "hashing", "plan", "reload", "search", "transfer", "watch")


def main(words: list[str]) -> int:
    """Run the named benchmark with its options, or all of them, and print their tables."""
    if words and words[0] not in BENCHMARKS:
        print(f"no benchmark {words[0]!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in words[:1] or BENCHMARKS:
        print(import_module(f"benchmarks.{name}.run").table(words[1:]))
    return 0


sys.exit(main(sys.argv[1:]))
