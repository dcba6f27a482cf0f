"""What a GGUF file says of itself, as JSON and back: it is kept by the digest of its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from reconciler.core.gguf.facts import GgufFacts

_DEFAULTS: Final = GgufFacts()
_NUMBERS: Final = frozenset({"head_counts", "kv_head_counts"})
_YES_OR_NO: Final = frozenset(
    item.name for item in fields(GgufFacts) if isinstance(getattr(_DEFAULTS, item.name), bool)
)


def facts_to_json(facts: GgufFacts) -> dict[str, Any]:
    """Give what `facts` say, and nothing of what they are silent on."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(facts).items()
        if value != getattr(_DEFAULTS, key)
    }


def facts_from_json(document: Mapping[str, Any]) -> GgufFacts:
    """Read what `facts_to_json` wrote, here or in another version.

    What is missing, unknown or of another kind says nothing: an older record is still worth having,
    and whoever wants what it lacks reads the file again.
    """
    values = {
        item.name: _value(item.name, document[item.name])
        for item in fields(GgufFacts)
        if item.name in document and _fits(item.name, item.type, document[item.name])
    }
    return GgufFacts(**values)


def _fits(name: str, kind: Any, value: object) -> bool:
    if name in _NUMBERS:
        return isinstance(value, list) and all(_is_number(item) for item in value)
    if name in _YES_OR_NO:
        return isinstance(value, bool)
    # Annotations are text here: `str | None`, or `int | None`.
    return isinstance(value, str) if str(kind).startswith("str") else _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _value(name: str, value: Any) -> Any:
    return tuple(value) if name in _NUMBERS else value
