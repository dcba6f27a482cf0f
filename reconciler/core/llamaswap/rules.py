"""Whether llama-swap would load a config: the rules of its loader that end in an error.

Settings of the machine are not judged: environment variables, and whether files and folders exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reconciler.core.llamaswap.macros import expand_value, macro_scope
from reconciler.core.llamaswap.model_rules import check_macros, check_models, check_other_macro_uses
from reconciler.core.llamaswap.problem import Finding, Problem, finding
from reconciler.core.llamaswap.routing_rules import check_routing
from reconciler.core.llamaswap.shapes import as_list
from reconciler.core.llamaswap.type_rules import check_top
from reconciler.core.values import Json

__all__ = ["Problem", "find_problems", "new_problems"]

# The top-level keys that llama-swap knows, and so expands, beside `models` and `macros`.
_EXPANDED: Final = (
    *("groups", "matrix", "routing", "selectors", "profiles", "peers", "hooks", "apiKeys"),
    *("store", "ui", "performance", "upstream", "logLevel", "logTimeFormat", "logToStdout"),
)
_LOG_TARGETS: Final = ("proxy", "upstream", "both", "none")


def find_problems(data: Mapping[str, Json], *, version: int | None) -> tuple[Problem, ...]:
    """Give every rule that `data` breaks, as llama-swap `version` would judge it.

    `data` is the whole config as parsed, of whatever shape. Where the version is unknown (None, or
    one between those measured), only what every known version rejects is a problem.
    """
    return tuple(each.problem for each in _find(_as_root(data)) if each.is_rejected_by(version))


def new_problems(before: Iterable[Problem], after: Iterable[Problem]) -> tuple[Problem, ...]:
    """Give the problems of `after` that `before` did not have."""
    known = {(problem.rule, problem.subject) for problem in before}
    return tuple(problem for problem in after if (problem.rule, problem.subject) not in known)


def _as_root(data: object) -> object:
    # An empty file is an empty config to llama-swap.
    return {} if data is None else data


def _find(data: object) -> Iterator[Finding]:
    if not isinstance(data, Mapping):
        yield finding("type", (), "the config must be a mapping", subject="the config")
        return
    scope = macro_scope(data)
    yield from check_top(data, scope)
    yield from check_macros(data, ())
    yield from _check_settings(data, scope)
    yield from check_models(data)
    yield from check_other_macro_uses(data, _EXPANDED)
    yield from check_routing(data)


def _check_settings(data: Mapping[str, object], scope: Mapping[str, object]) -> Iterator[Finding]:
    for key, least, old in (("startPort", 1, True), ("globalTTL", 0, False)):
        number = expand_value(data.get(key), scope)
        if isinstance(number, int | float) and number < least:
            yield finding("setting", (key,), f"must be {least} or more", old=old)
    target = expand_value(data.get("logToStdout"), scope)
    if target is not None and target not in _LOG_TARGETS:
        message = f"must be one of {', '.join(_LOG_TARGETS)}"
        yield finding("setting", ("logToStdout",), message, old=False)
    for position, secret in enumerate(as_list(data.get("apiKeys"))):
        if isinstance(secret, str) and (not secret or " " in secret):
            message = "an API key is not empty and holds no space"
            yield finding(
                "setting", ("apiKeys", str(position)), message, subject="apiKeys", old=False
            )
