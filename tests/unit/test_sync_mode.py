"""How thoroughly a run looks: one decision, with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.runs import Outcome, RunReport, SyncMode, report_from_json, report_to_json
from reconciler.core.sync_mode import (
    AskedMode,
    Decision,
    SyncSettings,
    changed_models,
    choose_mode,
)
from tests.support.worlds import World, desired, model, pinned

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def ran(
    hours_ago: float, outcome: Outcome = Outcome.APPLIED, mode: SyncMode = SyncMode.FULL
) -> RunReport:
    """Give a run of some hours ago."""
    started = (NOW - timedelta(hours=hours_ago)).isoformat()
    return RunReport(run="run", started_at=started, outcome=outcome, mode=mode)


def chosen(
    settings: SyncSettings | None = None,
    *,
    last: RunReport | None = None,
    last_full: RunReport | None = None,
    changed: int = 0,
    models: int = 100,
) -> Decision:
    """Decide, for a run now."""
    return choose_mode(
        settings or SyncSettings(),
        last=last,
        last_full=last_full,
        changed=changed,
        models=models,
        now=NOW,
    )


def test_first_run_is_full() -> None:
    """Where nobody ran before everything is looked at."""
    assert chosen() == Decision(mode=SyncMode.FULL, reason="no run before")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ROLLED_BACK, Outcome.INTERRUPTED])
def test_run_after_a_failure_is_full(outcome: Outcome) -> None:
    """What a failed run left behind is looked at whole, and the reason says how it failed."""
    decision = chosen(last=ran(1, outcome), last_full=ran(2))
    assert decision == Decision(mode=SyncMode.FULL, reason=f"the last run: {outcome}")


@pytest.mark.parametrize("outcome", [Outcome.IN_SYNC, Outcome.APPLIED, Outcome.PARTIAL])
def test_run_after_a_recent_full_one_is_incremental(outcome: Outcome) -> None:
    """One full run in the threshold is enough; a model that failed alone changes nothing."""
    decision = chosen(last=ran(1, outcome), last_full=ran(5))
    assert decision == Decision(mode=SyncMode.INCREMENTAL, reason="the last full run is 5 h old")


@pytest.mark.parametrize(
    ("hours_ago", "mode", "more"),
    [(167.9, "incremental", ""), (168.1, "full", ", more than 168 h")],
)
def test_old_full_run_calls_for_another(hours_ago: float, mode: str, more: str) -> None:
    """Past the threshold, and not before, everything is looked at again; the reason names it."""
    decision = chosen(last=ran(1), last_full=ran(hours_ago))
    assert (decision.mode, decision.reason) == (mode, f"the last full run is 7 days old{more}")


def test_threshold_is_a_setting() -> None:
    """A threshold of zero hours makes every run full, as none is that young."""
    short = SyncSettings(threshold_hours=0)
    assert chosen(short, last=ran(1), last_full=ran(0.1)).mode is SyncMode.FULL


def test_no_full_run_and_one_from_the_future_count_for_nothing() -> None:
    """A full run that is not known, or of a clock that was wrong, does not spare one."""
    assert chosen(last=ran(1)).reason == "no full run is known"
    assert chosen(last=ran(1), last_full=ran(-2)).mode is SyncMode.FULL


@pytest.mark.parametrize(("changed", "mode"), [(10, "incremental"), (11, "full")])
def test_more_than_a_tenth_of_new_models_is_full(changed: int, mode: str) -> None:
    """A tenth of the models may change before everything is looked at, and not more."""
    assert chosen(last=ran(1), last_full=ran(2), changed=changed).mode == mode


def test_person_decides_over_all() -> None:
    """What is asked for is done whatever the past says, and force wins over it."""
    incremental = SyncSettings(asked=AskedMode.INCREMENTAL)
    forced = SyncSettings(asked=AskedMode.INCREMENTAL, forced=True)
    full = SyncSettings(asked=AskedMode.FULL)
    assert chosen(incremental).mode is SyncMode.INCREMENTAL
    asked = chosen(full, last=ran(1), last_full=ran(2))
    assert asked == Decision(mode=SyncMode.FULL, reason="SYNC_MODE asks for it")
    assert chosen(forced, last=ran(1), last_full=ran(2)).mode is SyncMode.FULL


def test_only_the_models_themselves_count_as_changed() -> None:
    """New, gone and re-pinned models have changed; what others did to the host has not."""
    before = desired(model("same"), model("moved"), model("gone"), model("off"))
    world = World().reached(before)
    after = desired(
        model("same"),
        model("moved", pinned("moved", "moved-2")),
        model("new"),
        model("off", enabled=False),
        stalled={"late": "the hub does not answer"},
    )
    assert changed_models(before, world.ledger) == frozenset()
    assert changed_models(after, world.ledger) == {"moved", "gone", "new"}


def test_report_of_an_earlier_version_is_read() -> None:
    """A run that was kept before there were modes is one without, and what is kept comes back."""
    report = ran(1)
    document = report_to_json(report)
    assert report_from_json(document) == report
    for key in ("mode", "mode_reason", "duration_seconds", "findings"):
        del document[key]
    assert report_from_json(document).mode is None
