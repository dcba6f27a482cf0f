"""Several downloaders in turn, from one server, into fresh folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Cost, cost_of, median
from benchmarks.transfer.contenders import Contender
from benchmarks.transfer.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One downloader in the race; `runs` of it are enough."""

    name: str
    contender: Contender
    runs: int


def race(entries: list[Entry], source: Source, url: str, home: Path) -> Mapping[str, Cost]:
    """Run all of them in turn until each has its runs; give the median of each by name."""
    costs: dict[str, list[Cost]] = {entry.name: [] for entry in entries}
    for number in range(max(entry.runs for entry in entries)):
        for entry in entries:
            if number < entry.runs:
                costs[entry.name].append(_run(entry.contender, source, url, home / "run"))
    return {name: median(found) for name, found in costs.items()}


def table(results: Mapping[str, Cost], source: Source) -> list[str]:
    """Give the rows of Markdown; the first result is the one that the others are compared with."""
    first = next(iter(results.values()))
    rows = [
        "| | wall | CPU per GiB | peak memory | ours : this |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, cost in results.items():
        cpu = cost.cpu_seconds * 2**30 / source.size_bytes
        ratio = first.wall_seconds / cost.wall_seconds
        rows.append(
            f"| {name} | {cost.wall_seconds:.2f} s | {cpu:.2f} s "
            f"| {cost.peak_bytes / 1e6:.0f} MB | {ratio:.2f} |"
        )
    return rows


def _run(contender: Contender, source: Source, url: str, folder: Path) -> Cost:
    folder.mkdir()
    try:
        call = contender(source, url, folder)
        # What an earlier run left to be written must not be written during this one.
        os.sync()
        cost = cost_of(call.command, call.environment)
        _expect(source, folder)
    finally:
        shutil.rmtree(folder)
    return cost


def _expect(source: Source, folder: Path) -> None:
    """A downloader that brought less than everything has won nothing."""
    brought = sum(path.stat().st_size for path in folder.rglob("*.gguf") if path.is_file())
    if brought != source.size_bytes:
        raise RuntimeError(f"{brought} bytes arrived of {source.size_bytes}")
