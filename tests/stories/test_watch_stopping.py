"""A watch that is told to stop is gone within ten seconds, whatever it is at."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.hub_faults import Fault, Slow, Stall
from reconciler.engine.shield import GRACE_SECONDS
from tests.support.asking import LLAMA_SERVER, asking
from tests.support.hub import running_hub
from tests.support.llama_swap_process import local_llama_swap
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import BY_FORCE, wait_for_line, watching

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
# More than any end takes, however busy the machine is.
PATIENCE_SECONDS = 60.0
HANGS = shlex.join([sys.executable, "-c", "import time; time.sleep(60)"])
EVERYTHING = Fault(effect=Stall(after_bytes=None), times=None)


@pytest.fixture
def stocked(host: Sandbox) -> Sandbox:
    """A host that wants two models, and has none."""
    host.add_repo("acme/chat-GGUF", size=400_000)
    host.add_repo("acme/code-GGUF", seed=2, size=400_000)
    host.write_manifest(CHAT + CODE)
    return host


@contextmanager
def started(host: Sandbox, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a watch that the test ends; what is left of it is killed."""
    process = host.start("--watch", *words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
    """Tell it to stop, which must need no force; gives what it said at last."""
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert BY_FORCE not in said
    assert "Traceback" not in said
    return said


def runs(host: Sandbox) -> list[dict[str, Any]]:
    """Give what is recorded of past runs, the newest first."""
    return list(host.run("history", "--json").json["runs"])


def downloads(host: Sandbox) -> list[str]:
    """Give the files that the hub is sending, or has sent."""
    asked = [item for item in host.hub.requests if item.origin == "cdn"]
    return sorted({item.path for item in asked if item.sent_bytes})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_rests(stocked: Sandbox, number: signal.Signals) -> None:
    """At once, with code 0, and by either signal."""
    with started(stocked) as process:
        wait_for_line(process.stdout, "Applied")
        assert "stopped" in stopped(process, number)


def test_stopped_while_the_hub_hangs(stocked: Sandbox) -> None:
    """While it plans, and whoever it asks does not answer."""
    stocked.hub.faults.add(EVERYTHING)
    with started(stocked) as process:
        wait_for(lambda: bool(stocked.hub.requests), "a question")
        stopped(process)


@pytest.mark.parametrize("effect", [Slow(bytes_per_second=20_000), Stall(after_bytes=10_000)])
def test_stopped_amid_downloads(stocked: Sandbox, effect: Slow | Stall) -> None:
    """Several that are slow, or whose server has gone silent: what arrived is kept."""
    stocked.hub.faults.add(Fault(effect=effect, path="*.gguf", origin="cdn", times=None))
    with started(stocked) as process:
        wait_for(lambda: len(downloads(stocked)) >= 2, "two downloads")
        stopped(process)
    assert runs(stocked)[0]["outcome"] == "interrupted"
    assert stocked.model_files() == {}


def test_stopped_while_it_reads_a_large_file(stocked: Sandbox) -> None:
    """A file of many gigabytes is not read to its end first."""
    large = stocked.home / "large-Q4_K_M.gguf"
    with large.open("wb") as file:
        file.truncate(2**36)
    stocked.write_manifest(f"  large:\n    source: file://{large}\n")
    with started(stocked) as process:
        wait_for_line(process.stderr, "hashing")
        stopped(process)


def test_stopped_while_another_run_is_at_work(stocked: Sandbox) -> None:
    """It waits for the other's lock, has said so at once, and need not wait for it to stop."""
    stocked.apply()
    with held_run_lock(stocked) as holder, started(stocked) as process:
        line = wait_for_line(process.stderr, "waiting for process")
        assert f"process {holder} on " in line
        assert "(--lock-timeout 30 s)" in line
        stopped(process)


def test_stopped_while_requests_are_waited_for(stocked: Sandbox) -> None:
    """Of the five minutes that the drain may take nothing is left to wait for."""
    text = f'models:\n  "busy":\n    cmd: {LLAMA_SERVER} --port ${{PORT}}\n'
    stocked.config.write_text(text)
    with local_llama_swap(stocked.config) as url, asking(url, "busy") as answer:
        stocked.settings["RECONCILER_LLAMA_SWAP_URL"] = url
        with started(stocked) as process:
            wait_for_line(process.stderr, "in flight to end")
            stopped(process)
        assert stocked.config.read_text() == text
        assert not answer.ended.is_set()


def test_stopped_amid_a_rollout_it_is_given_up_in_time(tmp_path: Path, mount_table: Path) -> None:
    """From the first change to the gate a signal waits, but not for ever: while the gate waits for
    a model that is never listed, and while a command that reloads hangs. The next start takes it
    up where it stood.
    """
    assert mount_table.exists()
    with ExitStack() as stack:
        processes = []
        for number, command in enumerate(["true", HANGS]):
            host = Sandbox(home=tmp_path / str(number), hub=stack.enter_context(running_hub()))
            host.add_repo("acme/chat-GGUF")
            host.write_manifest(CHAT)
            other = host.home / "other.yaml"
            other.write_text("models: {}\n")
            host.settings |= {
                "RECONCILER_RUNTIME": "command",
                "RECONCILER_RELOAD_COMMAND": command,
                "RECONCILER_LLAMA_SWAP_URL": stack.enter_context(local_llama_swap(other)),
            }
            processes.append((host, stack.enter_context(started(host))))
        for host, _ in processes:
            wait_for(lambda host=host: "chat" in host.config.read_text(), "the new config")  # type: ignore[misc]
        began = time.monotonic()
        for _, process in processes:
            process.send_signal(signal.SIGTERM)
        for host, process in processes:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
            assert time.monotonic() - began > 5, err
            assert BY_FORCE not in err
            assert process.returncode == 0, err
            assert runs(host)[0]["outcome"] == "interrupted", out
            host.settings["RECONCILER_RUNTIME"] = "none"
            assert "which was cut short" in host.apply().err
            assert host.plan()["actions"] == []


def test_second_signal_is_not_waited_for(tmp_path: Path, mount_table: Path) -> None:
    """Whoever asks twice amid a rollout gets the end at once."""
    assert mount_table.exists()
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest(CHAT)
        host.settings |= {
            "RECONCILER_RUNTIME": "command",
            "RECONCILER_RELOAD_COMMAND": HANGS,
            "RECONCILER_LLAMA_SWAP_URL": "http://127.0.0.1:9",
        }
        with started(host) as process:
            wait_for(lambda: "chat" in host.config.read_text(), "the new config")
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
            assert time.monotonic() - began < GRACE_SECONDS
        assert process.returncode == 0, said
        assert "Traceback" not in said


def test_second_watch_is_refused_at_once(stocked: Sandbox) -> None:
    """It is told who keeps the models folder; another one's settings do not let it in; and once the
    first one has ended, however it did, it comes in.
    """
    with watching(stocked) as first:
        wait_for_line(first.stdout, "Applied")
        first.send_signal(signal.SIGHUP)
        wait_for_line(first.stderr, "read again")
        with started(stocked, "--lock-timeout", "600") as second:
            _, said = second.communicate(timeout=PATIENCE_SECONDS)
        assert second.returncode == 1
        assert f"another watch keeps this models folder: process {first.pid} on " in said
        assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said)
    with started(stocked) as third:
        wait_for_line(third.stderr, "watching")
        third.kill()
        third.wait()
    with watching(stocked):
        pass


