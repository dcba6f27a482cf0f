"""What people are told of a watch's runs, and when: once for each event, not for each try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from reconciler.core.desired import Stall
from reconciler.core.names import ModelId
from reconciler.core.runs import Outcome, RunReport
from reconciler.core.sameness import sameness
from reconciler.errors import Interrupted, ReconcilerError, RuntimeUnavailable, Waiting

# The form of a notice; keys may be added to it without a new one.
NOTICE_FORMAT: Final = 1
# What may pass by itself is told once it has lasted so long, and so many tries.
_LASTING_SECONDS: Final = 900.0
_LASTING_TRIES: Final = 3
# Receivers cut, or refuse, what is longer.
_LONGEST_TEXT: Final = 1000
_NAMED_MODELS: Final = 10


class Event(StrEnum):
    """What happened; the words are those of `RECONCILER_NOTIFY_ON`."""

    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One event worth telling.

    `models` were changed, or failed. `run` is the run's name and `commit` the manifest's, both
    empty where there is none.
    """

    event: Event
    message: str
    hint: str = ""
    models: tuple[str, ...] = ()
    run: str = ""
    commit: str = ""


class Notices:
    """Decides what is told of one watch, whose events it is given in their order.

    A failure is told when it begins, and again only when it has changed, or come back after a
    success. A success that ends a failure that was told is told too, as applied. Moments are
    seconds of any clock that does not go back.
    """

    def __init__(self) -> None:
        self._told = ""
        self._waits_since: float | None = None
        self._tries = 0

    def of_run(
        self,
        report: RunReport,
        *,
        stalled: Mapping[ModelId, Stall],
        held: frozenset[ModelId],
        at_seconds: float,
    ) -> Notice | None:
        """Give what is to be told of a run that came to its end, if anything.

        `stalled` has the hints that its plan knew, and `held` are models that wait for a window
        alone, which is no failure.
        """
        notice = self._of_run(report, stalled, held, at_seconds)
        return replace(notice, run=report.run, commit=report.commit) if notice else None

    def of_error(self, error: ReconcilerError, *, at_seconds: float) -> Notice | None:
        """Give what is to be told of a pass that an error ended, if anything."""
        if isinstance(error, Interrupted):
            return None
        if isinstance(error, Waiting | RuntimeUnavailable):
            return self._lasting(error.message, hint=error.hint, at_seconds=at_seconds)
        return self._failure(Event.FAILED, error.message, hint=error.hint)

    def _of_run(
        self,
        report: RunReport,
        stalled: Mapping[ModelId, Stall],
        held: frozenset[ModelId],
        at_seconds: float,
    ) -> Notice | None:
        if report.outcome is Outcome.ROLLED_BACK:
            models = (*report.added, *report.updated, *report.removed)
            return self._failure(Event.ROLLED_BACK, report.message, models=models)
        if report.outcome not in (Outcome.IN_SYNC, Outcome.APPLIED, Outcome.PARTIAL):
            return None
        needing = tuple(key for key in report.failed if key not in report.waiting)
        waiting = tuple(key for key in report.waiting if ModelId(key) not in held)
        if needing:
            told = self._failure(
                Event.FAILED,
                _why(needing, report),
                hint=_hint(needing, stalled),
                models=needing,
            )
            return told or self._applied(report)
        if waiting:
            told = self._lasting(
                _why(waiting, report),
                hint=_hint(waiting, stalled),
                models=waiting,
                at_seconds=at_seconds,
            )
            return told or self._applied(report)
        recovered = bool(self._told)
        self._begin_anew()
        if notice := self._applied(report):
            return notice
        if recovered:
            return Notice(event=Event.APPLIED, message="it is well again")
        return None

    def _failure(
        self,
        event: Event,
        message: str,
        *,
        hint: str = "",
        models: tuple[str, ...] = (),
    ) -> Notice | None:
        self._waits_since, self._tries = None, 0
        key = "\n".join((sameness(event, message), *models))
        if key == self._told:
            return None
        self._told = key
        return Notice(event=event, message=message, hint=hint, models=models)

    def _lasting(
        self,
        message: str,
        *,
        hint: str,
        at_seconds: float,
        models: tuple[str, ...] = (),
    ) -> Notice | None:
        self._waits_since = at_seconds if self._waits_since is None else self._waits_since
        self._tries += 1
        if self._tries < _LASTING_TRIES or at_seconds - self._waits_since < _LASTING_SECONDS:
            return None
        # Why it waits may change with each try, as a network does that comes and goes.
        key = "\n".join(("waiting", *models))
        if key == self._told:
            return None
        self._told = key
        return Notice(event=Event.FAILED, message=message, hint=hint, models=models)

    def _applied(self, report: RunReport) -> Notice | None:
        models = (*report.added, *report.updated, *report.removed)
        if not models and report.outcome is not Outcome.APPLIED:
            return None
        parts = [
            f"{verb} {_named(keys)}"
            for verb, keys in (
                ("added", report.added),
                ("updated", report.updated),
                ("removed", report.removed),
            )
            if keys
        ]
        message = "; ".join(parts) or "llama-swap's config was set right"
        return Notice(event=Event.APPLIED, message=message, models=models)

    def _begin_anew(self) -> None:
        self._told, self._waits_since, self._tries = "", None, 0


def notice_to_json(notice: Notice, *, host: str, at: datetime) -> dict[str, Any]:
    """Give a notice as plain JSON values.

    `text` says all of it in one piece, and `content` repeats that: chats look for the one or the
    other. `title` and `message` are what others show.
    """
    title = f"{host}: {notice.event}"
    said = f"{title}: {notice.message}" + (f"\n{notice.hint}" if notice.hint else "")
    text = _short(said)
    return {
        "format_version": NOTICE_FORMAT,
        "event": str(notice.event),
        "host": host,
        "models": list(notice.models),
        "title": title,
        "message": _short(notice.message),
        "hint": notice.hint,
        "run": notice.run,
        "commit": notice.commit,
        "time": at.isoformat(),
        "text": text,
        "content": text,
    }


def _why(keys: tuple[str, ...], report: RunReport) -> str:
    reasons = dict(zip(report.failed, report.reasons, strict=False))
    told = [f"{key}: {reasons.get(key, 'see the log')}" for key in keys[:_NAMED_MODELS]]
    more = len(keys) - _NAMED_MODELS
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _hint(keys: tuple[str, ...], stalled: Mapping[ModelId, Stall]) -> str:
    found = [stalled[ModelId(key)].hint for key in keys if ModelId(key) in stalled]
    return "; ".join(list(dict.fromkeys(filter(None, found)))[:_NAMED_MODELS])


def _named(keys: tuple[str, ...]) -> str:
    more = len(keys) - _NAMED_MODELS
    return ", ".join(keys[:_NAMED_MODELS]) + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
