"""What somebody else made of an entry of ours: told with both values, and where ours came from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from reconciler.core.edits import FieldView
from reconciler.core.values import Json

_LONGEST_CHARACTERS: Final = 60
# How much of what two long values share is shown before the place where they part.
_SHARED_CHARACTERS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDrift:
    """One field that is not as we left it; without a `key` the whole entry is gone.

    `found` stands there, at `line` (None: it was taken out), where we had written `wrote`. `origin`
    is where that came from: `model`, `preset NAME`, `defaults`, `file` (the model's own header),
    `discovered` or `found` (it stood there before us); empty where nobody declares it any more.
    `kept`: the edit stays. Values of environment variables are left out.
    """

    key: str | None
    found: Json = None
    wrote: Json = None
    line: int | None = None
    origin: str = ""
    kept: bool = False

    @staticmethod
    def of(
        key: str, current: FieldView | None, wrote: Json, *, origin: str, kept: bool = False
    ) -> EntryDrift:
        """Tell of a field as it stands (None: somebody took it out)."""
        return EntryDrift(
            key=key,
            found=without_secrets(key, current.value) if current is not None else None,
            wrote=without_secrets(key, wrote),
            line=current.line if current is not None else None,
            origin=origin,
            kept=kept,
        )

    @property
    def message(self) -> str:
        """Say it in one line."""
        if self.key is None:
            return "its entry was taken out of the config by hand"
        wrote = _shown(self.wrote, self.found) + (f" ({self.origin})" if self.origin else "")
        if self.line is None:
            return f"{self.key} was taken out by hand; it was {wrote}"
        what = f"{self.key} was edited by hand (line {self.line})"
        if self.kept:
            what += " and stays so"
        return f"{what}: {_shown(self.found, self.wrote)} instead of {wrote}"


def without_secrets(key: str, value: Json) -> Json:
    """Give a field's value for people to read: of environment variables, their names alone."""
    if key != "env" or not isinstance(value, list | tuple):
        return value
    return [f"{item.partition('=')[0]}=…" if isinstance(item, str) else item for item in value]


def _shown(value: Json, other: Json) -> str:
    """Write a value; of a long one, the part where it differs from `other`."""
    text, beside = (json.dumps(item, ensure_ascii=False, default=str) for item in (value, other))
    if len(text) <= _LONGEST_CHARACTERS:
        return text
    shared = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, beside, strict=False))
    )
    start = max(0, shared - _SHARED_CHARACTERS)
    start = min(start, len(text) - _LONGEST_CHARACTERS)
    end = start + _LONGEST_CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
