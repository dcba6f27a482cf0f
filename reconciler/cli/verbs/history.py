"""Past runs, newest first: when, what came of each, and the generation that it made.

A watch at rest makes a run every few minutes. Those that did nothing are told in one line, unless
each is asked for; machines are given each. A generation is told with what going back to it would
cost: nothing, where all its bytes are here.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from reconciler.cli.columns import Cell, Column, lay_out
from reconciler.cli.console import Console
from reconciler.cli.records import Records, open_records
from reconciler.cli.report_text import outcome_color
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, elapsed
from reconciler.core.ages import human_age
from reconciler.core.generations import Generation
from reconciler.core.ledger import Ledger
from reconciler.core.runs import RunReport
from reconciler.core.series import in_series, time_of
from reconciler.core.sizes import human_bytes
from reconciler.engine.kept_bytes import kept_digests, missing_bytes

_NONE: Final = "-"
_MINUTE: Final = timedelta(minutes=1)
_COLUMNS: Final = (
    Column(head="WHEN"),
    Column(head="OUTCOME"),
    Column(head="CHANGES", rank=1),
    Column(head="GENERATION", rank=2),
    Column(head="MODE", rank=5),
    Column(head="FETCHED", rank=4, right=True),
    Column(head="REUSED", rank=6, right=True),
    Column(head="TOOK", rank=3, right=True),
)


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Show past runs; never changes anything."""
    with open_records(settings, console) as records:
        # No line tells of two of them, so that these are enough.
        generations = _look_at(records, options.limit)
        runs: Iterable[RunReport] = records.inventory.each_run()
        if settings.json:
            _print_json(tuple(islice(runs, options.limit)), generations)
            return 0
        each = ((report,) for report in runs)
        series = each if options.all else in_series(runs, made=generations.keys())
        shown = tuple(islice(series, options.limit))
    if not shown:
        print("No run yet: `reconcile` makes the first one.")
        return 0
    style = Style(sys.stdout, no_color=settings.no_color)
    for line in lay_out(_COLUMNS, [_row(item, generations) for item in shown], style):
        print(line)
    return 0


def _print_json(runs: Sequence[RunReport], generations: Mapping[str, _Known]) -> None:
    document = {
        "runs": [asdict(report) for report in runs],
        "generations": [_to_json(item) for item in generations.values()],
    }
    print(json.dumps(document, indent=2))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A generation, how many models it has, and how many bytes going back to it must fetch."""

    generation: Generation
    models: int
    fetch_bytes: int
    is_current: bool


def _look_at(records: Records, count: int) -> dict[str, _Known]:
    """Give the generations, newest first, by the runs that made them."""
    inventory = records.inventory
    generations = inventory.last_generations(count)
    ledgers = [inventory.ledger_of(item.number) or Ledger() for item in generations]
    here = kept_digests(records.folder, inventory.digests, ledgers)
    return {
        generation.run: _Known(
            generation=generation,
            models=len(ledger.models),
            fetch_bytes=missing_bytes(ledger, here),
            is_current=generation is generations[0],
        )
        for generation, ledger in zip(generations, ledgers, strict=True)
    }


def _to_json(known: _Known) -> dict[str, object]:
    generation = known.generation
    return {
        "number": generation.number,
        "run": generation.run,
        "applied_at": generation.applied_at,
        "models": known.models,
        "is_current": known.is_current,
        "returned_to": generation.returned_to or None,
        "can_return": generation.is_whole,
        "fetch_bytes": known.fetch_bytes,
        "lock_digest": generation.lock_digest,
        "config_digest": generation.config_digest,
    }


def _told(known: _Known | None) -> Cell:
    """Give the number by which a generation can be gone back to, and what that takes."""
    if known is None:
        return Cell(_NONE)
    generation = known.generation
    was = f"{generation.number}, as {generation.returned_to}"
    number = was if generation.returned_to else str(generation.number)
    if known.is_current:
        return Cell(f"{number}, now", "green")
    if not generation.is_whole:
        return Cell(f"{number}, not kept")
    fetches = f", fetches {human_bytes(known.fetch_bytes)}" if known.fetch_bytes else ""
    return Cell(f"{number}{fetches}")


def _row(runs: Sequence[RunReport], generations: Mapping[str, _Known]) -> Sequence[Cell]:
    report = runs[0]
    began = Cell(datetime.fromisoformat(report.started_at).isoformat(timespec="seconds"))
    outcome, changes = report.outcome.value, _changes(report)
    if len(runs) > 1:
        color = outcome_color(report.outcome)
        time = time_of(runs)
        over = f"over {human_age(time)}" if time >= _MINUTE else "within a minute"
        changes = over if changes == _NONE else f"{changes} {over}"
        rest = (Cell(_NONE) for _ in _COLUMNS[3:])
        return (began, Cell(f"{len(runs)} {outcome}", color), Cell(changes), *rest)
    return (
        began,
        Cell(outcome, outcome_color(report.outcome)),
        Cell(changes),
        _told(generations.get(report.run)),
        Cell(report.mode.value if report.mode is not None else _NONE),
        Cell(human_bytes(report.fetched_bytes) if report.fetched_bytes else _NONE),
        Cell(human_bytes(report.reused_bytes) if report.reused_bytes else _NONE),
        Cell(_took(report)),
    )


def _changes(report: RunReport) -> str:
    signs = (
        ("+", report.added),
        ("~", report.updated),
        ("-", report.removed),
        ("!", report.failed),
    )
    return " ".join(f"{sign}{len(models)}" for sign, models in signs if models) or _NONE


def _took(report: RunReport) -> str:
    if not report.finished_at:
        return _NONE
    began, ended = map(datetime.fromisoformat, (report.started_at, report.finished_at))
    return elapsed((ended - began).total_seconds())
