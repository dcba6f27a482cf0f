"""What a watch does with the git repository that the manifest lives in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from reconciler.adapters.git.checkout import Checkout
from reconciler.adapters.manifest_files import lock_path_of
from reconciler.cli.manifest_commit import manifest_folder
from reconciler.cli.settings import Settings
from reconciler.core.lock import Lock
from reconciler.core.lock_message import lock_message
from reconciler.core.ports.reporting import Reporter
from reconciler.core.reading.lock_text import parse_lock
from reconciler.core.watching import Pause, Reason
from reconciler.errors import ReconcilerError, UsageError

if TYPE_CHECKING:
    from reconciler.engine.listening import Listener
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult

# What is pushed when we are told to stop is given up after so long; the next start goes on.
_STOP_SECONDS = 3.0


def expect_repository(settings: Settings) -> None:
    """See that what is asked of git can be done at all. Raises `UsageError`."""
    if settings.git_verify and settings.git_pull is None:
        raise UsageError(
            "--git-verify says which commits are pulled, and none is",
            hint="add --git-pull INTERVAL, such as --git-pull 5m",
        )
    if settings.git_pull is None and settings.git_lock_branch is None:
        return
    try:
        checkout = _open(settings)
        if settings.git_lock_branch is not None:
            checkout.expect_side_branch(settings.git_lock_branch, _lock_path(settings))
    except ReconcilerError as error:
        raise UsageError(error.message, hint=error.hint) from error


def puller(settings: Settings, reporter: Reporter) -> Callable[[], None]:
    """Give what pulls as the settings say. It never raises but for an interrupt."""
    return _Puller(settings, reporter).pull if settings.git_pull is not None else lambda: None


@contextmanager
def lock_keeper(settings: Settings, reporter: Reporter) -> Iterator[tuple[Listener, ...]]:
    """Commit the lock to its branch after each pass, while the block runs, if that is asked for."""
    if settings.git_lock_branch is None:
        yield ()
        return
    keeper = _LockKeeper(settings, settings.git_lock_branch, reporter)
    try:
        yield (keeper,)
    finally:
        keeper.stop()


class _Once:
    """Tells a problem once, until it is another one or over."""

    def __init__(self, reporter: Reporter, over: str) -> None:
        self._reporter = reporter
        self._over = over
        self._told = ""

    def tell(self, error: ReconcilerError, stays: str) -> None:
        if error.message != self._told:
            self._reporter.warn(f"{error.message}; {stays}", error.hint)
        self._told = error.message

    def is_well(self) -> None:
        if self._told:
            self._reporter.say(self._over)
        self._told = ""


class _Puller:
    """Pulls the manifest's repository, and tells what came of it."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._reporter = reporter
        self._problem = _Once(reporter, "git pulls again")

    def pull(self) -> None:
        settings = self._settings
        try:
            pulled = _open(settings).pull(
                verify=settings.git_verify, kept_on=settings.git_lock_branch
            )
        except ReconcilerError as error:
            self._problem.tell(error, "what is checked out stays")
            return
        self._problem.is_well()
        if pulled is not None:
            what = f"{pulled.commit[:12]} of {pulled.upstream}: {pulled.subject}"
            self._reporter.say(f"pulled {what}")


class _LockKeeper:
    """Keeps the lock on a branch, in a thread of its own: a push may take its time.

    Implements `Listener`.
    """

    def __init__(self, settings: Settings, branch: str, reporter: Reporter) -> None:
        self._settings = settings
        self._branch = branch
        self._reporter = reporter
        self._problem = _Once(reporter, "the lock can be kept in git again")
        self._due = Event()
        self._stopping = False
        self._checkout: Checkout | None = None
        self._thread = Thread(target=self._work, name="lock keeper", daemon=True)
        self._thread.start()

    def began(self, reason: Reason) -> None:
        """Nothing is to be done."""

    def planned(self, prepared: Prepared) -> None:
        """Nothing is to be done."""

    def ended(self, result: RunResult) -> None:  # noqa: ARG002 - the file tells
        """Look at the lock."""
        self._due.set()

    def failed(self, error: ReconcilerError) -> None:  # noqa: ARG002 - the file tells
        """Look at the lock: a pass writes it before anything can fail."""
        self._due.set()

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """Nothing is to be done."""

    def stop(self) -> None:
        """Give up what is under way, and end."""
        self._stopping = True
        self._due.set()
        if (checkout := self._checkout) is not None:
            checkout.stop()
        self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        while self._due.wait() and not self._stopping:
            self._due.clear()
            try:
                self._save()
            except ReconcilerError as error:
                if not self._stopping:
                    self._problem.tell(error, "the lock is kept here, and tried again next time")

    def _save(self) -> None:
        self._checkout = _open(self._settings)
        if self._stopping:
            return
        saved = self._checkout.save(_lock_path(self._settings), self._branch, message=_message)
        self._problem.is_well()
        if saved is not None:
            where = f", pushed to {saved.pushed_to}" if saved.pushed_to else ""
            self._reporter.say(f"the lock is {saved.commit[:12]} on {saved.branch}{where}")


def _lock_path(settings: Settings) -> Path:
    return Path(os.path.realpath(lock_path_of(settings.manifest)))


def _open(settings: Settings) -> Checkout:
    return Checkout.open(manifest_folder(settings), environ=settings.environment)


def _message(before: bytes | None, after: bytes) -> str:
    """Give a commit's message. Raises `LockInvalid`: such a lock is not committed."""
    try:
        old = parse_lock(before, "the lock in git") if before is not None else Lock()
    except ReconcilerError:
        old = Lock()
    return lock_message(old, parse_lock(after, "the lock"))
