"""Move pins in the lock to what upstream has now; the next apply does the rest."""

from __future__ import annotations

from argparse import Namespace

from reconciler.cli.console import Console
from reconciler.cli.model_names import chosen_models
from reconciler.cli.pins_text import show_pins
from reconciler.cli.settings import Settings
from reconciler.cli.wiring import load_manifest, open_pins
from reconciler.engine.pins import change_pins
from reconciler.errors import UsageError


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Move the pins of the named models, of the tracked ones, or of all."""
    manifest = load_manifest(settings)
    tracked = [key for key, spec in manifest.models.items() if spec.track and options.tracked]
    move = chosen_models(
        manifest.models if options.all else [*options.models, *tracked],
        manifest.models,
        unknown="the manifest declares no model {}",
        hint="see `reconcile validate --json`",
    )
    if not move and options.tracked:
        raise UsageError(
            "the manifest tracks no model, so nothing was changed",
            hint="give a model `update: track`, or name models: reconcile update MODEL…",
        )
    if not move:
        raise UsageError(
            "nothing was chosen, so nothing was changed",
            hint="name models, or say --all: reconcile update MODEL…",
        )
    with open_pins(settings, console) as (file, path, sources):
        changes = change_pins(manifest, file, path, sources, move=move, write=True)
    return show_pins(changes, path, settings, console, wrote=True)
