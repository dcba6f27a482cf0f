"""llama-swap's stream of events, as far as it tells which requests are in flight."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# The logs come first, in one event each; what is larger is not llama-swap's.
_MAX_EVENT_BYTES = 16 * 1024 * 1024


def requests_in_flight(stream: Iterable[bytes]) -> Mapping[str, int] | None:
    """Count the requests of the first event that tells of all of them, by model.

    The name is `""` where the event does not give the model. None where the stream ends without
    such an event: versions before 2026 have the stream and do not tell.
    """
    for data in _data_lines(stream):
        event = _parsed(data)
        if event is not None and event.get("type") == "inflight":
            counted = _count(_parsed(event.get("data")))
            if counted is not None:
                return counted
    return None


def _data_lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Give what stands behind each `data:`; llama-swap writes an event's data in one line."""
    rest = b""
    for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_EVENT_BYTES:
            return
        yield from (line.removeprefix(b"data:") for line in lines if line.startswith(b"data:"))


def _parsed(text: object) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _count(snapshot: dict[str, Any] | None) -> Mapping[str, int] | None:
    """Count what one event lists; None where it tells of a single request alone."""
    if snapshot is None:
        return None
    total = snapshot.get("total")
    if isinstance(total, int):
        # What the first versions that told at all sent: a number.
        return {"": total} if total > 0 else {}
    if snapshot.get("operation") != "snapshot":
        return None
    requests = snapshot.get("requests") or []
    if not isinstance(requests, list):
        return None
    models = (item.get("model") if isinstance(item, dict) else None for item in requests)
    return dict(Counter(model if isinstance(model, str) else "" for model in models))
