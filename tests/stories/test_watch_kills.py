"""A watch that is killed at any instant and started again comes to where an undisturbed one does.

`RECONCILER_WATCH_KILLS=100` has it killed a hundred times.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.end_state import state
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox

KILLS = int(os.environ.get("RECONCILER_WATCH_KILLS", "6"))
PATIENCE_SECONDS = 30.0
QUIET_SECONDS = 1.5
SERVED = ("chat", "code", "again")


def edited(round_number: int) -> str:
    """Give what the manifest asks for in one round: each adds, removes and changes something."""
    chosen = [name for index, name in enumerate(SERVED) if (round_number + index) % 3]
    serve = f"    serve: {{ttl: {100 + round_number}}}\n"
    return "".join(f"  {name}:\n    source: acme/{name}-GGUF:Q4_K_M\n{serve}" for name in chosen)


def new_host(home: Path, hub: Any) -> Sandbox:
    """Give a host on a hub with three models."""
    host = Sandbox(home=home, hub=hub)
    for seed, name in enumerate(SERVED, start=1):
        host.add_repo(f"acme/{name}-GGUF", seed=seed)
    return host


def is_applied(host: Sandbox, round_number: int) -> bool:
    """Whether a run of this round's manifest has come to its end."""
    text = host.config.read_text()
    return text.count(f"ttl: {100 + round_number}") == edited(round_number).count("source:")


def signs_of_work(host: Sandbox) -> list[Callable[[int], bool]]:
    """Give what tells, from outside, how far the watch of a process is with what was saved."""
    folder = host.models / ".reconciler"
    before = [read(path) for path in (host.lock, host.config, folder / "ledger.json")]
    asked = len(host.hub.requests)
    return [
        lambda pid: f'"pid": {pid},'.encode() in read(folder / "watch" / "watch.lock"),
        lambda _: len(host.hub.requests) > asked,
        lambda _: read(host.lock) != before[0],
        lambda _: any((folder / "partial").glob("*")),
        lambda _: read(host.config) != before[1],
        lambda _: read(folder / "ledger.json") != before[2],
    ]


def read(path: Path) -> bytes:
    """Give a file's bytes; none where it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def kill_amid(host: Sandbox, kind: int, late_seconds: float) -> bool:
    """Start a watch and kill it right after one of the signs that it is at work; whether it came.

    The first sign, that it is on, always comes. What an earlier one has done already gives no sign
    any more: then it is killed at rest.
    """
    is_on, *later = signs_of_work(host)
    chosen = kind % (len(later) + 1)
    process = host.start("--watch", "--quiet")
    try:
        came = comes(lambda: is_on(process.pid), PATIENCE_SECONDS)
        if chosen:
            came = comes(lambda: later[chosen - 1](process.pid), QUIET_SECONDS)
        time.sleep(late_seconds)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    return came


def comes(sign: Callable[[], bool], seconds: float) -> bool:
    """Look for a sign, as often as can be; whether it came within so many seconds."""
    until = time.monotonic() + seconds
    while not sign() and time.monotonic() < until:
        time.sleep(0.001)
    return sign()


def come_to_rest(host: Sandbox, round_number: int) -> None:
    """Run a watch until what is asked for is applied, and end it."""
    process = host.start("--watch", "--quiet", "--json")
    try:
        # One line for each pass: with the first, what was cut short is finished and all is applied.
        assert process.stdout is not None
        line = process.stdout.readline()
        assert '"outcome"' in line, process.communicate()
        assert is_applied(host, round_number), line
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0


def test_killed_at_any_instant_it_comes_to_the_same_end(tmp_path: Path, mount_table: Path) -> None:
    """Killed amid one edit after the other, each time at another step, and started again: the same
    files, config, lock and ledger as where each edit was applied in peace, no lock that stands in
    the way, and nothing left over.
    """
    assert mount_table.exists()
    chance = random.Random(11)  # noqa: S311 - moments, not secrets
    rounds = max(KILLS // 3, 2)
    kind = came = 0
    with running_hub() as hub:
        calm, shaken = new_host(tmp_path / "calm", hub), new_host(tmp_path / "shaken", hub)
        for number in range(rounds):
            for host in (calm, shaken):
                host.write_manifest(edited(number), policy="{max_prune: 100%}")
            calm.apply()
            for _ in range(KILLS // rounds):
                came += kill_amid(shaken, kind, chance.uniform(0, 0.03))
                kind += 1
            come_to_rest(shaken, number)
            assert state(shaken) == state(calm), f"round {number}"
        assert shaken.plan()["actions"] == []
        assert left_over(shaken) == left_over(calm)
    assert came


def left_over(host: Sandbox) -> list[str]:
    """Give what lies in our folder and beside config and manifest, of which nothing is said."""
    known = {"watch", "pause.json", "watch.lock", "trash", "partial"}
    folders = (host.models / ".reconciler", host.config.parent, host.manifest.parent)
    names = {path.name for folder in folders for path in folder.iterdir()}
    return sorted(name for name in names - known if ".bak." not in name)
