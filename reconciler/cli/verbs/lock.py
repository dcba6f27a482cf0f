"""Resolve what the manifest asks for into the lock file."""

from __future__ import annotations

from argparse import Namespace

from reconciler.cli.console import Console
from reconciler.cli.pins_text import show_pins
from reconciler.cli.settings import Settings
from reconciler.cli.wiring import load_manifest, open_pins
from reconciler.engine.pins import change_pins

_PENDING = 3


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Pin what is not pinned; with `--check` only say whether anything is missing."""
    manifest = load_manifest(settings)
    with open_pins(settings, console) as (file, path, sources):
        changes = change_pins(manifest, file, path, sources, write=not options.check)
    code = show_pins(changes, path, settings, console, wrote=not options.check)
    if code == 0 and options.check and not changes.is_empty:
        return _PENDING
    return code
