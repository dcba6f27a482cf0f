"""The streams of a watch: what cannot be written there is lost and counted, and ends nothing."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from threading import Lock
from typing import TYPE_CHECKING, Final, TextIO

from reconciler.cli.console import Console
from reconciler.cli.terminal import counted

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BREAK: Final = b"\n"


@contextmanager
def outliving_streams(console: Console) -> Iterator[None]:
    """Have stdout and stderr fail at nothing until the block ends: a full disk, or a reader gone.

    Once one of them takes text again, a line of the log that `console` writes says what was lost.
    """
    log = _around(sys.stderr, "the log", ahead=console.as_warning)
    output = _around(sys.stdout, "the output", afterwards=console.warn)
    with redirect_stderr(log), redirect_stdout(output):
        yield


def _around(
    stream: TextIO,
    name: str,
    *,
    ahead: Callable[[str], str] = lambda _: "",
    afterwards: Callable[[str], None] = lambda _: None,
) -> TextIO:
    # Who started it at a terminal, and closes that, means it to end.
    if not isinstance(stream, io.TextIOWrapper) or stream.isatty():
        return stream
    taking = Taking(stream.fileno(), name, ahead=ahead, afterwards=afterwards)
    return io.TextIOWrapper(
        taking, encoding=stream.encoding, errors=stream.errors, line_buffering=True
    )


class Taking(io.BufferedIOBase):
    """Takes all that is written, and passes on to a file descriptor what that takes.

    Nothing is kept for later. Where a line cannot be passed on whole, nor is what follows of it,
    and the next one that can begins on a line of its own. Safe to use from several threads.
    """

    def __init__(
        self,
        number: int,
        name: str,
        *,
        ahead: Callable[[str], str],
        afterwards: Callable[[str], None],
    ) -> None:
        """`name` says what is written there. Once it is passed on again, both hear what was lost.

        `ahead` gives the text that tells of it here, empty where nothing is to; `afterwards` may
        tell of it elsewhere.
        """
        self._number = number
        self.name = name
        self._ahead = ahead
        self._afterwards = afterwards
        self._guard = Lock()
        self._lost_lines = 0
        self._why = ""
        self._is_in_line = False
        self._loses_line = False

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Where it passes things on to."""
        return self._number

    def isatty(self) -> bool:
        """Whether that is a terminal."""
        return os.isatty(self._number)

    def write(self, data: ReadableBuffer, /) -> int:
        """Take all of it; never raises OSError."""
        taken = bytes(data)
        with self._guard:
            told = self._take(taken)
        if told:
            self._afterwards(told)
        return len(taken)

    def _take(self, text: bytes) -> str:
        """Pass it on or lose it; gives in words what was lost before, once that can be told."""
        if self._loses_line:
            _, end, text = text.partition(_BREAK)
            self._lost_lines += len(end)
            self._loses_line = not end
        if not text:
            return ""
        told, head = "", b""
        if self._lost_lines:
            lost = counted(self._lost_lines, "line")
            told = f"{lost} of {self.name} could not be written: {self._why}"
            head = _BREAK * self._is_in_line + self._ahead(told).encode()
        passed = self._pass_on(head + text)
        if passed and passed >= len(head):
            self._lost_lines = 0
        else:
            told = ""
        rest = text[max(passed - len(head), 0) :]
        self._lost_lines += rest.count(_BREAK)
        self._loses_line = bool(rest) and not rest.endswith(_BREAK)
        return told

    def _pass_on(self, text: bytes) -> int:
        """Write as much as goes; gives how many bytes."""
        passed = 0
        try:
            while passed < len(text):
                passed += os.write(self._number, text[passed:])
        except OSError as error:
            self._why = error.strerror or str(error)
        if passed:
            self._is_in_line = not text[:passed].endswith(_BREAK)
        return passed
