"""The whole loop on an embedded hub, in a folder that goes when it ends."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.settings import Settings
from reconciler.demo.tour import run_tour
from reconciler.errors import UsageError


def run(_options: Namespace, settings: Settings, _console: Console) -> int:
    """Play the tour. Raises `UsageError` with `--json`: it is a story for people."""
    if settings.json:
        raise UsageError(
            "the demo has no result for machines", hint="leave out --json (or RECONCILER_JSON)"
        )
    with tempfile.TemporaryDirectory(prefix="reconcile-demo-") as folder:
        run_tour(Path(folder), say=lambda text: print(text, flush=True))
    return 0
