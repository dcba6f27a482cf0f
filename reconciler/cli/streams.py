"""The process's own streams, made fit to print on before anything else happens."""

from __future__ import annotations

import io
import os
import sys


def mend_streams() -> None:
    """Open what the caller closed, and let no character that a stream cannot take end a command.

    A closed standard stream leaves its number to the next file opened, which must not be one of
    ours: whatever then writes to "stderr" would write there.
    """
    # In this order, for the system gives out the lowest free number.
    if sys.stdin is None:
        sys.stdin = _nowhere("r")
    if sys.stdout is None:
        sys.stdout = _nowhere("w")
    if sys.stderr is None:
        sys.stderr = _nowhere("w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_stdout() -> None:
    """Send what is still to be printed nowhere: its reader has gone, or its disk is full.

    Otherwise Python complains once more when it ends.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _nowhere(mode: str) -> io.TextIOWrapper:
    stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - for good
    assert isinstance(stream, io.TextIOWrapper)
    return stream
