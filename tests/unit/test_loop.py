"""The loop: when a pass is run, how often one that fails is tried again, and when none is."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.lock import Lock
from reconciler.core.reading.lock_text import render_lock
from reconciler.core.runs import Outcome, RunReport
from reconciler.core.watching import Contents, Pause, Reason, why
from reconciler.engine.loop import Schedule, Watched, watch_loop
from reconciler.engine.prepared import Prepared
from reconciler.engine.run import RunResult
from reconciler.errors import (
    Fault,
    LockHeld,
    ManifestInvalid,
    ReconcilerError,
    Refused,
    RuntimeUnavailable,
)
from tests.support.fakes import FakeClock, Heard

RESYNC = 600.0
# So long it has rested when somebody wakes it.
WAKES_AFTER = 1.5
FIRST = Contents(manifest="m1", lock="l1")


class Ended(BaseException):
    """The test has seen enough."""


class Scene:
    """A loop over scripted passes. Waiting takes no time: the clock is set forward instead, or
    somebody wakes it.

    Each of `passes` is what one pass does; the loop ends when they are used up. `waits` keeps how
    long was waited, and `on_wait` may change what is there while it waits. It is its own listener:
    `reasons` are those of its passes.
    """

    def __init__(self, *passes: Callable[[], RunResult | tuple[RunResult, ...]]) -> None:
        self.passes = list(passes)
        self.contents = FIRST
        self.clock = FakeClock()
        self.heard = Heard()
        self.wake = Event()
        self.waits: list[float] = []
        self.on_wait: list[Callable[[], None]] = []
        self.started_at: list[float] = []
        self.reasons: list[Reason] = []
        self.pause: Pause | None = None
        self.paused_seconds: list[float] = []
        self.resync_seconds = RESYNC
        self.pull_seconds = 0.0
        self.pulled_at: list[float] = []
        self.on_pull: Callable[[], None] = lambda: None
        self.is_ended = False
        self.ends: Callable[[], bool] = lambda: self.is_ended

    def run(self) -> None:
        """Run the loop until its passes are used up."""
        with pytest.raises(Ended):
            self.run_to_its_end()

    def run_to_its_end(self) -> None:
        """Run the loop until it was asked to end."""
        scene = self

        class Waiting(Event):
            """An event that lets the clock run on instead of waiting."""

            def wait(self, timeout: float | None = None) -> bool:
                assert timeout is not None
                assert timeout > 0, "it does not rest"
                if self.is_set():
                    return True
                scene.waits.append(timeout)
                if scene.on_wait:
                    scene.clock.sleep(min(timeout, WAKES_AFTER))
                    scene.on_wait.pop(0)()
                    self.set()
                    return True
                scene.clock.sleep(timeout)
                return False

        self.wake = Waiting()
        watch_loop(
            Watched(
                contents=lambda: self.contents,
                run_pass=self._pass,
                paused=self._paused,
                pull=self._pull,
                ends=self.ends,
                wake=self.wake,
            ),
            schedule=Schedule(resync_seconds=self.resync_seconds, pull_seconds=self.pull_seconds),
            clock=self.clock,
            reporter=self.heard,
            listener=self,
        )

    def change(self, **contents: str) -> Callable[[], None]:
        """Give what changes the contents."""

        def change() -> None:
            self.contents = replace(self.contents, **contents)

        return change

    def began(self, reason: Reason) -> None:
        """Keep why a pass is run."""
        self.reasons.append(reason)

    def planned(self, prepared: Prepared) -> None:
        """Nobody plans here."""

    def ended(self, result: RunResult) -> None:
        """It is the test's own."""

    def failed(self, error: ReconcilerError) -> None:
        """It is told to the reporter too."""

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """Keep how long a pause lets it rest."""
        if pause is not None:
            self.paused_seconds.append(seconds)

    def _paused(self) -> Pause | None:
        over = self.pause is not None and self.pause.is_over(self.clock.now())
        return None if over else self.pause

    def _pull(self) -> None:
        self.pulled_at.append(self.clock.seconds)
        self.on_pull()

    def _pass(self) -> tuple[RunResult, ...]:
        self.started_at.append(self.clock.seconds)
        if not self.passes:
            raise Ended
        done = self.passes.pop(0)()
        return done if isinstance(done, tuple) else (done,)


def digest(data: bytes) -> str:
    """Give the digest by which the loop knows a file."""
    return hashlib.sha256(data).hexdigest()


