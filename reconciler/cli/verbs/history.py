"""Past runs, newest first: when, what came of each, what it changed and what that cost."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from reconciler.cli.columns import Cell, Column, lay_out
from reconciler.cli.console import Console
from reconciler.cli.records import open_records
from reconciler.cli.report_text import outcome_color
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, elapsed
from reconciler.core.runs import RunReport
from reconciler.core.sizes import human_bytes

_COLUMNS: Final = (
    Column(head="WHEN"),
    Column(head="OUTCOME"),
    Column(head="CHANGES", rank=1),
    Column(head="MODE", rank=4),
    Column(head="FETCHED", rank=3, right=True),
    Column(head="REUSED", rank=5, right=True),
    Column(head="TOOK", rank=2, right=True),
)


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Show past runs; never changes anything."""
    with open_records(settings, console) as records:
        runs = records.inventory.last_runs(options.limit)
    if settings.json:
        print(json.dumps({"runs": [asdict(report) for report in runs]}, indent=2))
        return 0
    if not runs:
        print("No run yet: `reconcile` makes the first one.")
        return 0
    style = Style(sys.stdout, no_color=settings.no_color)
    for line in lay_out(_COLUMNS, [_row(report) for report in runs], style):
        print(line)
    return 0


def _row(report: RunReport) -> Sequence[Cell]:
    return (
        Cell(datetime.fromisoformat(report.started_at).isoformat(timespec="seconds")),
        Cell(report.outcome.value, outcome_color(report.outcome)),
        Cell(_changes(report)),
        Cell(report.mode.value if report.mode is not None else "-"),
        Cell(human_bytes(report.fetched_bytes) if report.fetched_bytes else "-"),
        Cell(human_bytes(report.reused_bytes) if report.reused_bytes else "-"),
        Cell(_took(report)),
    )


def _changes(report: RunReport) -> str:
    signs = (
        ("+", report.added),
        ("~", report.updated),
        ("-", report.removed),
        ("!", report.failed),
    )
    return " ".join(f"{sign}{len(models)}" for sign, models in signs if models) or "-"


def _took(report: RunReport) -> str:
    if not report.finished_at:
        return "-"
    began, ended = map(datetime.fromisoformat, (report.started_at, report.finished_at))
    return elapsed((ended - began).total_seconds())
