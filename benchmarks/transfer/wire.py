"""What goes over the wire, and how fast: a run that was killed half-way, and a limited one."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import datetime
from pathlib import Path

from benchmarks.transfer.contenders import ours
from benchmarks.transfer.nginx import serving
from benchmarks.transfer.source import Source

_LOOK_SECONDS = 0.005
# Of one connection. What was sent and never read by the killed process counts as sent, so it is
# slow enough for little to be on the way.
_SLOW_BYTES_PER_SECOND = 20_000_000


def resumed_bytes(source: Source, home: Path) -> tuple[int, int]:
    """Kill a download when half of it is written, and run it again.

    Gives the bytes that were sent in all, and those that were sent to the second run.
    """
    folder = home / "resumed"
    folder.mkdir()
    with serving(home / "first", [source], limit_bytes_per_second=_SLOW_BYTES_PER_SECOND) as first:
        call = ours(source, first.url, folder)
        process = subprocess.Popen(
            call.command, env=call.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while _written_bytes(process.pid) < source.size_bytes // 2:
            if process.poll() is not None:
                raise RuntimeError(f"it ended before it could be killed: {process.returncode}")
            time.sleep(_LOOK_SECONDS)
        process.kill()
        process.wait()
    with serving(home / "second", [source]) as second:
        settings = {**call.environment, "HF_ENDPOINT": second.url}
        subprocess.run(call.command, env=settings, stdout=subprocess.DEVNULL, check=True)
    return first.sent_bytes() + second.sent_bytes(), second.sent_bytes()


def limited_rate(source: Source, home: Path, limit: str) -> float:
    """Download with `--limit-rate`; give the bytes per second from the first byte to the last."""
    folder = home / "limited"
    folder.mkdir()
    with serving(home / "server", [source]) as server:
        call = ours(source, server.url, folder)
        words = [word for word in call.command if word != "--quiet"]
        done = subprocess.run(
            [*words, "--log-format", "json", "--limit-rate", limit],
            env=call.environment,
            capture_output=True,
            text=True,
            check=True,
        )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    began, ended = (
        next(datetime.fromisoformat(it["time"]) for it in told if it.get("event") == event)
        for event in ("transfer.start", "transfer.end")
    )
    return source.size_bytes / (ended - began).total_seconds()


def _written_bytes(pid: int) -> int:
    """How many bytes a process has written so far, as the kernel counts them."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(dict(line.split(": ") for line in lines)["wchar"])
