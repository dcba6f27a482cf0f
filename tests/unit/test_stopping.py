"""Whoever hangs where no signal reaches him is ended in time all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Lock

import pytest

from reconciler.cli.watching.stopping import ending_in_time

PROJECT = Path(__file__).parents[2]
# SIGTERM and SIGINT are kept from the main thread, as a call into the system that never comes back
# would: only another thread hears them.
HANGING = """
import signal, sys, time
from reconciler.cli.watching.stopping import ending_in_time
def deaf(number, frame):
    while True:
        time.sleep(60)
signal.signal(signal.SIGTERM, deaf)
signal.signal(signal.SIGINT, deaf)
with ending_in_time(as_json=sys.argv[1] == "json", longest_seconds=float(sys.argv[2])):
    print("hangs", flush=True)
    time.sleep(60)
"""


def hanging(log_format: str, longest_seconds: float) -> subprocess.Popen[bytes]:
    """Start a process that hears no signal in its main thread."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, log_format, str(longest_seconds)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"hangs\n"
    return process


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_process_that_hangs_is_ended_when_its_time_is_over(log_format: str) -> None:
    """Not before it, and with code 0: it was told to end. One line tells of it."""
    process = hanging(log_format, 0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=10)
    assert time.monotonic() - began >= 0.3
    assert process.returncode == 0
    line = json.loads(told)["message"] if log_format == "json" else told.decode()
    assert line.startswith("stopped without waiting for what hangs")


def test_second_signal_ends_at_once() -> None:
    """However long the first one would wait."""
    process = hanging("text", 60)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_end_comes_though_nobody_reads_the_line_that_tells_of_it() -> None:
    """The terminal, or what the log was piped to, has gone before."""
    process = hanging("text", 0.1)
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        process.communicate()


def test_hang_up_may_wait_for_what_the_main_thread_holds() -> None:
    """The wish to wake takes a lock, which the main thread may hold at the instant of the signal:
    heard there, it would wait for itself for ever.
    """
    guard, got_it, done = Lock(), [], Event()

    def on_hang_up() -> None:
        got_it.append(guard.acquire(timeout=5))
        done.set()

    with ending_in_time(as_json=False, on_hang_up=on_hang_up):
        with guard:
            os.kill(os.getpid(), signal.SIGHUP)
        assert done.wait(10)
    assert got_it == [True]


def test_other_signals_end_nothing_and_after_the_block_none_does() -> None:
    """SIGHUP is for others to hear; and once the block has ended the process is left alone."""
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGHUP, signal.SIGTERM)
    }
    try:
        with ending_in_time(as_json=False, longest_seconds=0):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_stop_in_the_definition_of_a_dataclass_ends_with_the_code_of_the_command() -> None:
    """CPython ends a process by SIGINT once a plain KeyboardInterrupt met a text that it executed,
    though it was caught: ours is none, so that who stops a watch gets its exit code.
    """
    script = (
        "import signal\n"
        "from reconciler.cli.command import _stop\n"
        "try:\n"
        "    exec('_stop(signal.SIGTERM, None)')\n"
        "except KeyboardInterrupt:\n"
        "    print('caught')\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (0, "caught\n")
