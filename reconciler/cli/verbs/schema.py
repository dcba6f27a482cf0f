"""Print the manifest's JSON Schema, for editors that complete and check while one types."""

from __future__ import annotations

import json
from argparse import Namespace

from reconciler.cli.console import Console
from reconciler.cli.settings import Settings


def run(_options: Namespace, _settings: Settings, _console: Console) -> int:
    """Print the schema."""
    from reconciler.core.reading.manifest_schema import manifest_json_schema

    print(json.dumps(manifest_json_schema(), indent=2))
    return 0
