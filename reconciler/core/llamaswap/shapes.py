"""Reading llama-swap's config whatever shape it has: what is not as expected counts as empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Place = tuple[str, ...]

# Where a router's settings may stand: the old place and the new one.
GROUPS_PLACES: Final[tuple[Place, ...]] = (
    ("groups",),
    ("routing", "router", "settings", "groups"),
)
MATRIX_PLACES: Final[tuple[Place, ...]] = (
    ("matrix",),
    ("routing", "router", "settings", "matrix"),
)
PRIORITY_PLACE: Final[Place] = ("routing", "scheduler", "settings", "fifo", "priority")


def as_mapping(value: object) -> Mapping[str, object]:
    """Give `value` if it is a mapping, else an empty one."""
    # Most are missing or plain, and asking for any kind of mapping is slow.
    if value is None:
        return {}
    return value if isinstance(value, dict) or isinstance(value, Mapping) else {}  # noqa: SIM101


def as_list(value: object) -> Sequence[object]:
    """Give `value` if it is a list, else an empty one."""
    if value is None:
        return ()
    if isinstance(value, list):
        return value
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()


def dig(data: object, place: Place) -> object:
    """Follow the keys of `place`; None where they lead nowhere."""
    for key in place:
        data = as_mapping(data).get(key)
    return data


def model_entries(data: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Give every model whose ID is a string, with its entry (empty where it is no mapping)."""
    for model, entry in as_mapping(data.get("models")).items():
        if isinstance(model, str):
            yield model, as_mapping(entry)


def peer_names(data: Mapping[str, object]) -> frozenset[str]:
    """Give every name a peer's model answers to: its own, and `peer/model`."""
    names: set[str] = set()
    for peer, settings in as_mapping(data.get("peers")).items():
        for model in as_list(as_mapping(settings).get("models")):
            names |= {str(model), f"{peer}/{model}"}
    return frozenset(names)