def result(
    *,
    waiting: tuple[str, ...] = (),
    held: tuple[str, ...] = (),
    opens_in_seconds: float = 0.0,
    lock_before: bytes | None = None,
    config_after: bytes | None = None,
    outcome: Outcome = Outcome.IN_SYNC,
    is_empty: bool = True,
) -> RunResult:
    """Give what a run gives back, as far as the loop looks at it."""
    prepared = cast(
        Any,
        SimpleNamespace(
            lock_before=lock_before,
            pins_after=SimpleNamespace(lock=Lock()),
            held=frozenset(held),
            opens_in_seconds=opens_in_seconds,
            plan=SimpleNamespace(is_empty=is_empty, config_before=None, config_after=config_after),
        ),
    )
    report = RunReport(run="r", started_at="", waiting=waiting, outcome=outcome)
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
    assert scene.started_at == [0, WAKES_AFTER]


def test_wake_up_without_a_change_runs_nothing() -> None:
    """Saving the same text, or another file in the folder, is looked at and left."""
    scene = Scene(good)
    scene.on_wait = [lambda: None, lambda: None]
    scene.run()
    assert scene.started_at == [0, RESYNC]
    assert scene.waits == [RESYNC, RESYNC - WAKES_AFTER, RESYNC - 2 * WAKES_AFTER]


def test_own_lock_is_no_change_but_one_that_came_in_is() -> None:
    """The lock that a pass wrote itself starts no other; one that somebody pulled does, even while
    the pass was writing its own.
    """
    scene = Scene()

    def write() -> RunResult:
        scene.change(lock=digest(render_lock(Lock())))()
        return good()

    scene.passes = [write]
    scene.run()
    assert scene.started_at == [0, RESYNC]

    pulled = Scene(good)
    pulled.on_wait = [pulled.change(lock="l3")]
    pulled.run()
    assert pulled.started_at == [0, WAKES_AFTER]

    beside = Scene()

    def write_and_lose() -> RunResult:
        beside.change(lock="from elsewhere")()
        return good()

    beside.passes = [write_and_lose]
    beside.run()
    assert beside.reasons == [Reason.START, Reason.LOCK]


@pytest.mark.parametrize("known", [{}, {"config": "c0", "siblings": "s1", "models": "m0"}])
def test_own_config_and_models_are_no_change_but_those_of_others_are(
    known: dict[str, str],
) -> None:
    """What a pass left in config and models folder starts no other pass, whichever of its runs
    wrote it; what somebody else leaves there does, and so does another config beside ours.
    """
    scene = Scene()
    scene.change(**known)()

    def write() -> tuple[RunResult, ...]:
        scene.change(config=digest(b"ours"), siblings="s1", models="placed")()
        applied = result(config_after=b"ours", is_empty=False, outcome=Outcome.APPLIED)
        return applied, result(config_after=b"taken back", outcome=Outcome.ROLLED_BACK)

    scene.passes = [write, good, good, good]
    scene.on_wait = [
        scene.change(config="theirs"),
        scene.change(siblings="s2"),
        scene.change(models="deleted"),
    ]
    scene.run()
    assert scene.reasons == [
        Reason.START,
        Reason.CONFIG,
        Reason.CONFIG,
        Reason.MODELS,
        Reason.RESYNC,
    ]


def test_config_that_the_fetched_files_decided_is_no_change() -> None:
    """What the plan wrote once the files were here is ours, though it was planned otherwise."""
    scene = Scene()

    def write() -> RunResult:
        scene.change(config=digest(b"ours, complete"))()
        later = result(config_after=b"ours, complete").prepared.plan
        return replace(result(config_after=b"ours", is_empty=False), carried_out=later)

    scene.contents = replace(FIRST, config="c1", models="m")
    scene.passes = [write]
    scene.run()
    assert scene.reasons == [Reason.START, Reason.RESYNC]


def test_config_edited_during_a_pass_is_answered_right_after_it() -> None:
    """An edit by hand that comes while a pass is at work is not taken for what the pass wrote."""
    scene = Scene(good)

    def edited() -> RunResult:
        scene.change(config="theirs")()
        return result(config_after=b"ours")

    scene.passes = [good, edited, good]
    scene.contents = replace(FIRST, config="c1", models="m")
    scene.on_wait = [scene.change(manifest="m2")]
    scene.run()
    assert scene.reasons[:3] == [Reason.START, Reason.MANIFEST, Reason.CONFIG]
    assert scene.started_at[:3] == [0, WAKES_AFTER, WAKES_AFTER]


