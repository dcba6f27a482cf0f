"""llama-swap run by anything that commands can reload and restart: a systemd unit, a script.

A command is a program and its arguments; no shell reads it. It is given little of our environment,
and a bounded time. Its output goes to a file of ours and not to a pipe, so that a process that it
leaves running does not hold us up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

from reconciler.core.observed import RuntimeState, RuntimeStatus, Sight
from reconciler.errors import ReconcilerError, RuntimeFailed, RuntimeUnavailable

# What programs need to find themselves, a user's own services, or an engine. Whatever else a
# command needs stands in it: `env NAME=value program`.
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    | {"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}
    | {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST"}
)
_SINCE = "{since}"
# To look is a matter of moments; a command that hangs must not hold up every plan.
_LOOK_SECONDS = 10.0
# How far back the newest lines may lie.
_RECENT = timedelta(hours=1)
# Between the polite word and the other one.
_END_SECONDS = 2.0
_KEPT_BYTES = 1 << 18
_LONGEST_TOLD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The commands there are, word by word; one without words is not there.

    `reload` makes llama-swap read its config and go on, `restart` ends it and starts it again, or
    starts it. `health` ends with 0 while it runs. `log` prints its log, and `{since}` in it stands
    for the moment from which on, in seconds since 1970.
    """

    reload: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


class CommandRuntime:
    """The runtime `command`; implements the port `Runtime`.

    `timeout_seconds` is what a reload or a restart may take.
    """

    def __init__(
        self, commands: Commands, *, environ: Mapping[str, str], timeout_seconds: float
    ) -> None:
        self._commands = commands
        self._environ = {
            name: value
            for name, value in environ.items()
            if name in _PASSED_ON or name.startswith("LC_")
        }
        self._timeout_seconds = timeout_seconds

    def observe(self) -> RuntimeState:
        """Ask whether it runs; without a command that tells, it is taken to.

        Raises:
            RuntimeUnavailable: the command cannot be run, or does not end.
        """
        status = RuntimeStatus.RUNNING
        if self._commands.health:
            try:
                code, _ = self._run("health", self._commands.health, _LOOK_SECONDS)
            except RuntimeFailed as error:
                raise RuntimeUnavailable(error.message, hint=error.hint) from error
            status = RuntimeStatus.STOPPED if code else RuntimeStatus.RUNNING
        ways = (("signal", self._commands.reload), ("restart", self._commands.restart))
        return RuntimeState(
            kind="command", status=status, reloads_by=tuple(way for way, words in ways if words)
        )

    def restart(self) -> None:
        """Run the restart command. Raises `RuntimeFailed`."""
        self._act("restart", self._commands.restart)

    def start(self) -> None:
        """Run the restart command where it does not run. Raises as `observe` and `restart`."""
        if self.observe().status is not RuntimeStatus.RUNNING:
            self.restart()

    def hang_up(self) -> None:
        """Run the reload command. Raises `RuntimeFailed`."""
        self._act("reload", self._commands.reload)

    def read_inside(self, path: str) -> bytes | None:  # noqa: ARG002 - the port's signature
        """Give nothing: what it sees is known to those who start it."""
        return None

    def sights(self, paths: Sequence[str]) -> Mapping[str, Sight]:  # noqa: ARG002 - the port's
        """Give nothing, for the same reason."""
        return {}

    def log_since(self, moment: datetime) -> tuple[str, ...]:
        """Give what the log command prints; nothing where it cannot be told since when."""
        if not any(_SINCE in word for word in self._commands.log):
            return ()
        return self._log(moment)

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest lines that the log command prints. Never raises."""
        lines = self._log(datetime.now(UTC) - _RECENT)
        return lines[max(len(lines) - max(count, 0), 0) :]

    def _log(self, since: datetime) -> tuple[str, ...]:
        if not self._commands.log:
            return ()
        # Whole seconds, rounded down: a line too many is better than one too few.
        moment = str(int(since.timestamp()))
        words = tuple(word.replace(_SINCE, moment) for word in self._commands.log)
        try:
            code, output = self._run("log", words, _LOOK_SECONDS)
        except ReconcilerError:
            return ()
        return tuple(output.splitlines()) if code == 0 else ()

    def _act(self, name: str, words: tuple[str, ...]) -> None:
        if not words:
            raise RuntimeFailed(
                f"there is no command to {name} llama-swap", hint=f"name one: {_setting(name)}"
            )
        code, output = self._run(name, words, self._timeout_seconds)
        if code:
            ended = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
            said = f": {last}" if (last := _last_line(output)) else ""
            raise RuntimeFailed(f"the {name} command {ended}{said}", hint=_try_it(name))

    def _run(self, name: str, words: tuple[str, ...], seconds: float) -> tuple[int, str]:
        """Give a command's exit status and the end of what it printed. Raises `RuntimeFailed`."""
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(  # noqa: S603 - a person named it, and no shell reads it
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environ,
                    # A Ctrl-C at our terminal is for us: a restart is not to be cut in half by it.
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise RuntimeFailed(
                    f"the {name} command cannot be run: {reason}", hint=_try_it(name)
                ) from error
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired as error:
                _end(process)
                raise RuntimeFailed(
                    f"the {name} command did not end within {seconds:g} s, and was ended",
                    hint=_try_it(name),
                ) from error
            except BaseException:
                _end(process)
                raise
            return code, _end_of(output)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)


def _end_of(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _KEPT_BYTES, 0))
    return output.read(_KEPT_BYTES).decode("utf-8", "replace")


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return "".join(sign for sign in last if sign.isprintable())[:_LONGEST_TOLD]


def _setting(name: str) -> str:
    return f"RECONCILER_{name.upper()}_COMMAND"


def _try_it(name: str) -> str:
    return f"try it by hand, as the user that reconcile runs as: it stands in {_setting(name)}"
