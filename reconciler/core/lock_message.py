"""What a commit of the lock says: the models whose pins it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reconciler.core.lock import Lock
from reconciler.core.names import ModelId

_LONGEST: Final = 72


def lock_message(before: Lock, after: Lock) -> str:
    """Give the message of a commit that takes the lock from `before` to `after`."""
    old, new = before.pins, after.pins
    changed = sorted(key for key in new if old.get(key) != new[key])
    removed = sorted(old.keys() - new.keys())
    lines = [
        *(f"- {key}: {'updated' if key in old else 'added'}" for key in changed),
        *(f"- {key}: removed" for key in removed),
    ]
    subject = _subject("Pin", changed) if changed else _subject("Unpin", removed)
    return "\n".join([subject, "", *lines, ""]) if lines else f"{subject}\n"


def _subject(doing: str, models: Sequence[ModelId]) -> str:
    if not models:
        return "Write the lock anew"
    named = f"{doing} {', '.join(models)}"
    return named if len(named) <= _LONGEST else f"{doing} {len(models)} models"
