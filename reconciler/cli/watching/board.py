"""What a watch does and has done, kept for whoever looks: the status page, health and metrics."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler import __version__
from reconciler.cli.model_status import (
    ModelStatus,
    model_statuses,
    statuses_after,
    unowned_sizes,
)
from reconciler.cli.plan_json import plan_to_json
from reconciler.cli.shown_json import shallow, without_secrets
from reconciler.cli.watching.board_work import WorkBoard
from reconciler.core.reading.pause_text import pause_to_json
from reconciler.core.runs import Outcome, RunReport
from reconciler.core.watching import Pause, Reason
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.core.ports.clock import Clock
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult

FORMAT_VERSION: Final = 1
_RUNS: Final = 10
# What a page may take to answer is for the most part spent on waiting for this.
_PATIENCE_SECONDS: Final = 0.02
# However many look, it is made no more often than this.
_KEPT_SECONDS: Final = 0.2
_DONE: Final = (Outcome.IN_SYNC, Outcome.APPLIED, Outcome.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    message: str
    hint: str = ""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What the watch has told. Only its own thread writes; each field is replaced as a whole."""

    phase: str = "starting"
    reason: Reason | None = None
    since: datetime
    next_at: datetime | None = None
    pause: Pause | None = None
    passes: int = 0
    problem: _Problem | None = None
    newest: tuple[Prepared, RunReport | None] | None = None
    last_good_at: datetime | None = None
    was_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What changes with a pass alone, as JSON texts, and the models in it."""

    models: Sequence[ModelStatus] = ()
    texts: dict[str, str] = field(
        default_factory=lambda: {
            "runtime": "null",
            "models": "[]",
            "waiting": "[]",
            "plan": "null",
            "runs": "[]",
        }
    )


class Board:
    """Hears what a watch does (a `Listener`), and shows it to any thread.

    `read_runs` gives the last so many runs of the models folder at a path (None: not known yet),
    newest first; what it raises as `ReconcilerError` or OSError is taken for: no news.
    """

    def __init__(
        self,
        *,
        manifest: Path,
        clock: Clock,
        read_runs: Callable[[str | None, int], Sequence[RunReport]],
    ) -> None:
        self.work = WorkBoard()
        self.manifest = manifest
        self._clock = clock
        self._read_runs = read_runs
        self._started_at = clock.now()
        self._seen = _Seen(since=self._started_at)
        # Of what was told, and of what was made of it.
        self._told, self._made, self._made_runs = 1, 0, 0
        self._parts = _Parts()
        self._runs: Sequence[RunReport] = ()
        self._shown = (float("-inf"), b"")
        self._guard = threading.Lock()
        self._maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="status")
        self._making: Future[None] | None = None

    # What the watch tells, in its thread.

    def began(self, reason: Reason) -> None:
        """A pass begins."""
        seen = self._seen
        seen.passes += 1
        seen.reason, seen.next_at, seen.pause = reason, None, None
        self._enter("working")

    def planned(self, prepared: Prepared) -> None:
        """It has a plan."""
        self._seen.newest = prepared, None
        self._told += 1

    def ended(self, result: RunResult) -> None:
        """A run of it came to its end."""
        seen, report = self._seen, result.report
        seen.newest = result.prepared, report
        seen.problem = _problem_of(result)
        seen.was_ready = report.outcome in _DONE
        if seen.was_ready:
            seen.last_good_at = self._clock.now()
        self._told += 1

    def failed(self, error: ReconcilerError) -> None:
        """It ended by an error."""
        self._seen.problem = _Problem(message=error.message, hint=error.hint)
        self._seen.was_ready = False
        self._told += 1

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """There is nothing to do."""
        self._seen.next_at = self._clock.now() + timedelta(seconds=seconds)
        self._seen.pause = pause
        self._enter("resting" if pause is None else "paused")

    def _enter(self, phase: str) -> None:
        if phase != self._seen.phase:
            self._seen.phase, self._seen.since = phase, self._clock.now()

    # What others ask, in theirs.

    def status(self) -> bytes:
        """Give all of it as JSON."""
        with self._guard:
            made_at, document = self._shown
            now = self._clock.monotonic()
            if now - made_at >= _KEPT_SECONDS:
                document = self._document()
                self._shown = (self._clock.monotonic(), document)
            return document

    def readiness(self) -> tuple[bool, str]:
        """Whether the last pass ended well, and in words why it is thought so."""
        seen = self._seen
        if seen.was_ready:
            return True, "ok"
        if seen.problem is not None:
            return False, f"the last pass did not end well: {seen.problem.message}"
        return False, "no pass has ended yet"

    def models(self) -> Sequence[ModelStatus]:
        """Give the models as they stand."""
        with self._guard:
            self._have_made()
            return self._parts.models

    @property
    def next_at(self) -> datetime | None:
        """When it looks next, unless something changes; None while it works."""
        return self._seen.next_at

    @property
    def last_good_at(self) -> datetime | None:
        """When a run last ended well."""
        return self._seen.last_good_at

    @property
    def is_paused(self) -> bool:
        """Whether a person holds it."""
        return self._seen.pause is not None

    def _document(self) -> bytes:
        self._have_made()
        texts = {
            "format_version": str(FORMAT_VERSION),
            "version": json.dumps(__version__),
            "watch": json.dumps(without_secrets(self._watch())),
            "work": json.dumps(without_secrets(self.work.to_json())),
            **self._parts.texts,
        }
        return ("{" + ",".join(f'"{key}":{text}' for key, text in texts.items()) + "}").encode()

    def _watch(self) -> dict[str, Any]:
        seen, pause = self._seen, self._seen.pause
        return {
            "phase": seen.phase,
            "reason": seen.reason.value if seen.reason is not None else "",
            "since": seen.since.isoformat(),
            "next_at": _iso(seen.next_at),
            "pause": pause_to_json(pause) if pause is not None else None,
            "started_at": self._started_at.isoformat(),
            "pid": os.getpid(),
            "host": platform.node(),
            "manifest": str(self.manifest),
            "commit": self._runs[0].commit if self._runs else "",
            "passes": seen.passes,
            "problem": None if seen.problem is None else asdict(seen.problem),
        }

    def _have_made(self) -> None:
        """Have what a pass has changed made anew, without waiting long for that.

        With a thousand models it takes longer than people like to wait; until it is made, they see
        what was before.
        """
        if self._making is None and self._told != self._made:
            self._making = self._maker.submit(self._make)
        making = self._making
        if making is not None and wait([making], _PATIENCE_SECONDS).done:
            self._making = None
            making.result()

    def _make(self) -> None:
        told = self._told
        newest = self._seen.newest
        self._runs = self._last_runs(newest[0].observed.models_dir if newest is not None else None)
        self._parts = _parts(self._parts, newest, self._runs)
        self._made = told

    def _last_runs(self, models_dir: str | None) -> Sequence[RunReport]:
        try:
            return self._read_runs(models_dir, _RUNS)
        except (ReconcilerError, OSError):
            return self._runs


def _parts(
    before: _Parts, newest: tuple[Prepared, RunReport | None] | None, runs: Sequence[RunReport]
) -> _Parts:
    """Make what is shown of the runs, and of the newest plan with what came of it, if that came."""
    values: dict[str, Any] = {"runs": runs}
    models = before.models
    if newest is not None:
        prepared, report = newest
        done = report if report is not None and report.outcome in _DONE else None
        models = _models(prepared, done)
        runtime = prepared.observed.runtime
        values |= {
            "runtime": {"kind": runtime.kind, "name": runtime.name, "status": runtime.status},
            "models": models,
            "waiting": _waiting(prepared, done),
            "plan": None
            if done is not None and not prepared.plan.is_empty
            else plan_to_json(prepared.plan, to_json=shallow),
        }
    texts = {key: json.dumps(without_secrets(value)) for key, value in values.items()}
    return _Parts(models=models, texts=before.texts | texts)


def _models(prepared: Prepared, done: RunReport | None) -> Sequence[ModelStatus]:
    on_disk = prepared.observed.on_disk
    found = {file.path: file.size_bytes for file in on_disk.files} if on_disk is not None else {}
    unowned = unowned_sizes(prepared, found)
    if done is not None:
        return statuses_after(prepared, unowned, done)
    return model_statuses(prepared, unowned)


def _waiting(prepared: Prepared, done: RunReport | None) -> list[dict[str, Any]]:
    """Give the models that could not be applied: as they were planned, or as they then failed."""
    stalled = {
        str(model): {"model": model, **asdict(stall)}
        for model, stall in prepared.plan.stalled.items()
    }
    if done is not None:
        for model, reason in zip(done.failed, done.reasons, strict=False):
            waits = model in done.waiting
            failed = {"model": model, "reason": reason, "hint": "", "waiting": waits}
            stalled.setdefault(model, failed)
    return list(stalled.values())


def _problem_of(result: RunResult) -> _Problem | None:
    report, ledger = result.report, result.prepared.ledger
    if report.outcome is Outcome.ROLLED_BACK:
        return _Problem(
            message=f"unhealthy, rolled back: {report.message}",
            hint="the manifest must change first",
        )
    if report.outcome is Outcome.DECLINED:
        return _Problem(message=f"not tried again until it changes: {ledger.stalled_reason}")
    return None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
