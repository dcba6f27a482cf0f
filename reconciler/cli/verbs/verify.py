"""Read every file of ours again and check it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict

from reconciler.cli.console import Console
from reconciler.cli.model_names import chosen_models
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted
from reconciler.cli.wiring import locked_host
from reconciler.core.sizes import human_bytes
from reconciler.engine.verify import Finding, verify

_DAMAGE = 3


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Verify; exit 3 where a file is damaged or missing."""
    with locked_host(settings, console) as host:
        ledger = host.inventory.load_ledger()
        models = chosen_models(
            options.models,
            ledger.models,
            unknown="no model {} was applied here",
            hint="see `reconcile status`",
        )
        results = list(verify(host, ledger, models))
    console.take_down()
    bad = [item for item in results if item.finding is not Finding.INTACT]
    if settings.json:
        print(json.dumps({"files": [asdict(item) for item in results]}, indent=2))
        return _DAMAGE if bad else 0
    style = Style(sys.stdout, no_color=settings.no_color)
    for item in bad:
        print(f"{style(item.finding.value, 'red')}  {item.path}  ({', '.join(item.models)})")
    size = human_bytes(sum(item.size_bytes for item in results))
    if bad:
        print(f"{len(bad)} of {len(results)} files are not as they should be")
        console.say("run `reconcile` to fetch them again")
        return _DAMAGE
    print(style(f"Intact: {counted(len(results), 'file')}, {size}", "green"))
    return 0
