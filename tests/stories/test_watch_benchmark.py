"""The benchmark of the watch in short: it measures what it says, on a real process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.plan.host import applied_host
from benchmarks.watch.process import running_watch
from benchmarks.watch.rest import idle_percent, load_seconds
from benchmarks.watch.saves import measure_burst, measure_saves
from benchmarks.watch.soak import soak


def test_every_save_is_measured() -> None:
    """Each save leads to a pass of its own that begins after it, and plans after that."""
    latencies = measure_saves(5)
    assert len(latencies.begins) == len(latencies.plans) == 5
    assert all(
        0 < begins < plans for begins, plans in zip(latencies.begins, latencies.plans, strict=True)
    )


def test_burst_of_saves_is_two_passes_at_most() -> None:
    """However many saves come in a row, the last one is applied, by the second pass at the
    latest.
    """
    burst = measure_burst(1000)
    assert burst.passes <= 2
    assert burst.is_last_applied


def test_soak_goes_through_its_passes_and_leaves_nothing_behind() -> None:
    """However many passes, edits and looks: no file stays open and no thread behind, and the
    memory stays where it was, as far as so few can show.
    """
    soaked = soak(80, models=3)
    assert soaked.passes >= 80
    assert soaked.last.files <= soaked.first.files + 1
    assert soaked.last.threads <= soaked.first.threads
    assert soaked.growth_percent < 10


def test_rest_and_page_are_measured_on_a_watch_that_rests() -> None:
    """The CPU at rest is that of the watch alone, and the page comes whole."""
    with tempfile.TemporaryDirectory() as folder:
        settings = applied_host(Path(folder), 3)
        with running_watch(settings) as watch:
            watch.await_rest()
            passes = watch.passes()
            assert 0 <= idle_percent(watch, 0.5) < 100
            assert load_seconds(watch) > 0
            assert watch.passes() == passes
