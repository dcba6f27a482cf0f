"""What a watch heeds and costs: `python -m benchmarks watch [PART ...]`, all parts by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.measure import machine
from benchmarks.watch import rest, soak
from benchmarks.watch.saves import measure_burst, measure_saves, percentile

SAVES = 200
BURST = 1000
_SECONDS = 0.5
_PASSES = 2


def table(options: Sequence[str]) -> str:
    """Measure the named parts, and give their tables as Markdown."""
    unknown = set(options) - PARTS.keys()
    if unknown:
        return f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}"
    return "\n".join(PARTS[name]() for name in options or PARTS)


def _saves() -> str:
    latencies = measure_saves(SAVES)
    burst = measure_burst(BURST)
    rows = [
        f"Saves ({machine()}; {SAVES} saves one by one, then {BURST} in {burst.seconds:.1f} s)",
        "",
        "| what | median | 99th percentile | longest | at most | |",
        "| :--- | ---: | ---: | ---: | ---: | :--- |",
    ]
    for what, seconds, most in (
        ("save to begin of the pass", latencies.begins, _SECONDS),
        ("save to its plan", latencies.plans, None),
    ):
        nearly_all = percentile(seconds, 99)
        verdict = "too slow" if most is not None and nearly_all > most else ""
        rows.append(
            f"| {what} | {percentile(seconds, 50):.2f} s | {nearly_all:.2f} s "
            f"| {max(seconds):.2f} s | {f'{most} s' if most else ''} | {verdict} |"
        )
    ended = "applied" if burst.is_last_applied else "not applied"
    verdict = "" if burst.passes <= _PASSES and burst.is_last_applied else "wrong"
    rows += [
        "",
        "| saves in a row | passes | the last one | at most | |",
        "| ---: | ---: | :--- | ---: | :--- |",
        f"| {BURST} | {burst.passes} | {ended} | {_PASSES} | {verdict} |",
        "",
    ]
    return "\n".join(rows)


def _rest() -> str:
    return _table(f"A watch that rests ({machine()})", rest.rows())


def _soak() -> str:
    return _table(f"A soak ({machine()})", soak.rows())


def _table(title: str, rows: Iterator[str]) -> str:
    head = [title, "", "| what | measured | at most |", "| :--- | ---: | ---: |"]
    return "\n".join([*head, *rows, ""])


PARTS: dict[str, Callable[[], str]] = {"saves": _saves, "rest": _rest, "soak": _soak}
