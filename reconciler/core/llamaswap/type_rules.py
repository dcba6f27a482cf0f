"""The types llama-swap's loader decodes its config into; a value of another type is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.core.llamaswap.macros import expand_value
from reconciler.core.llamaswap.problem import Finding, finding
from reconciler.core.llamaswap.shapes import Place, as_list, as_mapping
from reconciler.core.llamaswap.version import NEW

# Words of YAML 1.1 that the loader still takes where a switch is wanted.
_SWITCH_WORDS: Final = frozenset({"y", "Y", "yes", "on", "n", "N", "no", "off"})
# Joined once: `Mapping | list` would be joined anew at each look.
_CONTAINERS: Final = (Mapping, list, tuple)
_NUMBERS: Final = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    name: str
    accepts: Callable[[object], bool]
    old: bool = True


def _is_text(value: object) -> bool:
    return isinstance(value, str) or not isinstance(value, _CONTAINERS)


def _is_number(value: object) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _is_switch(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value in _SWITCH_WORDS)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


_TAKES: Final[Mapping[str, Callable[[object], bool]]] = {
    "a text": _is_text,
    "a whole number": _is_number,
    "true or false": _is_switch,
    "a list": _is_list,
    "a mapping": _is_mapping,
}


def _types(name: str, *keys: str, only_new: tuple[str, ...] = ()) -> Iterator[tuple[str, _Type]]:
    yield from ((key, _Type(name=name, accepts=_TAKES[name])) for key in keys)
    yield from ((key, _Type(name=name, accepts=_TAKES[name], old=False)) for key in only_new)


_TOP: Final = {
    **dict(_types("a text", "logLevel", only_new=("logTimeFormat", "logToStdout"))),
    **dict(
        _types(
            "a whole number",
            "healthCheckTimeout",
            "metricsMaxInMemory",
            "startPort",
            only_new=("globalTTL", "unloadTimeout", "captureBuffer"),
        )
    ),
    **dict(_types("true or false", "logRequests", "sendLoadingState", "includeAliasesInList")),
    **dict(_types("a list", only_new=("apiKeys",))),
    **dict(
        _types(
            "a mapping",
            "models",
            "macros",
            "groups",
            "profiles",
            "hooks",
            only_new=("matrix", "routing", "selectors", "peers"),
        )
    ),
}
_MODEL: Final = {
    **dict(
        _types(
            "a text",
            "cmd",
            "cmdStop",
            "proxy",
            "checkEndpoint",
            "useModelName",
            "name",
            "description",
        )
    ),
    **dict(_types("a whole number", "ttl", "concurrencyLimit", only_new=("unloadTimeout",))),
    **dict(_types("true or false", "unlisted", "sendLoadingState")),
    **dict(_types("a list", "aliases", "env")),
    **dict(
        _types(
            "a mapping",
            "macros",
            "filters",
            "metadata",
            only_new=("timeouts", "capabilities"),
        )
    ),
}
_GROUP: Final = {
    **dict(_types("true or false", "swap", "exclusive", "persistent")),
    **dict(_types("a list", "members")),
}

_CAPABILITIES: Final = {
    **dict(_types("a list", only_new=("in", "out"))),
    **dict(_types("true or false", only_new=("tools", "reranker"))),
    **dict(_types("a whole number", only_new=("context",))),
}


def check_top(data: Mapping[str, object], scope: Mapping[str, object]) -> Iterator[Finding]:
    """Check the types of the top-level keys, expanded by the global macros."""
    yield from _check(data, _TOP, (), scope)


def check_model(
    entry: Mapping[str, object], place: Place, scope: Mapping[str, object]
) -> Iterator[Finding]:
    """Check the types of a model's keys, expanded by the macros that hold in it."""
    yield from _check(entry, _MODEL, place, scope)
    for key in ("aliases", "env"):
        if key in entry:
            yield from check_texts(entry[key], (*place, key))
    if "capabilities" in entry:
        inner = as_mapping(entry["capabilities"])
        yield from _check(inner, _CAPABILITIES, (*place, "capabilities"), scope)


def check_group(group: Mapping[str, object], place: Place, *, old: bool) -> Iterator[Finding]:
    """Check the types of a group's keys."""
    for each in _check(group, _GROUP, place, {}):
        yield Finding(problem=each.problem, old=each.old and old, since=each.since)
    yield from check_texts(group.get("members"), (*place, "members"), old=old)


def check_texts(value: object, place: Place, *, old: bool = True) -> Iterator[Finding]:
    """Check that a list holds texts only."""
    for position, item in enumerate(as_list(value)):
        if isinstance(item, Mapping | list | tuple):
            message = "holds something other than a text"
            yield finding(
                "type", (*place, str(position)), message, subject=".".join(place), old=old
            )


def _check(
    section: Mapping[str, object],
    types: Mapping[str, _Type],
    place: Place,
    scope: Mapping[str, object],
) -> Iterator[Finding]:
    for key, value in as_mapping(section).items():
        kind = types.get(key)
        # A null is left out everywhere.
        if kind is None or value is None:
            continue
        shown = expand_value(value, scope)
        is_fit = kind.accepts(value)
        old = kind.old and not is_fit
        new = shown is None or (is_fit if shown is value else kind.accepts(shown))
        if old or not new:
            message = f"must be {kind.name}, not {value!r:.60}"
            yield finding("type", (*place, key), message, old=old, since=None if new else NEW)
