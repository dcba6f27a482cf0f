"""Whether llama-swap would load a config: the rules of its loader that end in an error.

Settings of the machine are not judged: environment variables, and whether files and folders exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from reconciler.core.llamaswap.macros import expand_value, macro_scope
from reconciler.core.llamaswap.model_rules import check_macros, check_models, check_other_macro_uses
from reconciler.core.llamaswap.problem import Finding, Problem, finding
from reconciler.core.llamaswap.routing_rules import check_routing
from reconciler.core.llamaswap.shapes import as_list, as_mapping, dig
from reconciler.core.llamaswap.type_rules import check_top
from reconciler.core.llamaswap.version import NEWEST, OLD, is_measured
from reconciler.core.values import Json, same

__all__ = [
    "Judged",
    "Problem",
    "find_problems",
    "introduced",
    "judge",
    "new_problems",
    "standing",
]

# The top-level keys that llama-swap knows, and so expands, beside `models` and `macros`.
_EXPANDED: Final = (
    *("groups", "matrix", "routing", "selectors", "profiles", "peers", "hooks", "apiKeys"),
    *("store", "ui", "performance", "upstream", "logLevel", "logTimeFormat", "logToStdout"),
)
_LOG_TARGETS: Final = ("proxy", "upstream", "both", "none")


@dataclass(frozen=True, slots=True)
class Judged:
    """A config as parsed, and what one build or another finds wrong with it."""

    data: Mapping[str, Json]
    findings: tuple[Finding, ...]


def judge(data: Mapping[str, Json]) -> Judged:
    """Look at a whole config, once for all questions about it."""
    return Judged(data, _findings(data))


def standing(before: Judged, version: int | None) -> tuple[Problem, ...]:
    """Give what keeps a config, as it stands, from being loaded: by `version`, if that is known.

    Else by the newest known one, and then each message says from which build on.
    """
    if version is not None and is_measured(version):
        return _rejected(before.findings, version)
    return tuple(each.told for each in before.findings if each.is_rejected_by(NEWEST))


def introduced(
    before: Judged, after: Mapping[str, Json], version: int | None
) -> tuple[Problem, ...]:
    """Give what llama-swap would refuse `after` for, and did not refuse `before` for.

    A known `version` judges alone. Else the newest known one does, unless `before` was fit for the
    2025 builds and not for it: then a 2025 build runs here, and judges.
    """
    old, new = before.findings, _findings(after, _changed_models(before.data, after))

    def found(build: int) -> tuple[Problem, ...]:
        return new_problems(_rejected(old, build), _rejected(new, build))

    if version is not None and is_measured(version):
        return found(version)
    if not found(OLD) and not found(NEWEST):
        return ()
    only_old = _rejected(old, NEWEST) and not _rejected(old, OLD)
    return found(OLD if only_old else NEWEST)


def find_problems(data: Mapping[str, Json], *, version: int) -> tuple[Problem, ...]:
    """Give every rule that `data` breaks, as llama-swap `version` judges it.

    `data` is the whole config as parsed, of whatever shape.
    """
    return _rejected(_findings(data), version)


def new_problems(before: Iterable[Problem], after: Iterable[Problem]) -> tuple[Problem, ...]:
    """Give the problems of `after` that `before` did not have."""
    known = {(problem.rule, problem.subject) for problem in before}
    return tuple(problem for problem in after if (problem.rule, problem.subject) not in known)


def _changed_models(
    before: Mapping[str, Json], after: Mapping[str, Json]
) -> frozenset[object] | None:
    """Give the IDs whose entries differ: no other entry can be right in one and wrong in the other.

    None where all must be looked at, for macros that hold everywhere differ.
    """
    macros = [list(as_mapping(dig(data, ("macros",))).items()) for data in (before, after)]
    if macros[0] != macros[1]:
        return None
    old, new = (
        cast("Mapping[str, Json]", as_mapping(dig(data, ("models",)))) for data in (before, after)
    )
    kept = {
        key
        for key, entry in old.items()
        # The order of macros counts too.
        if key in new and same(entry, new[key]) and "macros" not in as_mapping(entry)
    }
    return frozenset((old.keys() | new.keys()) - kept)


def _findings(data: object, only: Collection[object] | None = None) -> tuple[Finding, ...]:
    """Judge a config; of its models, taken one by one, `only` those, where they are named."""
    # An empty file is an empty config to llama-swap.
    return tuple(_find({} if data is None else data, only))


def _rejected(findings: Iterable[Finding], version: int) -> tuple[Problem, ...]:
    return tuple(each.problem for each in findings if each.is_rejected_by(version))


def _find(data: object, only: Collection[object] | None) -> Iterator[Finding]:
    if not isinstance(data, Mapping):
        yield finding("type", (), "the config must be a mapping", subject="the config")
        return
    scope = macro_scope(data)
    yield from check_top(data, scope)
    yield from check_macros(data, ())
    yield from _check_settings(data, scope)
    yield from check_models(data, only)
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
