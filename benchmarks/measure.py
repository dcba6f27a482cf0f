"""Time and memory of a command, as the kernel counts them."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run took: seconds on the wall, seconds of CPU, and the largest memory in bytes."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def cost_of(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command once, its output thrown away. Raises CalledProcessError where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024),
    )


def median(costs: Sequence[Cost]) -> Cost:
    """Give the median of each figure."""
    return Cost(
        wall_seconds=statistics.median(cost.wall_seconds for cost in costs),
        cpu_seconds=statistics.median(cost.cpu_seconds for cost in costs),
        peak_bytes=round(statistics.median(cost.peak_bytes for cost in costs)),
    )


def machine() -> str:
    """Say in a few words what the figures were measured on."""
    pages = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores, {pages / 2**30:.0f} GiB, Python {platform.python_version()}"
