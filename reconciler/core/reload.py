"""How llama-swap is told of a change: the gentlest way that works for what was found.

Any reload stops every model that runs and cuts what it answers, so none is made for nothing. The
ways differ in what they need: a restart works always, and is the hardest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reconciler.core.llamaswap.version import NEW
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.refusal import Refusal

AUTO: Final = "auto"
"""What a person says who leaves the choice of a strategy to us."""

# What either version writes into its log, in its own words. Its log level may leave out the good
# news; what went wrong is always told.
_FAILED: Final = (
    "failed to reload config",
    "failed to build new server during reload",
    "unable to reload config",
)
_RELOADED: Final = ("configuration reloaded",)
_BEGUN: Final = ("reloading configuration", "configuration changed")


class Strategy(StrEnum):
    """A way to have llama-swap take its config anew."""

    WATCH = "watch"
    SIGNAL = "signal"
    RESTART = "restart"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way that can be tried, and why it can."""

    strategy: Strategy
    reason: str


class Verdict(StrEnum):
    """What llama-swap's log says of a reload; nothing of it is no verdict."""

    BEGUN = "begun"
    RELOADED = "reloaded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogVerdict:
    """The newest verdict of a log, and the line that says so."""

    verdict: Verdict
    line: str


def ladder(state: RuntimeState, version: int | None, asked: str) -> tuple[Rung, ...]:
    """Give the ways to reload that can be tried, gentlest first; empty where none may be.

    `asked` is `AUTO` or the name of a strategy; a way that is named is the only one. `version` is
    the build that runs (None: it does not say). SIGHUP is never sent to one that may die of it.
    """
    if state.status is RuntimeStatus.UNMANAGED or asked == Strategy.NONE:
        return ()
    rungs = [
        rung
        for rung in (_watching(state, version), _signalling(state, version), _restarting(state))
        if rung is not None
    ]
    if asked == AUTO:
        return tuple(rungs)
    return tuple(rung for rung in rungs if rung.strategy == asked)


def guard_reload(state: RuntimeState, version: int | None, asked: str) -> tuple[Refusal, ...]:
    """Refuse a way to reload that somebody named and that cannot work here."""
    if state.status is not RuntimeStatus.RUNNING or asked in (AUTO, Strategy.NONE):
        return ()
    if ladder(state, version, asked):
        return ()
    hint = "leave out --reload, so that the gentlest way that works is taken"
    if asked == Strategy.WATCH:
        message = f"{state.called} does not notice changes of its config by itself"
        hint = f"start it with -watch-config on a mounted folder; or {hint}"
    elif not state.is_container:
        message = f"there is no command for {asked}"
    else:
        known = f"is version {version}" if version is not None else "does not tell its version"
        message = f"llama-swap in {state.called} {known}, and one older than {NEW} dies of SIGHUP"
    return (Refusal(message=f"{message}: --reload {asked} cannot work", hint=hint),)


def read_verdict(lines: Sequence[str]) -> LogVerdict | None:
    """Give what the newest line on a reload says; None where no line is about one.

    The end of a reload whose beginning is not among the lines is no verdict: it may have begun, and
    read the config, before what the lines are asked for. A failure is one always.
    """
    said: LogVerdict | None = None
    for line in lines:
        lowered = line.lower()
        if any(word in lowered for word in _FAILED):
            said = LogVerdict(verdict=Verdict.FAILED, line=line.strip())
        elif any(word in lowered for word in _BEGUN):
            said = LogVerdict(verdict=Verdict.BEGUN, line=line.strip())
        elif said is not None and any(word in lowered for word in _RELOADED):
            said = LogVerdict(verdict=Verdict.RELOADED, line=line.strip())
    return said


def _watching(state: RuntimeState, version: int | None) -> Rung | None:
    if not state.watches:
        return None
    if state.config_is_mount and version is not None and version < NEW:
        # It is told of changes in the folder around its config, and of a mounted file's there
        # are none.
        return None
    return Rung(strategy=Strategy.WATCH, reason="it watches its config")


def _signalling(state: RuntimeState, version: int | None) -> Rung | None:
    if not state.is_container:
        if Strategy.SIGNAL not in state.reloads_by:
            return None
        return Rung(strategy=Strategy.SIGNAL, reason="there is a command for it")
    if version is None or version < NEW:
        return None
    return Rung(strategy=Strategy.SIGNAL, reason=f"version {version} reloads at SIGHUP")


def _restarting(state: RuntimeState) -> Rung | None:
    if not state.is_container and Strategy.RESTART not in state.reloads_by:
        return None
    return Rung(strategy=Strategy.RESTART, reason="a restart works with every version")
