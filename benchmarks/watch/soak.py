"""Months of a watch, pressed together: passes without a pause, edits and looks among them.

What a leak would show is kept: the memory, the open files and the threads of the process.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plan.host import applied_host
from benchmarks.watch.process import Use, WatchProcess, await_true, running_watch

PASSES = 10_000
MODELS = 20
_SAMPLES = 40
_MOST_GROWTH_PERCENT = 2.0
# A pass that nobody asked for, as soon as the one before it is done.
_RESYNC_SECONDS = "0.001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What a soak of `passes` passes found. Growth is from the first half to the second."""

    passes: int
    first: Use
    last: Use
    growth_percent: float


def rows(passes: int = PASSES) -> Iterator[str]:
    """Soak a watch, and give the row of the table."""
    soaked = soak(passes)
    yield (
        f"| memory after {soaked.passes} passes, edits among them "
        f"| {soaked.first.memory_bytes / 1e6:.1f} MB, then {soaked.growth_percent:+.1f} % "
        f"({soaked.last.files} files open, {soaked.last.threads} threads) "
        f"| {_MOST_GROWTH_PERCENT:+.0f} % |"
    )


def soak(passes: int, *, models: int = MODELS) -> Soaked:
    """Run a watch for `passes` passes, and edit its manifest all along.

    The first fifth is not counted: caches fill, and the allocator finds its size.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = applied_host(home, models)
        manifest = home / "manifests" / "home.yaml"
        with running_watch({**settings, "RECONCILER_RESYNC": _RESYNC_SECONDS}) as watch:
            samples = [
                _after(watch, passes * number // _SAMPLES, manifest, number)
                for number in range(1, _SAMPLES + 1)
            ][_SAMPLES // 5 :]
            done = watch.passes()
    half = len(samples) // 2
    before, after = (
        statistics.median(use.memory_bytes for use in part)
        for part in (samples[:half], samples[half:])
    )
    return Soaked(
        passes=done,
        first=samples[0],
        last=samples[-1],
        growth_percent=100 * (after / before - 1),
    )


def _after(watch: WatchProcess, passes: int, manifest: Path, number: int) -> Use:
    """Edit the manifest, break and mend it, and look at the watch when it has gone so far."""
    text = manifest.read_text()
    manifest.write_text("version: 1\nmodels: [\n")
    mended = text.replace(f"ctx-size: {8191 + number}", f"ctx-size: {8192 + number}")
    manifest.write_text(mended)
    watch.get("/")
    watch.get("/metrics")
    await_true(lambda: watch.passes() >= passes, f"pass {passes}", seconds=3600)
    return watch.use()
