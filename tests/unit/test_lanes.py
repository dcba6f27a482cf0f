"""Work on many things at once: all of it done, errors where they belong, and an end when told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from reconciler.engine.lanes import Lanes
from reconciler.errors import ReconcilerError
from tests.support.waiting import wait_for


def nothing() -> None:
    """What a stop does where nothing runs on."""


def lanes(
    work: Callable[[int], int],
    *of: tuple[list[int], int],
    stop: Callable[[], None] = nothing,
) -> Lanes[int, int]:
    """Give lanes over numbers."""
    return Lanes(work, *of, stop=stop)


def test_every_item_comes_back_with_its_result() -> None:
    """Each item of each lane is worked on once; an error of ours is its result, and no other's."""

    def work(item: int) -> int:
        if item == 3:
            raise ReconcilerError("three")
        return item * item

    found = dict(lanes(work, ([1, 2, 3, 4], 2), ([10, 20], 5), ([], 1)).results())
    assert isinstance(found.pop(3), ReconcilerError)
    assert found == {1: 1, 2: 4, 4: 16, 10: 100, 20: 400}


def test_so_many_are_under_way_at_once_and_begun_in_order() -> None:
    """A lane of two has two at work, never three, and takes its items as they stand."""
    begun: list[int] = []
    go_on = threading.Semaphore(0)

    def work(item: int) -> int:
        begun.append(item)
        assert go_on.acquire(timeout=10)
        return item

    results = lanes(work, ([1, 2, 3, 4], 2)).results()
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.extend(item for item, _ in results))
    reader.start()
    wait_for(lambda: len(begun) == 2, "two at work")
    assert sorted(begun) == [1, 2]
    go_on.release()
    wait_for(lambda: len(begun) == 3, "the third")
    assert begun[2] == 3
    go_on.release(3)
    reader.join(10)
    assert sorted(got) == [1, 2, 3, 4]


def test_other_exceptions_end_it_all() -> None:
    """A fault of the program is raised where the results are awaited; what waits is not begun."""
    begun: list[int] = []
    stopped = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ZeroDivisionError
        assert stopped.wait(10)
        return item

    with pytest.raises(ZeroDivisionError):
        dict(lanes(work, ([1], 1), ([2, 5, 6], 1), stop=stopped.set).results())
    assert stopped.is_set()
    assert set(begun) <= {1, 2}


def test_thread_that_cannot_be_started_ends_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, those that were begun are told to stop."""
    stopped = threading.Event()
    real, count = threading.Thread.start, 0

    def start(thread: threading.Thread) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("can't start new thread")
        real(thread)

    def work(item: int) -> int:
        assert stopped.wait(10)
        return item

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        dict(lanes(work, ([1, 2, 3], 3), stop=stopped.set).results())
    assert stopped.is_set()


def test_work_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not stop when told has some seconds all together, and then holds nobody."""
    begun, hung = threading.Semaphore(0), threading.Event()
    given_seconds: list[float] = []
    real = threading.Thread.join

    def join(_: threading.Thread, timeout: float | None = None) -> None:
        assert timeout is not None
        given_seconds.append(timeout)
        # Half of its time is over when it is looked again.
        clock[0] += 2.5

    def work(item: int) -> int:
        if item:
            begun.release()
            assert hung.wait(20)
        return item

    clock = [0.0]
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", join)
        patch.setattr("reconciler.engine.lanes.time.monotonic", lambda: clock[0])
        results = lanes(work, ([0, 1, 2, 3], 3)).results()
        assert next(results) == (0, 0)
        for _ in range(3):
            assert begun.acquire(timeout=20)
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    assert given_seconds == [5.0, 2.5, 0.0]
    hung.set()
    for thread in set(threading.enumerate()) - before:
        real(thread, 20)


def test_who_stops_listening_stops_the_work() -> None:
    """An interruption between two results tells the work to stop, and waits for it."""
    begun, stopped = threading.Event(), threading.Event()
    ended: list[int] = []

    def work(item: int) -> int:
        if item > 1:
            begun.set()
            assert stopped.wait(20)
        ended.append(item)
        return item

    results = lanes(work, ([1, 2, 3], 2), stop=stopped.set).results()
    assert next(results) == (1, 1)
    assert begun.wait(20)
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert stopped.is_set()
    assert 2 in ended
