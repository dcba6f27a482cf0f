"""What llama-swap's loader asks of macros and of each model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from reconciler.core.llamaswap.commandline import strip_comments
from reconciler.core.llamaswap.macros import (
    expand,
    expand_value,
    macro_names,
    macro_scope,
    model_scope,
)
from reconciler.core.llamaswap.problem import Finding, finding
from reconciler.core.llamaswap.shapes import (
    Place,
    as_list,
    as_mapping,
    dig,
    model_entries,
)
from reconciler.core.llamaswap.type_rules import check_model
from reconciler.core.llamaswap.version import NEW, NEWEST

_MACRO_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_DEFAULT_PROXY: Final = "http://localhost:${PORT}"
_MODALITIES: Final = frozenset({"text", "audio", "image"})
# The values both loaders expand; 2026 builds came to expand more of them, by 250 every one.
_OLD_FIELDS: Final = frozenset({"cmd", "cmdStop", "proxy", "checkEndpoint", "metadata"})
_NEW_FIELDS: Final = _OLD_FIELDS | {"name", "description"}


def check_macros(section: Mapping[str, object], place: Place) -> Iterator[Finding]:
    """Check the macros that one section declares."""
    for name, value in as_mapping(section.get("macros")).items():
        here = (*place, "macros", str(name))
        if not _MACRO_NAME.fullmatch(str(name)):
            yield finding(
                "macro-name", here, "a macro's name has at most 63 letters, digits, '_' and '-'"
            )
        if name in ("PORT", "MODEL_ID", "PID"):
            since = NEWEST if name == "PID" else NEW
            yield finding(
                "macro-reserved",
                here,
                "the name is llama-swap's own",
                old=name != "PID",
                since=since,
            )
        if not isinstance(value, str | int | float):
            yield finding("macro-value", here, "a macro's value is a text, a number or a switch")
        elif f"${{{name}}}" in str(value):
            yield finding("macro-self", here, "the macro names itself")


def check_other_macro_uses(data: Mapping[str, object], keys: Iterable[str]) -> Iterator[Finding]:
    """Check the macros used in top-level `keys`, which the global ones alone reach."""
    scope = macro_scope(data)
    for key in keys:
        for text, here in _texts(data.get(key), (key,)):
            for name in macro_names(expand(text, scope)):
                message = f"${{{name}}} is no macro that holds here"
                subject = f"{'.'.join(here)} ${{{name}}}"
                yield finding(
                    "unknown-macro", here, message, subject=subject, old=False, since=NEWEST
                )


def check_models(
    data: Mapping[str, object], only: Collection[object] | None = None
) -> Iterator[Finding]:
    """Check every model: its ID, types, macros, port, TTL, environment, capabilities and names.

    With `only`, no other is taken by itself; their names are compared all the same.
    """
    shared = macro_scope(data)
    for model, raw in as_mapping(data.get("models")).items():
        if only is not None and model not in only:
            continue
        place = ("models", str(model))
        if not isinstance(model, str):
            message = "the ID is not a text, and 2026 builds drop every model for it: quote it"
            yield finding("model-id", place, message, old=False)
        elif raw is not None and not isinstance(raw, Mapping):
            yield finding("type", place, f"must be a mapping, not {raw!r:.60}")
        elif isinstance(raw, Mapping):
            yield from _check_entry(raw, place, model_scope(shared, model, raw))
    yield from _check_aliases(data, shared)


def answering_names(data: Mapping[str, object]) -> dict[str, str]:
    """Give every name that 2026 builds answer to, an alias or an ID, with the model behind it."""
    names: dict[str, str] = {}
    shared = macro_scope(data)
    for model, entry in model_entries(data):
        if "aliases" not in entry and "filters" not in entry:
            continue
        scope = model_scope(shared, model, entry)
        for alias in (*_aliases(entry, scope), *_params_aliases(entry, scope)):
            names.setdefault(alias, model)
    names.update({model: model for model, _ in model_entries(data)})
    return names


def _check_entry(
    entry: Mapping[str, object], place: Place, scope: Mapping[str, object]
) -> Iterator[Finding]:
    cmd = entry.get("cmd")
    has_port = isinstance(cmd, str) and "${PORT}" in expand(strip_comments(cmd), scope)
    yield from check_model(entry, place, scope)
    yield from check_macros(entry, place)
    yield from _check_port(entry, place, scope, has_port=has_port)
    yield from _check_macro_uses(entry, place, scope, has_port=has_port)
    for key, check in _CHECKS.items():
        if key in entry:
            yield from check(entry[key], place, scope)


def _check_port(
    entry: Mapping[str, object], place: Place, scope: Mapping[str, object], *, has_port: bool
) -> Iterator[Finding]:
    proxy = entry.get("proxy")
    proxy = expand(proxy, scope) if isinstance(proxy, str) else _DEFAULT_PROXY
    if "${PORT}" in proxy and not has_port:
        message = "cmd holds no ${PORT}, and proxy is not set to another port"
        yield finding("port", (*place, "cmd"), message)


def _check_macro_uses(
    entry: Mapping[str, object], place: Place, scope: Mapping[str, object], *, has_port: bool
) -> Iterator[Finding]:
    for key, value in entry.items():
        if key == "macros":
            continue
        for text, here in _texts(value, (*place, str(key))):
            if "${" not in text:
                continue
            shown = strip_comments(text) if key in ("cmd", "cmdStop") else text
            for name in macro_names(expand(shown, scope)):
                if (name == "PORT" and has_port) or (name == "PID" and key == "cmdStop"):
                    continue
                field = "stripParams" if here[2:] == ("filters", "stripParams") else key
                yield finding(
                    "unknown-macro",
                    here,
                    f"${{{name}}} is no macro that is declared before it is used here",
                    subject=f"{'.'.join(here)} ${{{name}}}",
                    old=field in _OLD_FIELDS or field == "stripParams",
                    since=NEW if field in _NEW_FIELDS or field == "stripParams" else NEWEST,
                )
    for alias in _params_aliases(entry, scope) if "filters" in entry else ():
        here = (*place, "filters", "setParamsByID", alias)
        for name in macro_names(alias):
            if name != "PORT" or not has_port:
                yield finding("unknown-macro", here, f"${{{name}}} is no macro", old=False)


def _check_least(
    key: str, least: int, value: object, place: Place, scope: Mapping[str, object]
) -> Iterator[Finding]:
    number = expand_value(value, scope)
    if isinstance(number, int | float) and number < least:
        yield finding(key, (*place, key), f"must be {least} or more", old=False)


def _check_env(value: object, place: Place, scope: Mapping[str, object]) -> Iterator[Finding]:
    for position, item in enumerate(as_list(value)):
        name, equals, _ = expand(str(item), scope).partition("=")
        if isinstance(item, str | int | float) and not (name and equals):
            here = (*place, "env", str(position))
            yield finding(
                "env", here, f"{item!r:.60} is not NAME=value", subject=f"{place[1]} {item}"
            )


def _check_capabilities(
    value: object, place: Place, scope: Mapping[str, object]
) -> Iterator[Finding]:
    capabilities = as_mapping(value)
    for side in ("in", "out"):
        for word in as_list(capabilities.get(side)):
            modality = expand_value(word, scope)
            if not isinstance(modality, str) or modality not in _MODALITIES:
                here = (*place, "capabilities", side)
                yield finding("capabilities", here, f"{word!r:.60} is no modality", old=False)
    context = expand_value(capabilities.get("context"), scope)
    if isinstance(context, int | float) and context < 0:
        yield finding("capabilities", (*place, "capabilities", "context"), "is negative", old=False)


# Most entries have one of these keys or two, and a config has a thousand entries.
_CHECKS: Final[Mapping[str, Callable[[object, Place, Mapping[str, object]], Iterator[Finding]]]] = {
    "ttl": partial(_check_least, "ttl", -1),
    "unloadTimeout": partial(_check_least, "unloadTimeout", 0),
    "env": _check_env,
    "capabilities": _check_capabilities,
}


def _check_aliases(data: Mapping[str, object], shared: Mapping[str, object]) -> Iterator[Finding]:
    models = dict(model_entries(data))
    written: set[str] = set()
    owners: dict[str, str] = {}
    for model, entry in models.items():
        for alias in _aliases(entry, {}):
            expanded = expand(alias, model_scope(shared, model, entry))
            owner = owners.get(expanded)
            # 2025 builds compare aliases as they are written.
            if owner is not None or alias in written:
                yield finding(
                    "alias",
                    ("models", model, "aliases"),
                    f"{expanded!r} is already an alias" + (f" of {owner!r}" if owner else ""),
                    subject=expanded,
                    old=alias in written,
                    since=NEW if owner is not None else None,
                )
            written.add(alias)
            owners.setdefault(expanded, model)
    for model, entry in models.items():
        if "filters" not in entry:
            continue
        for alias in _params_aliases(entry, model_scope(shared, model, entry)):
            owner = alias if alias in models else owners.setdefault(alias, model)
            if owner != model:
                here = ("models", model, "filters", "setParamsByID")
                message = f"{alias!r} would become an alias, but it is a name of {owner!r}"
                yield finding("alias", here, message, subject=alias, old=False)


def _aliases(entry: Mapping[str, object], scope: Mapping[str, object]) -> Iterator[str]:
    for alias in as_list(entry.get("aliases")):
        if isinstance(alias, str | int | float):
            yield expand(str(alias), scope)


def _params_aliases(entry: Mapping[str, object], scope: Mapping[str, object]) -> Iterator[str]:
    for key in as_mapping(dig(entry, ("filters", "setParamsByID"))):
        yield expand(str(key), scope)


def _texts(value: object, place: Place) -> Iterator[tuple[str, Place]]:
    """Give every text in `value` with its place; what YAML anchors share is given once."""
    if isinstance(value, str):
        yield value, place
        return
    seen: set[int] = set()
    waiting = [(value, place)]
    while waiting:
        value, place = waiting.pop()
        children: list[tuple[object, object]] = []
        if isinstance(value, str):
            yield value, place
        elif isinstance(value, Mapping):
            children = list(value.items())
        else:
            children = list(enumerate(as_list(value)))
        if children and id(value) not in seen:
            seen.add(id(value))
            waiting += [(child, (*place, str(key))) for key, child in reversed(children)]
