"""Commands that a person names in a setting: a program and its arguments, which no shell reads.

They are given little of our environment, and a bounded time. Their output goes to a file of ours
and not to a pipe, so that a process that one leaves running does not hold us up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import IO, Final

# What programs need to find themselves, a user's own services, or an engine. Whatever else a
# command needs stands in it: `env NAME=value program`.
_PASSED_ON: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    | {"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}
    | {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST"}
)
# Between the polite word and the other one.
_END_SECONDS: Final = 2.0
_KEPT_BYTES: Final = 1 << 18
_LONGEST_TOLD: Final = 300


def environment_for_commands(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what of our environment a command may see: no token, no key."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or name.startswith("LC_")
    }


def run_command(
    words: tuple[str, ...],
    *,
    environ: Mapping[str, str],
    timeout_seconds: float,
    told: bytes = b"",
    started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
) -> tuple[int, str]:
    """Give a command's exit status (a signal's is negative) and the end of what it printed.

    It reads `told` from its standard input. `started` is called with its process.

    Raises:
        OSError, ValueError: it cannot be run.
        subprocess.TimeoutExpired: it did not end in time, and was ended with all that it started.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output:
        given.write(told)
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603 - a person named it, and no shell reads it
            words,
            stdin=given,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            # A Ctrl-C at our terminal is for us: a restart is not to be cut in half by it.
            start_new_session=True,
        )
        try:
            started(process)
            code = process.wait(timeout_seconds)
        except BaseException:
            end_command(process)
            raise
        return code, _end_of(output)


def end_command(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)


def how_it_ended(code: int, output: str) -> str:
    """Say how a command ended, with the last line that it printed."""
    ended = f"ended with {code}" if code >= 0 else f"was ended by signal {-code}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = "".join(sign for sign in lines[-1] if sign.isprintable()) if lines else ""
    return f"{ended}: {last[:_LONGEST_TOLD]}" if last else ended


def _end_of(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _KEPT_BYTES, 0))
    return output.read(_KEPT_BYTES).decode("utf-8", "replace")
