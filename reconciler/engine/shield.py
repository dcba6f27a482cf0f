"""From the first change that shows to the gate, a pass is finished before it listens to anybody."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def shielded() -> Iterator[None]:
    """Hold interrupts back until the block has ended, then deliver the last one.

    Only the main thread hears signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    # Where a handler is none of Python's (None), the default is as near as we can put back.
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            signal.signal(number, remember)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(signal.Signals(heard[-1]))
