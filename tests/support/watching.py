"""Run `reconcile --watch` as a real process, and wait for what it says and does."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import IO, Any

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

# What a watch says where it is ended by force, a second before the ten that are promised are over,
# or by a second signal.
BY_FORCE = "stopped without waiting for what hangs"


@contextmanager
def watching(host: Sandbox, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `reconcile --watch` until the block ends; it must then stop by itself on SIGTERM."""
    process = host.start("--watch", *arguments)
    try:
        wait_for_line(process.stderr, "watching")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
    assert process.returncode == 0, f"{process.returncode}\n{out}\n{err}"
    assert BY_FORCE not in err
    assert "Traceback" not in err


def wait_for_line(stream: IO[str] | None, word: str) -> str:
    """Read lines until one holds `word`; gives it."""
    assert stream is not None
    for line in stream:
        if word in line:
            return line
    raise AssertionError(f"it ended before it said {word!r}")


def serves(host: Sandbox, words: str) -> None:
    """Wait until the config holds `words`."""
    wait_for(lambda: words in host.config.read_text(), f"{words!r} in the config")


class Log:
    """What a watch has logged so far, each line as the JSON object that it is."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._reader = Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Read what is left, once the process has ended."""
        self._reader.join()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the lines of one kind of event."""
        return [line for line in list(self.lines) if line.get("event") == name]

    def reasons(self) -> list[str]:
        """Say why each pass was run."""
        return [line["reason"] for line in self.events("pass_begins")]

    def is_at_rest(self) -> bool:
        """Whether no pass is under way."""
        events = [line["event"] for line in list(self.lines) if "event" in line]
        return events[-1:] == ["rests"]

    def warnings(self) -> list[str]:
        """Give what a person was warned of."""
        return [line["message"] for line in list(self.lines) if line["level"] == "warning"]

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(json.loads(line))


@contextmanager
def logged(host: Sandbox, *arguments: str, within: Sequence[str] = ()) -> Iterator[Log]:
    """Run `reconcile --watch` until the block ends, its log read all the while; it must then stop
    by itself on SIGTERM. Give the log, once the watch is on. `within` is a command that runs it.
    """
    process = host.start("--watch", "--log-format", "json", *arguments, within=within)
    assert process.stderr is not None
    assert process.stdout is not None
    log = Log(process.stderr)
    # Nobody looks at its stdout, and it must not wait for that.
    unread = Thread(target=process.stdout.read, daemon=True)
    unread.start()
    try:
        wait_for(lambda: any("watching" in line["message"] for line in list(log.lines)), "a watch")
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        finally:
            process.kill()
            process.wait()
            unread.join()
            log.close()
            process.stdout.close()
            process.stderr.close()
    assert code == 0, log.lines
