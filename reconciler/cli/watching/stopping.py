"""The signals that a watch is told by: who is to stop ends in time, whatever hangs."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Final

_STOPS: Final = frozenset({signal.SIGINT, signal.SIGTERM})
# What ends by itself has long done so by then.
LONGEST_SECONDS: Final = 9.0
_MESSAGE: Final = "stopped without waiting for what hangs; the next start finishes what was begun"


@contextmanager
def ending_in_time(
    *,
    as_json: bool,
    longest_seconds: float = LONGEST_SECONDS,
    on_hang_up: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """End the process `longest_seconds` after SIGINT or SIGTERM, or at a second one, with code 0.

    Python hears a signal between two steps of its own alone: the look-up of a name, or a disk that
    is gone, may keep it from that for minutes. A thread hears it all the same. It is as if the
    process were killed then, which may happen at any instant anyhow. `as_json` says how the line
    that tells of it is written on stderr. Once the block has ended nothing is ended any more.

    `on_hang_up` is called in that thread at SIGHUP. It may use locks, which the main thread, where
    Python's own handlers run, may hold just then.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    thread = Thread(
        target=_listen,
        args=(reader, as_json, longest_seconds, on_hang_up),
        name="signals",
        daemon=True,
    )
    hung_up_before = signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGHUP, hung_up_before)
        writer.close()
        thread.join()
        reader.close()


def _listen(
    reader: socket.socket, as_json: bool, longest_seconds: float, on_hang_up: Callable[[], None]
) -> None:
    """Hear the numbers of the signals that come, until the other end is closed."""
    heard, until = 0, 0.0
    while True:
        reader.settimeout(max(until - time.monotonic(), 0.001) if heard else None)
        try:
            numbers = reader.recv(64)
        except TimeoutError:
            break
        if not numbers:
            return
        if signal.SIGHUP in numbers:
            on_hang_up()
        stops = sum(number in _STOPS for number in numbers)
        if stops and not heard:
            until = time.monotonic() + longest_seconds
        heard += stops
        if heard > 1:
            break
    line = _MESSAGE
    if as_json:
        now = datetime.now(UTC).isoformat()
        line = json.dumps({"time": now, "level": "warning", "message": _MESSAGE})
    # Not by the console, which whoever hangs may hold; and whoever read it may have gone.
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())
    os._exit(0)
