"""Find models that are here by words: in names, quants, repositories, and what they can do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict

from reconciler.cli.console import Console
from reconciler.cli.listing import NOTHING_APPLIED, listed_lines
from reconciler.cli.records import open_records
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Search; finding nothing is no error. Never changes anything."""
    words = [word for text in options.words for word in text.split()]
    with open_records(settings, console) as records:
        found = records.inventory.search(words, limit=options.limit)
        applied = found.count > 0 or bool(records.inventory.count_models())
    if settings.json:
        print(
            json.dumps(
                {"models": [asdict(item) for item in found.best], "count": found.count}, indent=2
            )
        )
        return 0
    if not found.best:
        print("Nothing found." if applied else NOTHING_APPLIED)
        return 0
    for line in listed_lines(found.best, Style(sys.stdout, no_color=settings.no_color)):
        print(line)
    if found.count > len(found.best):
        more = counted(found.count - len(found.best), "model")
        console.say(f"{more} more: see --limit")
    return 0