def test_models_folder_is_answered_once_it_holds_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody copies here changes all the time: one pass is run when it is whole."""
    monkeypatch.setattr(sys.modules[__name__], "WAKES_AFTER", 0.75)
    scene = Scene(good, good)
    scene.contents = replace(FIRST, models="0")
    scene.on_wait = [scene.change(models=str(number)) for number in range(1, 20)]
    scene.run()
    assert scene.reasons == [Reason.START, Reason.MODELS, Reason.RESYNC]
    assert scene.waits[1:20] == [1.0] * 19


def test_what_a_failed_pass_left_does_not_wake_it() -> None:
    """A pass that placed files and took them back, and failed, is not run again for that; nor does
    it spin where each of its tries leaves something else.
    """
    scene = Scene()
    scene.contents = replace(FIRST, config="c", models="0")

    def fail() -> RunResult:
        scene.change(config=f"{len(scene.passes)}", models=f"{len(scene.passes)}")()
        raise ReconcilerError("a step failed", hint="")

    scene.passes = [fail, fail]
    scene.run()
    assert scene.started_at == [0, RESYNC, 2 * RESYNC]


def test_somebody_who_undoes_it_again_and_again_is_answered_less_and_less_often() -> None:
    """Two controllers of one config do not make a storm: after two quick answers each takes longer,
    up to five minutes, and a person is told once. An edit of the manifest is applied at once all
    the same, and ends the series.
    """
    scene = Scene()
    scene.contents = replace(FIRST, config="0", models="m")
    count = iter(range(1, 1000))

    def undone() -> None:
        scene.change(config=f"theirs {next(count)}")()

    def right() -> RunResult:
        return result(config_after=b"ours", outcome=Outcome.APPLIED)

    def undone_at_once() -> RunResult:
        undone()
        return right()

    scene.passes = [undone_at_once] * 12
    scene.run()
    gaps = [later - one for one, later in zip(scene.started_at, scene.started_at[1:], strict=False)]
    assert gaps[:3] == [0, 0, 0]
    longest = [min(5 * 2**number, 300) for number in range(len(gaps) - 3)]
    assert all(most / 2 <= gap <= most for gap, most in zip(gaps[3:], longest, strict=True))
    assert len([line for line in scene.heard.warnings if "undoing" in line]) == 1

    scene = Scene()
    scene.contents = replace(FIRST, config="0", models="m")
    scene.passes = [*[undone_at_once] * 4, right, right]
    scene.on_wait = [scene.change(manifest="m2"), undone]
    scene.run()
    assert scene.reasons[4:6] == [Reason.MANIFEST, Reason.CONFIG]
    assert scene.started_at[5] == 2 * WAKES_AFTER


def test_look_that_was_due_does_not_end_a_fight() -> None:
    """Where it looks more often than it would answer, what it then finds undone counts as well: the
    answers in between stay rare.
    """
    scene = Scene()
    scene.contents = replace(FIRST, config="0", models="m")
    count = iter(range(1, 1000))

    def undone_at_once() -> RunResult:
        scene.change(config=f"theirs {next(count)}")()
        return result(config_after=b"ours", outcome=Outcome.APPLIED)

    scene.resync_seconds = 60.0
    scene.passes = [undone_at_once] * 20
    scene.run()
    assert scene.reasons[-8:] == [Reason.RESYNC] * 8


def test_pause_holds_and_what_changed_meanwhile_is_applied_after_it() -> None:
    """While it is paused no pass is run, whatever changes; at its end one is, by itself."""
    scene = Scene(good)
    scene.pause = Pause(since=scene.clock.now(), until=scene.clock.now() + timedelta(seconds=100))
    scene.on_wait = [scene.change(manifest="m2"), scene.change(manifest="m3")]
    scene.run()
    assert len(scene.started_at) == 2
    assert 99 <= scene.started_at[0] <= 101
    assert scene.reasons == [Reason.START, Reason.RESYNC]


@pytest.mark.parametrize(
    ("changed", "reason"), [({}, Reason.RESUMED), ({"manifest": "m2"}, Reason.MANIFEST)]
)
def test_pause_that_is_taken_back_is_followed_by_a_pass(
    changed: dict[str, str], reason: Reason
) -> None:
    """`resume` runs a pass at once, and says why: the manifest if that changed meanwhile."""
    scene = Scene(good, good)

    def pause() -> None:
        scene.pause = Pause(since=scene.clock.now())

    def resume() -> None:
        scene.pause = None

    scene.on_wait = [pause, scene.change(**changed), resume]
    scene.run()
    assert scene.reasons[:2] == [Reason.START, reason]
    assert scene.started_at[:3] == [0, 3 * WAKES_AFTER, 3 * WAKES_AFTER + RESYNC]
    assert len(scene.paused_seconds) == 2


def test_pause_without_an_end_is_looked_at_now_and_then() -> None:
    """Even where its file is gone and no event came, the watch finds that out."""
    scene = Scene(good)
    scene.pause = Pause(since=scene.clock.now(), until=scene.clock.now() + timedelta(days=30))
    scene.on_wait = [lambda: None, lambda: setattr(scene, "pause", None)]
    scene.run()
    assert scene.paused_seconds == [RESYNC, RESYNC]


def test_pulls_on_its_own_schedule_before_it_looks() -> None:
    """What a pull brings is applied by the pass that follows at once; without a change none is run
    between two looks. Its interval is jittered.
    """
    scene = Scene(good, good)
    scene.pull_seconds = 60
    scene.on_pull = lambda: scene.change(manifest="pulled")() if scene.clock.seconds > 100 else None
    scene.run()
    assert scene.pulled_at[0] == 0
    gaps = [later - one for one, later in zip(scene.pulled_at, scene.pulled_at[1:], strict=False)]
    assert all(54 <= gap <= 66 for gap in gaps)
    assert scene.reasons[:3] == [Reason.START, Reason.MANIFEST, Reason.RESYNC]
    assert scene.started_at[1] in scene.pulled_at


def test_end_that_is_asked_for_while_it_works_is_heard_after_the_pass() -> None:
    """SIGHUP during a pass, and between its end and the rest, ends the loop without a wait."""
    scene = Scene()

    def hang_up() -> RunResult:
        scene.is_ended = True
        scene.wake.set()
        return good()

    scene.passes = [hang_up]
    scene.run_to_its_end()
    assert scene.waits == []
    scene.run_to_its_end()
    assert len(scene.started_at) == 1


def test_end_that_comes_just_as_a_turn_begins_is_not_lost() -> None:
    """Who asks for the end right after the loop looked for that need not wait for the next look."""
    scene = Scene(good)
    asked: list[bool] = []

    def ends() -> bool:
        asked.append(scene.is_ended)
        if len(asked) == 2:
            scene.is_ended = True
            scene.wake.set()
        return asked[-1]

    scene.ends = ends
    scene.run_to_its_end()
    assert scene.waits == []


_digests = st.sampled_from(["", "1", "2"])
_contents = st.builds(
    Contents,
    manifest=_digests,
    lock=_digests,
    config=_digests,
    siblings=_digests,
    models=_digests,
)


@given(_contents, _contents, st.booleans())
def test_a_pass_is_due_exactly_where_something_changed(
    found: Contents, seen: Contents, heeds_drift: bool
) -> None:
    """Nothing that is wanted goes by unseen; what others changed counts where it is heeded."""
    reason = why(found, seen, heeds_drift=heeds_drift)
    wanted = (found.manifest, found.lock) != (seen.manifest, seen.lock)
    assert (reason in (Reason.MANIFEST, Reason.LOCK)) == wanted
    assert (reason is not None) == (wanted or (heeds_drift and found != seen))
    assert why(found, None, heeds_drift=heeds_drift) is Reason.START


def test_manifest_saved_during_a_pass_is_applied_right_after_it() -> None:
    """What changes while a pass is at work is not lost, even where its event was: it is applied as
    soon as it has held still for a moment.
    """
    scene = Scene()

    def save() -> RunResult:
        scene.contents = Contents(manifest="m2", lock="l1")
        return good()

    scene.passes = [save, good]
    scene.run()
    assert scene.started_at == [0, 0.3, RESYNC + 0.3]


def test_saves_that_go_on_after_a_pass_are_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who saves again and again, during a pass and after it, has the last of it applied by one more
    pass once it holds still, or after a second if it never does.
    """
    monkeypatch.setattr(sys.modules[__name__], "WAKES_AFTER", 0.1)
    for saves, begins_at in ((5, 0.8), (100, 1.0)):
        scene = Scene()

        def save(scene: Scene = scene) -> RunResult:
            scene.change(manifest="0")()
            return good()

        scene.passes = [save]
        scene.on_wait = [scene.change(manifest=f"{number + 1}") for number in range(saves)]
        scene.run()
        assert scene.reasons[:2] == [Reason.START, Reason.MANIFEST]
        assert scene.started_at[1] == pytest.approx(begins_at)


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
    assert scene.started_at[:2] == [0, 2 * WAKES_AFTER]
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