def test_others_look_on_while_it_downloads(stocked: Sandbox) -> None:
    """`--plan`, `status`, `list` and `history` need not wait for a download that is under way, and
    change nothing of it.
    """
    slow = Slow(bytes_per_second=1000)
    stocked.hub.faults.add(Fault(effect=slow, path="*.gguf", origin="cdn", times=None))
    with started(stocked) as process:
        wait_for(lambda: bool(downloads(stocked)), "a download")
        assert stocked.plan()["summary"]["added"] == ["chat", "code"]
        assert stocked.run("status").code == 0
        assert stocked.run("list").code == 0
        assert stocked.run("history").code == 0
        assert stocked.model_files() == {}
        assert process.poll() is None
        stocked.hub.faults.clear()
        stopped(process)


@contextmanager
def held_run_lock(host: Sandbox) -> Iterator[int]:
    """Hold the lock as a run at work does; gives the process that does."""
    code = (
        "import fcntl, json, os, sys; file = open(sys.argv[1], 'r+');"
        "fcntl.flock(file, fcntl.LOCK_EX); file.truncate(0);"
        "json.dump({'pid': os.getpid(), 'host': 'here', 'started_at': 'now'}, file); file.flush();"
        "print('held', flush=True); sys.stdin.read()"
    )
    lock = host.models / ".reconciler" / "run.lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
