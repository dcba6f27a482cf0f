"""Runs git where nobody can answer it: without prompts, pagers and hooks, and in bounded time."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from reconciler.adapters.base.files import translated
from reconciler.adapters.base.urls import legible
from reconciler.errors import ReconcilerError, Unreachable

# What asks a server may wait for it so long.
REMOTE_SECONDS: Final = 60.0
_LOCAL_SECONDS: Final = 30.0
# Between the polite word and the other one.
_END_SECONDS: Final = 2.0
# What writes the checkout may end by itself when we are told to stop.
_FINISH_SECONDS: Final = 5.0
# They would lead git to another repository than the one that is meant.
_MISLEADING: Final = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"}
    | {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"}
    | {"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"}
)
_SECRETS: Final = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
_ALWAYS: Final = (
    "--no-pager",
    "--literal-pathspecs",
    # Programs that the repository's config names, and that nobody expects to be run by a watch.
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "credential.interactive=false"),
    # A server that falls silent in the middle of an answer.
    *("-c", "http.lowSpeedLimit=1"),
    *("-c", "http.lowSpeedTime=30"),
)
_USERINFO: Final = re.compile(r"(?<=://)[^/\s'\"]+@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What git ended with and printed; `said` is the line of its complaint that tells most."""

    code: int
    out: bytes
    said: str

    @property
    def text(self) -> str:
        """Its output, without the last line break."""
        return os.fsdecode(self.out).removesuffix("\n")


class Git:
    """git in one folder. `remote_seconds` is what anything that asks a server may take."""

    def __init__(
        self, folder: Path, *, environ: Mapping[str, str], remote_seconds: float = REMOTE_SECONDS
    ) -> None:
        self.folder = folder
        self.remote_seconds = remote_seconds
        self.environ = _environment(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(
        self,
        *words: str,
        feed: bytes = b"",
        more: Mapping[str, str] | None = None,
        asks_remote: bool = False,
        finishes: bool = False,
    ) -> Answer:
        """Run one command, whatever it ends with.

        `feed` is its input and `more` its further environment. One that `finishes` is given some
        seconds to end when an interrupt comes.

        Raises:
            Unreachable: with `asks_remote`, it did not end in time.
            ReconcilerError: git, or the folder, is not there; or it did not end in time.
        """
        seconds = self.remote_seconds if asks_remote else _LOCAL_SECONDS
        # Files and no pipes: a process that git leaves running must not hold us up.
        with (
            translated("temporary files", "writing"),
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(feed)
            given.seek(0)
            environ = self.environ | dict(more or {})
            process = None
            try:
                with _unheard():
                    process = self._process = self._start(words, given, out, err, environ)
                if self._stopped:
                    _end(process)
                code = process.wait(seconds)
            except subprocess.TimeoutExpired as error:
                _end(process)
                late = f"`git {words[0]}` did not end within {seconds:g} s, and was ended"
                if asks_remote:
                    raise Unreachable(late, hint=self.try_it(*words[:1])) from error
                raise ReconcilerError(late, hint=self.try_it("status")) from error
            except BaseException:
                if process is not None and finishes:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_FINISH_SECONDS)
                _end(process)
                raise
            finally:
                self._process = None
            return Answer(code=code, out=_read(out), said=_told(_read(err)))

    def ask(self, *words: str, feed: bytes = b"", more: Mapping[str, str] | None = None) -> Answer:
        """Run one command that must succeed. Raises also `ReconcilerError` where it does not."""
        answer = self.run(*words, feed=feed, more=more)
        if answer.code:
            raise ReconcilerError(
                f"`git {words[0]}` failed in {self.folder}: {answer.said or answer.code}",
                hint=self.try_it("status"),
            )
        return answer

    def try_it(self, *words: str) -> str:
        """Give the hint to run a command by hand."""
        command = " ".join(("git", "-C", str(self.folder), *words))
        return f"try it as the user that reconcile runs as: {command}"

    def stop(self) -> None:
        """End what runs, from another thread, and whatever is run afterwards."""
        self._stopped = True
        if (process := self._process) is not None:
            _end(process)

    def _start(
        self,
        words: tuple[str, ...],
        given: IO[bytes],
        out: IO[bytes],
        err: IO[bytes],
        environ: Mapping[str, str],
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - no shell reads it
                ["git", *_ALWAYS, *words],  # noqa: S607 - the one that people use by hand
                cwd=self.folder,
                stdin=given,
                stdout=out,
                stderr=err,
                env=environ,
                # No terminal to ask a password at, and no Ctrl-C that was meant for us.
                start_new_session=True,
            )
        except OSError as error:
            if error.filename == str(self.folder):
                raise ReconcilerError(
                    f"{self.folder}: {error.strerror}", hint="bring the checkout back"
                ) from error
            raise ReconcilerError(
                f"git cannot be run: {error.strerror}", hint="install git"
            ) from error


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    environ = {
        name: value
        for name, value in given.items()
        if name not in _MISLEADING | _SECRETS and not name.startswith("RECONCILER_")
    }
    # A window that asks for a password is for people, too.
    environ.pop("SSH_ASKPASS", None)
    return environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Hold interrupts back while a process is started: nobody could end one not known yet."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        last = before[signal.Signals(heard[-1])] if heard else None
        # Raised again, it would pass for a second signal.
        if callable(last):
            last(heard[-1], None)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """End git, if it was started, and all that it started."""
    if process is None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _told(complaint: bytes) -> str:
    lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("hint:")]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))]
    # The first is the cause, and what follows is how git fared with it.
    line = fatal[0] if fatal else (lines[-1] if lines else "")
    return legible(_USERINFO.sub("", line))
