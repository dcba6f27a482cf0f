"""Look at every file of ours again and check it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from functools import partial

from reconciler.cli.console import Console
from reconciler.cli.findings_text import bad_files, findings_to_json, render_findings
from reconciler.cli.model_names import chosen_models
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.wiring import load_manifest, locked_host, open_host
from reconciler.core.names import RelPath
from reconciler.engine.file_checks import Finding
from reconciler.engine.host import Host
from reconciler.engine.recovery import known_files
from reconciler.engine.verify import VerifiedFile, shards_of_no_set, verify

_DAMAGE = 3


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Verify; exit 3 where a file is not as it should be."""
    # What is found by reading must be remembered; without reading there is nothing to remember.
    opened = (
        open_host(settings, console, for_writing=False)
        if options.quick
        else locked_host(settings, console)
    )
    with opened as host:
        files, extra = look(
            host, settings, options.models, quick=options.quick, fresh=options.fresh
        )
    console.take_down()
    if settings.json:
        print(json.dumps(findings_to_json(files, extra), indent=2))
    else:
        style = Style(sys.stdout, no_color=settings.no_color)
        print(render_findings(files, extra, style, quick=options.quick), end="")
    if not bad_files(files):
        return 0
    if not settings.json:
        if any(item.finding is Finding.CHANGED for item in files):
            console.say("run `reconcile verify` to read those that changed")
        else:
            console.say("run `reconcile repair` to fetch again what is damaged")
    return _DAMAGE


def look(
    host: Host,
    settings: Settings,
    names: list[str],
    *,
    quick: bool = False,
    fresh: bool = False,
) -> tuple[tuple[VerifiedFile, ...], tuple[RelPath, ...]]:
    """Verify the models named, or all; gives files, and shards of no set. Raises `UsageError`."""
    ledger = known_files(host, partial(load_manifest, settings))
    models = chosen_models(
        names, ledger.models, unknown="no model {} was applied here", hint="see `reconcile status`"
    )
    files = verify(host, ledger, models, quick=quick, fresh=fresh)
    return files, shards_of_no_set(host, ledger)
