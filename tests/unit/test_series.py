"""Past runs in series: what did nothing is one, and all that did something stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.ages import human_age
from reconciler.core.runs import Outcome, RunReport, SyncMode
from reconciler.core.series import in_series, time_of

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
AT_REST = RunReport(run="", started_at="", mode=SyncMode.INCREMENTAL)
NEVER_ONE = (Outcome.APPLIED, Outcome.ROLLED_BACK, Outcome.INTERRUPTED)
IN_VAIN = tuple(outcome for outcome in Outcome if outcome not in NEVER_ONE)


def runs(*reports: RunReport) -> tuple[RunReport, ...]:
    """Give them as they are told, newest first, ten minutes apart, each with its name."""
    return tuple(
        replace(report, run=f"r{number}", started_at=began(number).isoformat())
        for number, report in enumerate(reports)
    )


def began(number: int) -> datetime:
    """Give the moment at which a run began."""
    return START - number * timedelta(minutes=10)


def lengths(told: Sequence[RunReport], *, made: Sequence[str] = ()) -> list[int]:
    """Give how many runs each series has."""
    return [len(series) for series in in_series(told, made=made)]


def test_runs_at_rest_are_one_between_those_that_did_something() -> None:
    """However many: before, between and after what was applied. None is left out, in any order."""
    applied = replace(AT_REST, outcome=Outcome.APPLIED, added=("chat",))
    told = runs(*[AT_REST] * 37, applied, applied, *[AT_REST] * 1008, applied)
    series = list(in_series(told, made=()))
    assert [len(item) for item in series] == [37, 1, 1, 1008, 1]
    assert tuple(report for item in series for report in item) == told
    assert time_of(series[3]) == timedelta(minutes=10) * 1007


@pytest.mark.parametrize("outcome", Outcome)
def test_what_may_be_one(outcome: Outcome) -> None:
    """Runs that met the same trouble again and again are one; what was tried on the host is not,
    nor what somebody cut short.
    """
    told = runs(*[replace(AT_REST, outcome=outcome)] * 3)
    assert lengths(told) == ([3] if outcome in IN_VAIN else [1, 1, 1])


@pytest.mark.parametrize(
    "did",
    [
        {"added": ("chat",)},
        {"updated": ("chat",)},
        {"removed": ("chat",)},
        {"fetched_bytes": 1},
        {"reused_bytes": 1},
        {"downtime_seconds": 0.1},
    ],
    ids=lambda did: next(iter(did)),
)
@pytest.mark.parametrize("outcome", IN_VAIN)
def test_who_did_something_stands_alone(outcome: Outcome, did: dict[str, object]) -> None:
    """Whatever its outcome: a model that failed may have had others applied beside it."""
    rest = replace(AT_REST, outcome=outcome)
    assert lengths(runs(rest, replace(rest, **did), rest)) == [1, 1, 1]  # type: ignore[arg-type]


def test_who_made_a_generation_stands_alone() -> None:
    """It is what can be gone back to, so its line has its number."""
    assert lengths(runs(*[AT_REST] * 4), made=["r1", "r2"]) == [1, 1, 1, 1]


def test_other_trouble_is_news() -> None:
    """The same outcome for another reason, or with another model, is told by itself; a number that
    moves on is no other reason.
    """
    away = replace(AT_REST, outcome=Outcome.FAILED, message="the hub is away, after 12 s")
    later = replace(away, message="the hub is away, after 31 s")
    full = replace(away, message="the disk is full")
    assert lengths(runs(away, later, full, full, away)) == [2, 2, 1]
    stalled = replace(AT_REST, outcome=Outcome.PARTIAL, failed=("chat",))
    both = replace(stalled, failed=("chat", "code"))
    assert lengths(runs(stalled, stalled, both, both, stalled, AT_REST)) == [2, 2, 1, 1]


def test_a_clock_that_was_set_gives_no_time_below_none() -> None:
    """The runs are told as they were recorded, whatever the clock said then."""
    told = runs(AT_REST, AT_REST)
    assert time_of(tuple(reversed(told))) == time_of(told) == timedelta(minutes=10)


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(0), "0 min"),
        (timedelta(minutes=50), "50 min"),
        (timedelta(hours=71), "71 h"),
        (timedelta(days=7), "7 days"),
    ],
)
def test_ages_are_said_roughly(age: timedelta, said: str) -> None:
    """In the unit that leaves a number that can be pictured."""
    assert human_age(age) == said
