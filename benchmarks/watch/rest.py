"""What a watch costs while nothing happens, and how quickly it shows itself."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.plan.host import applied_host
from benchmarks.watch.process import WatchProcess, running_watch

MODELS = 1000
IDLE_SECONDS = 60.0
LOADS = 20
# After its first pass it once goes through all folders that it follows from then on.
_SETTLING_SECONDS = 3.0
_MOST_CPU_PERCENT = 0.2
_MOST_LOAD_SECONDS = 0.05


def rows(*, models: int = MODELS, idle_seconds: float = IDLE_SECONDS) -> Iterator[str]:
    """Measure both on a host with `models` models, and give the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        settings = applied_host(Path(folder), models)
        with running_watch(settings) as watch:
            watch.await_rest()
            time.sleep(_SETTLING_SECONDS)
            percent = idle_percent(watch, idle_seconds)
            yield (
                f"| CPU of a core at rest, {models} models | {percent:.2f} % "
                f"| {_MOST_CPU_PERCENT} % |"
            )
            loads = sorted(load_seconds(watch) for _ in range(LOADS))
            yield (
                f"| page load, {models} models (median, longest of {LOADS}) "
                f"| {statistics.median(loads) * 1e3:.0f} ms, {loads[-1] * 1e3:.0f} ms "
                f"| {_MOST_LOAD_SECONDS * 1e3:.0f} ms |"
            )


def idle_percent(watch: WatchProcess, seconds: float) -> float:
    """Give the CPU that a resting watch uses over `seconds`, in percent of one core."""
    began, used = time.monotonic(), watch.cpu_seconds()
    # What is measured is that nothing happens for so long.
    time.sleep(seconds)
    return 100 * (watch.cpu_seconds() - used) / (time.monotonic() - began)


def load_seconds(watch: WatchProcess) -> float:
    """Load the page with all that it asks for, as a browser with an empty cache does."""
    began = time.perf_counter()
    page = watch.get("/").decode()
    for path in re.findall(r'(?:src|href)="(/?static/[^"]+)"', page):
        watch.get(path if path.startswith("/") else f"/{path}")
    watch.get("/api/status")
    return time.perf_counter() - began
