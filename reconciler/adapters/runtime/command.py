"""llama-swap run by anything that commands can reload and restart: a systemd unit, a script.

How a command is run, and what it sees, is told in `adapters.base.commands`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reconciler.adapters.base.commands import (
    environment_for_commands,
    how_it_ended,
    run_command,
)
from reconciler.core.observed import RuntimeState, RuntimeStatus, Sight
from reconciler.errors import ReconcilerError, RuntimeFailed, RuntimeUnavailable

_SINCE = "{since}"
# To look is a matter of moments; a command that hangs must not hold up every plan.
_LOOK_SECONDS = 10.0
# How far back the newest lines may lie.
_RECENT = timedelta(hours=1)


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
        self._environ = environment_for_commands(environ)
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
            kind="command",
            status=status,
            reloads_by=tuple(way for way, words in ways if words),
            has_log=self._tells_since,
        )

    def restart(self) -> None:
        """Run the restart command. Raises `RuntimeFailed`."""
        self._act("restart", self._commands.restart)

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
        return self._log(moment) if self._tells_since else ()

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest lines that the log command prints. Never raises."""
        lines = self._log(datetime.now(UTC) - _RECENT)
        return lines[max(len(lines) - max(count, 0), 0) :]

    @property
    def _tells_since(self) -> bool:
        return any(_SINCE in word for word in self._commands.log)

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
            raise RuntimeFailed(
                f"the {name} command {how_it_ended(code, output)}", hint=_try_it(name)
            )

    def _run(self, name: str, words: tuple[str, ...], seconds: float) -> tuple[int, str]:
        """Give a command's exit status and the end of what it printed. Raises `RuntimeFailed`."""
        try:
            return run_command(words, environ=self._environ, timeout_seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise RuntimeFailed(
                f"the {name} command did not end within {seconds:g} s, and was ended",
                hint=_try_it(name),
            ) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise RuntimeFailed(
                f"the {name} command cannot be run: {reason}", hint=_try_it(name)
            ) from error


def _setting(name: str) -> str:
    return f"RECONCILER_{name.upper()}_COMMAND"


def _try_it(name: str) -> str:
    return f"try it by hand, as the user that reconcile runs as: it stands in {_setting(name)}"
