"""Move pins in the lock to what upstream has now; the next apply does the rest."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Collection

from reconciler.cli.console import Console
from reconciler.cli.pins_text import show_pins
from reconciler.cli.settings import Settings
from reconciler.cli.wiring import load_manifest, open_pins
from reconciler.core.manifest import Manifest
from reconciler.core.names import ModelId
from reconciler.engine.pins import change_pins
from reconciler.errors import UsageError


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Move the pins of the named models, or of all."""
    manifest = load_manifest(settings)
    move = chosen_models(options.models, manifest, all_of_them=options.all)
    if not move:
        raise UsageError(
            "nothing was chosen, so nothing was changed",
            hint="name models, or say --all: reconcile update MODEL…",
        )
    with open_pins(settings, console) as (file, path, sources):
        changes = change_pins(manifest, file, path, sources, move=move, write=True)
    return show_pins(changes, path, settings, console, wrote=True)


def chosen_models(
    names: Collection[str], manifest: Manifest, *, all_of_them: bool
) -> tuple[ModelId, ...]:
    """Give the models that a command line names. Raises `UsageError` for one that is not there."""
    if all_of_them:
        return tuple(manifest.models)
    for name in names:
        if name not in manifest.models:
            near = difflib.get_close_matches(name, manifest.models, n=1)
            raise UsageError(
                f"the manifest declares no model {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else "see `reconcile validate --json`",
            )
    return tuple(ModelId(name) for name in names)
