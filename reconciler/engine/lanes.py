"""Work on many things at once, in threads that never keep the program from ending."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

from reconciler.errors import ReconcilerError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Who is told to stop has this long; what hangs in the network beyond it ends with the program.
_STOP_SECONDS: Final = 5.0


class Lanes(Generic[_Item, _Result]):
    """Calls `work` on items in threads, and gives the results as they come.

    Each lane is a sequence of items and how many of them may be under way at once; they are begun
    in order. `stop` is called where the results are not awaited to the end, an interruption for
    one; it must make `work` return soon.
    """

    def __init__(
        self,
        work: Callable[[_Item], _Result],
        *lanes: tuple[Sequence[_Item], int],
        stop: Callable[[], None],
    ) -> None:
        self._work = work
        self._stop = stop
        self._results: queue.SimpleQueue[tuple[_Item, _Result | BaseException]] = (
            queue.SimpleQueue()
        )
        self._count = sum(len(items) for items, _ in lanes)
        self._queues: list[queue.SimpleQueue[_Item]] = []
        self._threads: list[threading.Thread] = []
        for items, at_once in lanes:
            waiting: queue.SimpleQueue[_Item] = queue.SimpleQueue()
            for item in items:
                waiting.put(item)
            self._queues.append(waiting)
            self._threads += [
                threading.Thread(target=self._run, args=(waiting,), daemon=True)
                for _ in range(min(at_once, len(items)))
            ]

    def results(self) -> Generator[tuple[_Item, _Result | ReconcilerError]]:
        """Give each item with what `work` returned for it, or the error of ours that it raised.

        Any other exception is raised here.
        """
        try:
            for thread in self._threads:
                thread.start()
            for _ in range(self._count):
                item, result = self._results.get()
                yield item, _or_raised(result)
        except BaseException:
            self._give_up()
            raise

    def _run(self, waiting: queue.SimpleQueue[_Item]) -> None:
        with suppress(queue.Empty):
            while True:
                item = waiting.get_nowait()
                try:
                    self._results.put((item, self._work(item)))
                except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
                    self._results.put((item, error))

    def _give_up(self) -> None:
        for waiting in self._queues:
            with suppress(queue.Empty):
                while True:
                    waiting.get_nowait()
        self._stop()
        until = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            # One that could not be started has nothing to end.
            if thread.is_alive():
                thread.join(max(until - time.monotonic(), 0))


def _or_raised(result: _Result | BaseException) -> _Result | ReconcilerError:
    if isinstance(result, BaseException) and not isinstance(result, ReconcilerError):
        raise result
    return result
