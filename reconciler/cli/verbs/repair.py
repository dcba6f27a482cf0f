"""Verify, and bring again what is damaged: of a file, the damaged segments alone."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from reconciler.cli.console import Console
from reconciler.cli.findings_text import bad_files, findings_to_json, render_findings
from reconciler.cli.report_text import exit_code_of
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.verbs.reconcile import run_shown, run_to_json
from reconciler.cli.verbs.verify import look
from reconciler.cli.wiring import load_manifest, locked_host


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Verify; where something is not as it should be, run the main job, which mends it."""
    manifest = load_manifest(settings)
    with locked_host(settings, console) as host:
        files, extra = look(host, settings, options.models, fresh=options.fresh)
        console.take_down()
        if not settings.json:
            style = Style(sys.stdout, no_color=settings.no_color)
            print(render_findings(files, extra, style, quick=False), flush=True)
        result = run_shown(host, manifest, settings, console) if bad_files(files) else None
    if settings.json:
        run = run_to_json(result) if result is not None else None
        print(json.dumps({**findings_to_json(files, extra), "run": run}, indent=2))
    return exit_code_of(result.report, console) if result is not None else 0
