"""From the first change that shows to the gate, a pass is finished before it listens to anybody.

Nearly always, that is: who is told to stop has not all the time in the world. What is not done in
time is given up as if the process had been killed there, which the rollout's journal makes safe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# A reload that shows by itself, and the gate after it, take less. With what ends after the block
# (a record, a last notice) it must stay below the ten seconds that are promised.
GRACE_SECONDS: Final = 6.0


@contextmanager
def shielded(*, grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """Hold an interrupt back until the block has ended, then deliver it.

    It is held for `grace_seconds`; after these, or where a second one comes, it ends the block
    where that stands. Only the main thread hears signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    # Where a handler is none of Python's (None), the default is as near as we can put back.
    before = {
        number: signal.getsignal(number) or signal.SIG_DFL for number in (*_SIGNALS, signal.SIGALRM)
    }

    def put_back() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)

    def deliver() -> None:
        """Hand the signal to whoever would have heard it, as if it came now."""
        put_back()
        number = signal.Signals(heard[-1])
        heard.clear()
        handler = before[number]
        if callable(handler):
            handler(number, None)
        else:
            signal.raise_signal(number)

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            deliver()
        else:
            signal.setitimer(signal.ITIMER_REAL, grace_seconds)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        if heard:
            deliver()

    try:
        signal.signal(signal.SIGALRM, give_up)
        for number in _SIGNALS:
            signal.signal(number, hear)
        yield
    finally:
        put_back()
        if heard:
            deliver()
