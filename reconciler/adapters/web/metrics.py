"""What a watch does, in numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.core.runs import Outcome, RunReport
from reconciler.core.watching import Reason

# From a look that finds nothing to a night of downloads.
_DURATIONS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800)
_REASONS: Final = {reason: reason.name.lower() for reason in Reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a watch stands now. Times are seconds since 1970, None where there is none.

    `models` counts them by their state, and `work_left_bytes` are those of the files under way.
    """

    models: Mapping[str, int]
    work_left_bytes: int
    last_success_at: float | None
    next_look_at: float | None
    is_paused: bool


class Metrics:
    """Counts what is told, and asks `standing` for the rest whenever somebody reads it."""

    def __init__(self, *, version: str, standing: Callable[[], Standing]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=False)
        self._passes = Counter(
            "reconciler_passes",
            "Passes that the watch began, by why.",
            ["reason"],
            registry=self._registry,
        )
        self._runs = Counter(
            "reconciler_runs",
            "Runs that ended, by how; a pass that follows tracked models has two.",
            ["outcome"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "reconciler_run_duration_seconds",
            "How long runs took, downloads and waiting for requests in flight included.",
            buckets=_DURATIONS_SECONDS,
            registry=self._registry,
        )
        self._fetched = Counter(
            "reconciler_fetched_bytes",
            "Bytes that came over the network.",
            registry=self._registry,
        )
        self._reused = Counter(
            "reconciler_reused_bytes",
            "Bytes of models that did not have to.",
            registry=self._registry,
        )
        self._downtime = Counter(
            "reconciler_downtime_seconds",
            "How long llama-swap gave no healthy answer while it was changed.",
            registry=self._registry,
        )
        # So that the first of a kind is a rise from 0, which a rate can see.
        for reason in _REASONS.values():
            self._passes.labels(reason)
        for outcome in Outcome:
            self._runs.labels(_label(outcome))
        build = Info("reconciler_build", "The version that runs.", registry=self._registry)
        build.info({"version": version})
        self._registry.register(_Now(standing))
        ProcessCollector(registry=self._registry)

    def count_pass(self, reason: Reason) -> None:
        """A pass began."""
        self._passes.labels(_REASONS[reason]).inc()

    def count_run(self, report: RunReport) -> None:
        """A run ended, and this is what it tells."""
        self.count_end(report.outcome, seconds=report.duration_seconds)
        self._fetched.inc(report.fetched_bytes)
        self._reused.inc(report.reused_bytes)
        self._downtime.inc(report.downtime_seconds)

    def count_end(self, outcome: Outcome, *, seconds: float) -> None:
        """A run ended after `seconds`, and that is all that is known of it."""
        self._runs.labels(_label(outcome)).inc()
        self._duration.observe(seconds)

    def text(self) -> bytes:
        """Give all of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Now(Collector):
    """What is asked for when it is read."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing = standing

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give the gauges; a moment that there is not has no sample."""
        now = self._standing()
        models = GaugeMetricFamily(
            "reconciler_models", "Models that are declared or were applied.", labels=["state"]
        )
        for state, count in now.models.items():
            models.add_metric([state], count)
        yield models
        yield _gauge(
            "reconciler_work_left_bytes",
            "Bytes of the files under way that are still to be fetched, copied or read.",
            now.work_left_bytes,
        )
        yield _gauge(
            "reconciler_last_success_timestamp_seconds",
            "When a run last ended well, in seconds since 1970.",
            now.last_success_at,
        )
        yield _gauge(
            "reconciler_next_look_timestamp_seconds",
            "When the watch looks next, unless something changes, in seconds since 1970.",
            now.next_look_at,
        )
        yield _gauge(
            "reconciler_paused", "1 while a person holds the watch, else 0.", int(now.is_paused)
        )


def _gauge(name: str, words: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words)
    if value is not None:
        family.add_metric([], value)
    return family


def _label(value: str) -> str:
    return value.replace(" ", "_")
