"""A watch outlives what its log and its output are written to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.small_disk import fill, needs_root, small_disk
from tests.support.terminal import at_terminal
from tests.support.waiting import wait_for
from tests.support.watching import serves, wait_for_line

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
WRONG = "  chat:\n    sauce: acme/chat-GGUF:Q4_K_M\n"
TOLD = "of the log could not be written: No space left on device"


@pytest.fixture
def stocked(host: Sandbox) -> Sandbox:
    """A host that wants a model."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT)
    return host


@contextmanager
def living(
    host: Sandbox, *words: str, within: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a watch until the block ends; it must still run then, and end well when told."""
    process = host.start("--watch", *words, within=within)
    try:
        yield process
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def changed(host: Sandbox, ttl: int) -> None:
    """Change the manifest, and wait until that is served."""
    host.write_manifest(CHAT + f"    serve: {{ttl: {ttl}}}\n")
    serves(host, f"ttl: {ttl}")


@needs_root
@pytest.mark.parametrize(("log_format", "last"), [("text", "Full sync"), ("json", '"rests"')])
def test_full_disk_under_the_log(
    stocked: Sandbox, tmp_path: Path, log_format: str, last: str
) -> None:
    """What is told meanwhile is lost and what is wanted is applied; with room again the log goes on
    and says how much is missing.
    """
    with small_disk(tmp_path / "small", size="64k") as small:
        log = small / "log"
        into = ["sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log)]
        with living(stocked, "--log-format", log_format, within=into):
            wait_for(lambda: log.exists() and last in log.read_text(), "the end of a pass")
            filler = fill(small)
            # What it has begun of its last page.
            with log.open("ab", buffering=0) as room:
                room.write(bytes([ord("\n")]) * 4096)
            size_bytes = log.stat().st_size
            stocked.write_manifest(CHAT + CODE)
            serves(stocked, "code-Q4_K_M")
            changed(stocked, 1)
            assert log.stat().st_size == size_bytes
            filler.unlink()
            stocked.write_manifest(WRONG)
            wait_for(lambda: TOLD in log.read_text(), "the line that tells of it")
            changed(stocked, 2)
            lines = [line for line in log.read_text().splitlines() if line]
    told = next(line for line in lines if TOLD in line)
    if log_format == "json":
        assert json.loads(told)["level"] == "warning"
        assert all(json.loads(line) for line in lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [[], ["--json"], ["--log-format", "json"]], ids=" ".join)
def test_log_that_never_takes_a_byte(stocked: Sandbox, words: Sequence[str]) -> None:
    """From the first line on: what is wanted is served all the same."""
    into = ["sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh"]
    with living(stocked, *words, within=into):
        serves(stocked, "chat")
        changed(stocked, 5)


def test_readers_that_have_gone(stocked: Sandbox) -> None:
    """Whoever read the log and the output may leave, and it goes on for the others."""
    with living(stocked) as process:
        wait_for_line(process.stderr, "watching")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        changed(stocked, 5)
        changed(stocked, 6)


def test_terminal_that_has_gone(stocked: Sandbox) -> None:
    """A watch that was started by hand ends when its terminal does, and the next run goes on."""
    with at_terminal(stocked, "--watch") as terminal:
        terminal.wait_for("watching")
        serves(stocked, "chat-Q4_K_M")
        nowhere = os.open(os.devnull, os.O_RDWR)
        # Its last end goes, and the system says so by SIGHUP.
        os.dup2(nowhere, terminal.handle)
        os.close(nowhere)
        terminal.process.wait(30)
    stocked.write_manifest(CHAT + CODE)
    assert stocked.run("--yes").code == 0
    serves(stocked, "code-Q4_K_M")
