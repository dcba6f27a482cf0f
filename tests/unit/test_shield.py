"""The shield: from the first change that shows to the gate nobody interrupts, and all is heard."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from reconciler.engine.shield import shielded


class Stopped(Exception):
    """What the handler outside of the shield raises."""


@pytest.fixture(autouse=True)
def heard() -> Iterator[list[int]]:
    """Handlers for both signals, that keep what they hear and raise, as the program's own do."""
    numbers: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        numbers.append(number)
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_waits_until_the_block_has_ended(number: signal.Signals, heard: list[int]) -> None:
    """Everything in the block is done before the signal is delivered, to the handler of before."""
    done: list[str] = []

    def work() -> None:
        with shielded():
            for step in ("first", "second"):
                if not done:
                    os.kill(os.getpid(), number)
                done.append(step)

    with pytest.raises(Stopped):
        work()
    assert done == ["first", "second"]
    assert heard == [number]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_block_at_once(number: signal.Signals, heard: list[int]) -> None:
    """Whoever asks twice does not want to wait; it is heard once, and nothing is left of it."""
    done: list[str] = []

    def work() -> None:
        with shielded(grace_seconds=5):
            os.kill(os.getpid(), number)
            done.append("after the first")
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("after the second")

    with pytest.raises(Stopped):
        work()
    assert done == ["after the first"]
    assert heard == [signal.SIGTERM]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_signal_waits_no_longer_than_its_grace(heard: list[int]) -> None:
    """A block that hangs in a call of the system is ended when the time is over, and not before."""
    began = time.monotonic()

    def work() -> None:
        with shielded(grace_seconds=0.2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(Stopped):
        work()
    assert 0.2 <= time.monotonic() - began < 30
    assert heard == [signal.SIGTERM]


def test_time_that_is_over_without_a_signal_ends_nothing(heard: list[int]) -> None:
    """A block may take longer than the grace as long as nobody asks for its end; and an alarm that
    somebody else sets is none of ours.
    """
    with shielded(grace_seconds=0.01):
        time.sleep(0.05)
        signal.raise_signal(signal.SIGALRM)
    assert heard == []


def test_block_that_ends_in_its_grace_is_not_ended_twice(heard: list[int]) -> None:
    """The alarm is taken back with the shield."""
    with pytest.raises(Stopped), shielded(grace_seconds=0.05):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert heard == [signal.SIGINT]


def test_without_a_signal_nothing_happens(heard: list[int]) -> None:
    """A quiet block leaves the handlers as they were."""
    before = signal.getsignal(signal.SIGINT)
    with shielded():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    assert heard == []


def test_failure_in_the_block_is_not_lost_and_handlers_come_back() -> None:
    """An error passes through, with the handlers of before in place again."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), shielded():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_while_the_shield_is_raised_leaves_no_deaf_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped in the very moment between taking the first and the second signal over: both are as
    before again, so that the next Ctrl-C is heard.
    """
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    real = signal.signal

    def stopped_at_the_second(number: signal.Signals, handler: object) -> object:
        if number is signal.SIGTERM and handler not in before:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(number, handler)  # type: ignore[arg-type]

    monkeypatch.setattr(signal, "signal", stopped_at_the_second)
    with pytest.raises(Stopped), shielded():
        pytest.fail("the block was entered")
    monkeypatch.undo()
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


def test_other_threads_are_let_through() -> None:
    """Where signals are never delivered, the block is simply run."""
    ran = threading.Event()

    def work() -> None:
        with shielded():
            ran.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran.is_set()
