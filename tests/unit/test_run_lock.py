"""One run at a time, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.adapters.store.run_lock import RunLock, WatchLock
from reconciler.errors import LockHeld
from tests.support.fakes import FakeClock, Heard
from tests.support.small_disk import fill, needs_root, small_disk

PROJECT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from reconciler.adapters.store.run_lock import RunLock
from reconciler.adapters.system_clock import SystemClock
from reconciler.cli.console import Console
console = Console(quiet=True, log_format="text", no_color=True)
with RunLock(Path(sys.argv[1]), timeout_seconds=0, clock=SystemClock(), reporter=console):
    print("held", flush=True)
    sys.stdin.read()
"""


def lock(
    folder: Path, clock: FakeClock, *, timeout: float = 0.0, heard: Heard | None = None
) -> RunLock:
    """Give the lock of a state folder."""
    return RunLock(folder, timeout_seconds=timeout, clock=clock, reporter=heard or Heard())


def held_elsewhere(folder: Path) -> subprocess.Popen[bytes]:
    """Let another process hold the lock until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_holder_is_named_while_it_holds_and_the_lock_ends_with_it(tmp_path: Path) -> None:
    """Another process waits its time and is told who is at work; when that process is killed
    outright the lock is free at once, whatever the file still says.
    """
    clock = FakeClock()
    process = held_elsewhere(tmp_path)
    try:
        with pytest.raises(LockHeld, match=f"process {process.pid} on "):
            lock(tmp_path, clock, timeout=30).__enter__()
        assert 30 <= clock.seconds < 31
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == process.pid
    with lock(tmp_path, clock):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


def test_whoever_must_wait_is_told_at_once_and_once(tmp_path: Path) -> None:
    """Before the first wait, not after the last: who holds it, since when, and how long to wait."""
    heard = Heard()

    class Looking(FakeClock):
        def sleep(self, seconds: float) -> None:
            assert len(heard.said) == 1
            super().sleep(seconds)

    with lock(tmp_path, FakeClock()):
        with pytest.raises(LockHeld):
            lock(tmp_path, Looking(), timeout=30, heard=heard).__enter__()
        assert heard.said[0].startswith(f"waiting for process {os.getpid()} on ")
        assert heard.said[0].endswith("(--lock-timeout 30 s)")
        with pytest.raises(LockHeld):
            lock(tmp_path, FakeClock(), heard=heard).__enter__()
    assert len(heard.said) == 1
    with lock(tmp_path, FakeClock(), timeout=30, heard=heard):
        assert len(heard.said) == 1


def test_watch_and_run_do_not_hinder_each_other(tmp_path: Path) -> None:
    """A watch keeps its own lock beside that of the runs; a second watch is told who has it."""

    def watch() -> WatchLock:
        return WatchLock(tmp_path, timeout_seconds=0, clock=FakeClock(), reporter=Heard())

    refused = pytest.raises(LockHeld, match=f"another watch .*: process {os.getpid()} on ")
    with watch(), lock(tmp_path, FakeClock()), refused:
        watch().__enter__()
    with watch():
        pass


def test_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    """Leaving the block lets the next one in."""
    clock = FakeClock()
    for _ in range(2):
        with lock(tmp_path, clock), pytest.raises(LockHeld):
            lock(tmp_path, clock).__enter__()


def test_time_that_nobody_needs_is_not_waited(tmp_path: Path) -> None:
    """A free lock is taken at once."""
    clock = FakeClock()
    with lock(tmp_path, clock, timeout=30):
        assert clock.seconds == 0


def test_file_that_was_deleted_while_we_waited_is_not_what_we_lock(tmp_path: Path) -> None:
    """Somebody deletes `run.lock` to be rid of it: whoever waited locks the file that bears the
    name now, so that the next one cannot hold another lock beside it.
    """
    path = tmp_path / "run.lock"

    class Deleting(FakeClock):
        def sleep(self, seconds: float) -> None:
            path.unlink(missing_ok=True)
            super().sleep(seconds)

    process = held_elsewhere(tmp_path)
    try:
        with (
            lock(tmp_path, Deleting(), timeout=1),
            pytest.raises(LockHeld, match=f"process {os.getpid()} on "),
        ):
            lock(tmp_path, FakeClock()).__enter__()
    finally:
        process.communicate()


def test_file_of_nonsense_is_no_hindrance(tmp_path: Path) -> None:
    """What an older version or an editor left in the file is overwritten; while somebody holds it
    without a name, that is said.
    """
    path = tmp_path / "run.lock"
    path.write_text("[1, 2")
    with lock(tmp_path, FakeClock()):
        path.write_text("[1, 2")
        with pytest.raises(LockHeld, match="has not said its name"):
            lock(tmp_path, FakeClock()).__enter__()


@needs_root
def test_full_disk_is_no_reason_not_to_run(tmp_path: Path) -> None:
    """The lock itself needs no room, and a run may be what frees some."""
    with small_disk(tmp_path / "tiny", size="64k") as disk:
        with lock(disk, FakeClock()):
            pass
        (disk / "run.lock").write_bytes(b"")
        fill(disk)
        with lock(disk, FakeClock()), pytest.raises(LockHeld):
            lock(disk, FakeClock()).__enter__()


@needs_root
def test_root_leaves_a_lock_that_its_user_can_take(tmp_path: Path) -> None:
    """After a run as root the owner of the folder can lock it too."""
    os.chown(tmp_path, 12345, 23456)
    with lock(tmp_path, FakeClock()):
        found = (tmp_path / "run.lock").stat()
    assert (found.st_uid, found.st_gid) == (12345, 23456)


def test_interrupt_while_waiting_leaves_nothing_open(tmp_path: Path) -> None:
    """Ctrl-C while another run is waited for closes the file, so that nothing of us stays."""

    class Impatient(FakeClock):
        def sleep(self, seconds: float) -> None:  # noqa: ARG002 - the port's
            raise KeyboardInterrupt

    clock = FakeClock()
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a folder of the kernel's
    with lock(tmp_path, clock), pytest.raises(KeyboardInterrupt):
        lock(tmp_path, Impatient(), timeout=5).__enter__()
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208
