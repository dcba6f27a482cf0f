"""The loop: when a pass is run, how often one that fails is tried again, and when none is."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.core.runs import RunReport
from reconciler.core.watching import Contents
from reconciler.engine.listening import Listeners
from reconciler.engine.loop import Schedule, Watched, watch_loop
from reconciler.engine.run import RunResult
from reconciler.errors import Fault, LockHeld, ManifestInvalid, Refused, RuntimeUnavailable
from tests.support.fakes import FakeClock, Heard

RESYNC = 600.0
FIRST = Contents(manifest="m1", lock="l1")


class Ended(BaseException):
    """The test has seen enough."""


class Scene:
    """A loop over scripted passes. Waiting takes no time: the clock is set forward instead, or
    somebody wakes it.

    Each of `passes` is what one pass does; the loop ends when they are used up. `waits` keeps how
    long was waited, and `on_wait` may change what is there while it waits.
    """

    def __init__(self, *passes: Callable[[], RunResult]) -> None:
        self.passes = list(passes)
        self.contents = FIRST
        self.clock = FakeClock()
        self.heard = Heard()
        self.wake = Event()
        self.waits: list[float] = []
        self.on_wait: list[Callable[[], None]] = []
        self.started_at: list[float] = []

    def run(self) -> None:
        """Run the loop until its passes are used up."""
        scene = self

        class Waiting(Event):
            """An event that lets the clock run on instead of waiting."""

            def wait(self, timeout: float | None = None) -> bool:
                assert timeout is not None
                assert not self.is_set(), "a wake-up that was heard is still there"
                scene.waits.append(timeout)
                if scene.on_wait:
                    scene.on_wait.pop(0)()
                    self.set()
                    return True
                scene.clock.sleep(timeout)
                return False

        with pytest.raises(Ended):
            watch_loop(
                Watched(
                    contents=lambda: self.contents,
                    run_pass=self._pass,
                    paused=lambda: None,
                    pull=lambda: None,
                    ends=lambda: False,
                    wake=Waiting(),
                ),
                schedule=Schedule(resync_seconds=RESYNC),
                clock=self.clock,
                reporter=self.heard,
                listener=Listeners(()),
            )

    def _pass(self) -> RunResult:
        self.started_at.append(self.clock.seconds)
        if not self.passes:
            raise Ended
        return self.passes.pop(0)()


def result(
    *,
    waiting: tuple[str, ...] = (),
    changes_lock: bool = False,
    held: tuple[str, ...] = (),
    opens_in_seconds: float = 0.0,
) -> RunResult:
    """Give what a pass gives back, as far as the loop looks at it."""
    prepared = cast(
        Any,
        SimpleNamespace(
            changes_lock=changes_lock,
            held=frozenset(held),
            opens_in_seconds=opens_in_seconds,
            plan=SimpleNamespace(is_empty=True, config_after=None),
        ),
    )
    report = RunReport(run="r", started_at="", waiting=waiting)
    return RunResult(prepared=prepared, report=report)


def good() -> RunResult:
    """A pass with nothing left to wish for."""
    return result()


def failing(error: Exception) -> Callable[[], RunResult]:
    """A pass that ends in an error."""

    def run() -> RunResult:
        raise error

    return run


def test_first_pass_comes_at_once_and_the_next_after_the_interval() -> None:
    """Nothing needs to change for the first pass; then it looks by itself now and then."""
    scene = Scene(good, good)
    scene.run()
    assert scene.started_at == [0, RESYNC, 2 * RESYNC]


def test_changed_manifest_is_applied_at_once() -> None:
    """A wake-up with other contents runs a pass without waiting for the interval."""
    scene = Scene(good)
    scene.on_wait = [lambda: setattr(scene, "contents", Contents(manifest="m2", lock="l1"))]
    scene.run()
    assert scene.started_at == [0, 0]


def test_wake_up_without_a_change_runs_nothing() -> None:
    """Saving the same text, or another file in the folder, is looked at and left."""
    scene = Scene(good)
    scene.on_wait = [lambda: None, lambda: None]
    scene.run()
    assert scene.started_at == [0, RESYNC]
    assert scene.waits == [RESYNC] * 3


def test_own_lock_is_no_change_but_one_that_came_in_is() -> None:
    """The lock that a pass wrote itself starts no other; one that somebody pulled does."""
    scene = Scene(lambda: result(changes_lock=True))

    def write() -> RunResult:
        scene.contents = Contents(manifest="m1", lock="l2")
        return result(changes_lock=True)

    scene.passes = [write]
    scene.run()
    assert scene.started_at == [0, RESYNC]

    pulled = Scene(good)
    pulled.on_wait = [lambda: setattr(pulled, "contents", Contents(manifest="m1", lock="l3"))]
    pulled.run()
    assert pulled.started_at == [0, 0]


def test_manifest_saved_during_a_pass_is_applied_right_after_it() -> None:
    """What changes while a pass is at work is not lost, even where its event was."""
    scene = Scene()

    def save() -> RunResult:
        scene.contents = Contents(manifest="m2", lock="l1")
        return good()

    scene.passes = [save, good]
    scene.run()
    assert scene.started_at == [0, 0, RESYNC]


def test_what_may_pass_by_itself_is_tried_again_with_growing_patience() -> None:
    """A hub that is away is asked again after seconds, then minutes, never more than five; each
    pause is jittered, and told.
    """
    scene = Scene(*[failing(LockHeld("held"))] * 10)
    scene.run()
    assert all(2.5 <= scene.waits[0] <= 5 for _ in range(1))
    assert all(150 <= wait <= 300 for wait in scene.waits[6:])
    longest = [min(5 * 2**number, 300) for number in range(10)]
    assert all(most / 2 <= wait <= most for wait, most in zip(scene.waits, longest, strict=True))
    assert sum("trying again" in line for line in scene.heard.said) == 10


def test_container_that_comes_up_after_us_is_looked_for_soon() -> None:
    """At the start of a host the engine, or the container, may be later than the loop."""
    scene = Scene(failing(RuntimeUnavailable("no container")), good)
    scene.run()
    assert scene.waits[0] <= 5
    assert scene.waits[1] == RESYNC


def test_patience_starts_anew_after_a_success() -> None:
    """One good pass, and the next failure is again retried soon."""
    away = failing(LockHeld("held"))
    scene = Scene(away, away, away, good, away)
    scene.run()
    assert scene.waits[3] == RESYNC
    assert scene.waits[4] <= 5


def test_model_that_waits_is_tried_again_soon() -> None:
    """A pass that applied all but a model whose source is away comes again soon."""
    scene = Scene(lambda: result(waiting=("a",)), good)
    scene.run()
    assert scene.waits[0] <= 5
    assert scene.waits[1] == RESYNC


def test_model_that_waits_for_the_window_is_tried_when_it_opens() -> None:
    """A pass that may not fetch comes again when the window opens, or for its usual look before
    that, and not sooner; a model that waits for something else is tried soon all the same.
    """

    def held(seconds: float, *others: str) -> Callable[[], RunResult]:
        return lambda: result(waiting=("a", *others), held=("a",), opens_in_seconds=seconds)

    scene = Scene(held(100), held(RESYNC + 100), held(100, "b"), good)
    scene.run()
    assert scene.waits[:2] == [100, RESYNC]
    assert scene.waits[2] <= 5


@pytest.mark.parametrize(
    "error",
    [
        ManifestInvalid([Fault(path="m", line=1, column=1, message="wrong")]),
        Refused("a guard", hint="say so"),
    ],
    ids=["invalid", "refused"],
)
def test_what_needs_a_person_waits_for_one(error: Exception) -> None:
    """A wrong manifest or a refused plan is told once, not tried in a circle; a save mends it."""
    scene = Scene(failing(error), good)
    scene.on_wait = [
        lambda: None,
        lambda: setattr(scene, "contents", Contents(manifest="2", lock="")),
    ]
    scene.run()
    assert scene.started_at[:2] == [0, 0]
    assert scene.waits[0] == RESYNC
    assert len(scene.heard.warnings) == 1


def test_clock_on_the_wall_does_not_matter() -> None:
    """Setting the date back or forward neither stops the loop nor makes it run: only passing time
    counts.
    """
    scene = Scene(good, good)
    scene.on_wait = [lambda: setattr(scene.clock, "_now", scene.clock._now.replace(year=1999))]
    scene.run()
    assert scene.started_at == [0, RESYNC, 2 * RESYNC]


def test_defect_ends_the_loop_loudly() -> None:
    """What is no error of ours is not swallowed: the process ends, and whoever started it knows."""
    scene = Scene(failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        scene.run()
