"""Check the manifest's text, and nothing else: fit for a pre-commit hook."""

from __future__ import annotations

import json
from argparse import Namespace

from reconciler.cli.console import Console
from reconciler.cli.settings import Settings
from reconciler.cli.wiring import load_manifest


def run(_options: Namespace, settings: Settings, _console: Console) -> int:
    """Say what the manifest declares; a faulty one is told by the error, every fault at once."""
    manifest = load_manifest(settings)
    if settings.json:
        print(json.dumps({"paths": manifest.paths, "models": list(manifest.models)}, indent=2))
        return 0
    count = len(manifest.models)
    print(f"{', '.join(manifest.paths)}: valid, {count} model{'' if count == 1 else 's'}")
    return 0
