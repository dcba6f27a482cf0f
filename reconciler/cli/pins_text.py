"""What became of the pins, as people and machines read it."""

from __future__ import annotations

import json

from reconciler.cli.console import Console
from reconciler.cli.settings import Settings
from reconciler.engine.pins import PinChanges

_ERROR = 1


def show_pins(
    changes: PinChanges, path: str, settings: Settings, console: Console, *, wrote: bool
) -> int:
    """Print the changes and give the exit code: 1 where a model could not be resolved."""
    if settings.json:
        print(
            json.dumps(
                {
                    "lock": path,
                    "pinned": changes.pinned,
                    "moved": changes.moved,
                    "dropped": changes.dropped,
                    "stalled": {key: str(error) for key, error in changes.stalled.items()},
                },
                indent=2,
            )
        )
    else:
        _print_changes(changes, path, wrote=wrote)
    for model, error in changes.stalled.items():
        console.fail(f"{model}: {error.message}", error.hint)
    return _ERROR if changes.stalled else 0


def _print_changes(changes: PinChanges, path: str, *, wrote: bool) -> None:
    for sign, models, what in (
        ("+", changes.pinned, "pinned"),
        ("~", changes.moved, "pin moved"),
        ("-", changes.dropped, "pin dropped: nobody declares it"),
    ):
        for model in models:
            print(f"{sign} {model}: {what}")
    if changes.is_empty:
        print(f"{path}: nothing to change")
    elif wrote:
        print(f"{path}: written; `reconcile` applies it")
    else:
        print(f"{path}: not complete")
