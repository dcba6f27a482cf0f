"""Downloads that are killed at random moments and run again, until they are done.

`python -m tests.kills --count 100` kills a hundred times and prints what it cost; the stories hold
a short form. Each run is a process of its own, killed by SIGKILL, and what the hub sent tells what
was fetched again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.base.partial_record import recorded_extents
from reconciler.core.extents import Extents
from reconciler.core.names import Sha256
from reconciler.demo.hub_faults import Fault, Slow
from reconciler.demo.hub_server import HubServer
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

PROMISED_BYTES = 8 * 1024 * 1024
FILE_BYTES = 24 * 1024 * 1024
# Of one connection. What the hub has sent and a killed process never read counts as fetched again,
# so there must not be much of it on the way.
_BYTES_PER_SECOND = 2_000_000
_NAME = "big-Q4_K_M.gguf"
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill: what was there of the file then, and what later runs had to fetch again for it."""

    download: int
    present_bytes: int
    again_bytes: int


def kill_downloads(home: Path, count: int, *, seed: int) -> list[Kill]:
    """Download a file again and again below `home`, killed `count` times in all.

    Raises `AssertionError` where a record vouches for bytes that are wrong, where a run fails by
    itself, or where the file ends with other bytes than upstream.
    """
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    kills: list[Kill] = []
    number = 0
    while len(kills) < count:
        number += 1
        with HubServer() as hub:
            host = Sandbox(home=home / str(number), hub=hub)
            kills += _download(host, number, count - len(kills), chance)
    return kills


def _download(host: Sandbox, number: int, most_kills: int, chance: random.Random) -> list[Kill]:
    """Download one file, killed at most so many times."""
    data = hashlib.shake_256(str(number).encode()).digest(FILE_BYTES)
    host.hub.add_commit("acme/big-GGUF", {_NAME: data})
    host.write_manifest("  big:\n    source: acme/big-GGUF:Q4_K_M\n")
    assert host.run("lock").code == 0
    slow = Slow(bytes_per_second=_BYTES_PER_SECOND)
    host.hub.faults.add(Fault(effect=slow, path="*.gguf", origin="cdn", times=None))
    sent = Extents()
    present: list[int] = []
    again: list[int] = []
    done = False
    while not done:
        host.hub.forget_requests()
        if len(present) < most_kills:
            done = not _killed(host, chance)
        else:
            host.apply()
            done = True
        again.append(_take_in(sent, host.hub))
        if not done:
            present.append(sent.total_bytes)
            _check_record(host, data)
    assert next(iter(host.model_files().values())) == data
    # What a run fetched again, it did for the kill before it.
    return [
        Kill(download=number, present_bytes=there, again_bytes=count)
        for there, count in zip(present, again[1:], strict=True)
    ]


def _killed(host: Sandbox, chance: random.Random) -> bool:
    """Run, and kill the run at a random moment; False where it was done before that."""
    aim_bytes = chance.randrange(FILE_BYTES // 2)
    late_seconds = chance.uniform(0, 0.1)
    process = host.start("--yes", "--quiet")
    try:
        wait_for(
            lambda: process.poll() is not None or _sent_bytes(host.hub) >= aim_bytes,
            "so many bytes",
            seconds=_PATIENCE_SECONDS,
        )
        time.sleep(late_seconds)
        process.kill()
        _, told = process.communicate(timeout=_PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, -9), told
    return process.returncode != 0


def _sent_bytes(hub: HubServer) -> int:
    return sum(request.sent_bytes for request in hub.requests if request.origin == "cdn")


def _take_in(sent: Extents, hub: HubServer) -> int:
    """Add what the hub sent in the last run; gives how much of it had been sent before."""
    _settled(lambda: _sent_bytes(hub))
    again = 0
    for request in hub.requests:
        if request.origin == "cdn" and request.sent_bytes:
            span = re.fullmatch(r"bytes=(\d+)-\d*", request.headers.get("range", "bytes=0-"))
            assert span, request.headers
            start = int(span[1])
            again += request.sent_bytes - sent.add(start, start + request.sent_bytes)
    return again


def _settled(count: Callable[[], int]) -> None:
    """Wait until the hub has noticed that nobody reads any more."""
    seen = [-1]

    def still() -> bool:
        seen.append(count())
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_for(still, "an end of sending", seconds=_PATIENCE_SECONDS)


def _check_record(host: Sandbox, data: bytes) -> None:
    """Whatever instant it was killed at: what the record vouches for is right."""
    sha256 = Sha256(hashlib.sha256(data).hexdigest())
    folder = host.models / ".reconciler" / "partial"
    for partial in folder.glob(f"{sha256}*"):
        recorded = recorded_extents(partial, sha256=sha256, size_bytes=len(data))
        if partial.suffix != ".record" and recorded is not None:
            there = partial.read_bytes()
            for start, end in recorded:
                assert there[start:end] == data[start:end], f"{start} to {end} are wrong"


def main() -> None:
    """Kill as often as asked, and say what it cost at the worst."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills")
    parser.add_argument("--count", type=int, default=100, help="how many kills (100)")
    parser.add_argument("--seed", type=int, default=1, help="where the moments come from (1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        kills = kill_downloads(Path(folder), options.count, seed=options.seed)
    worst = max(kill.again_bytes for kill in kills)
    mean = sum(kill.again_bytes for kill in kills) / len(kills)
    print(  # noqa: T201 - that is what it is for
        f"{len(kills)} kills in {kills[-1].download} downloads of {FILE_BYTES >> 20} MiB: fetched "
        f"again at most {worst / 2**20:.2f} MiB, {mean / 2**20:.2f} MiB on average; "
        f"promised are {PROMISED_BYTES >> 20} MiB"
    )
    if worst > PROMISED_BYTES:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
