"""A verified transfer beside other downloaders, from nginx on loopback.

Ours is the whole command: Python's start, the plan, the transfer, the proof of every byte, and the
sync to disk. Between runs what was fetched is deleted; the server's side is in the page cache.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.transfer.contenders import aria2, aria2_alone, curl, hf, missing_tools, ours
from benchmarks.transfer.moved import moved_header
from benchmarks.transfer.nginx import serving
from benchmarks.transfer.race import Entry, race
from benchmarks.transfer.race import table as race_table
from benchmarks.transfer.source import Source, make_source
from benchmarks.transfer.wire import limited_rate, resumed_bytes

SCENARIOS = ("unlimited", "throttled", "small", "resume", "header", "limit")
_MIB = 1 << 20
_THROTTLE = 20_000_000
_NAMES = {
    "ours": ours,
    "hf download": hf,
    "aria2c -x8": aria2_alone,
    "aria2c -x8, sha256sum": aria2,
    "curl, sha256sum": curl,
}
# One connection at a fixed rate takes as long each time, and long.
_ONE_CONNECTION = ("hf download", "curl, sha256sum")


def table(arguments: Sequence[str]) -> str:
    """Measure, and give the tables as Markdown."""
    options = _parse(arguments)
    if missing := missing_tools():
        sys.exit(missing)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="transfer-") as folder:
        home = Path(folder)
        big = make_source(home / "files", "acme/big-GGUF", count=1, size_bytes=options.mib * _MIB)
        rows = [f"Measured on {_place(home)}; {options.mib} MiB, median of {options.rounds}."]
        for scenario in options.only:
            place = home / scenario
            place.mkdir()
            rows += ["", *_measure(scenario, big, place, options.rounds)]
    return "\n".join([*rows, ""])


def _measure(scenario: str, big: Source, home: Path, rounds: int) -> list[str]:
    match scenario:
        case "unlimited":
            return ["One file, no limit:", "", *_race(big, home, rounds)]
        case "throttled":
            title = f"The same, each connection at {_THROTTLE // 10**6} MB/s:"
            return [title, "", *_race(big, home, rounds, limit=_THROTTLE)]
        case "small":
            small = make_source(home / "files", "acme/small-GGUF", count=300, size_bytes=200_000)
            return ["300 files of 200 kB:", "", *_race(small, home, rounds)]
        case "resume":
            sent, again = resumed_bytes(big, home)
            return [
                f"Killed half-way and run again: {_share(sent, big)} of the file sent in all, "
                f"{_share(again, big)} to the second run."
            ]
        case "header":
            sent, size_bytes = moved_header(home, big.size_bytes)
            share = 100 * sent / size_bytes
            return [
                f"Template changed upstream, {size_bytes / 1e6:.0f} MB with a vocabulary of "
                f"150 000 words: {sent / 1e6:.2f} MB sent, {share:.2f} % of the file."
            ]
        case _:
            rate = limited_rate(big, home, "20M")
            return [f"With `--limit-rate 20M`: {rate / 1e6:.2f} MB/s from first byte to last."]


def _race(source: Source, home: Path, rounds: int, *, limit: int = 0) -> list[str]:
    entries = [
        Entry(name=name, contender=it, runs=1 if limit and name in _ONE_CONNECTION else rounds)
        for name, it in _NAMES.items()
    ]
    with serving(home / "server", [source], limit_bytes_per_second=limit) as server:
        return race_table(race(entries, source, server.url, home), source)


def _share(count: int, source: Source) -> str:
    return f"{100 * count / source.size_bytes:.2f} %"


def _place(folder: Path) -> str:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    fitting = [words for words in mounts if folder.is_relative_to(words[1])]
    filesystem = max(fitting, key=lambda words: len(words[1]))[2]
    return f"{machine()}, Linux {platform.release()}, {filesystem}"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks transfer")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each downloader (5)")
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file (1024)")
    parser.add_argument(
        "--only", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="not all scenarios"
    )
    parser.add_argument(
        "--folder",
        default="/var/tmp",  # noqa: S108 - on a disk, which /tmp may not be
        help="where files are kept while it runs; on a disk (/var/tmp)",
    )
    return parser.parse_args(arguments)
