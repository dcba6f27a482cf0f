"""Requests in flight when a run wants to change something, and the hours in which it may not."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.patience import Patience
from reconciler.core.runs import Outcome
from reconciler.core.windows import OpenTimes, parse_windows
from tests.support.asking import LLAMA_SERVER, asking
from tests.support.fakes import FakeClock, FakeLlamaSwap, Heard
from tests.support.fuse import Fuse, run_killed, run_pass
from tests.support.llama_swap_process import local_llama_swap
from tests.support.sandbox import Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"


@pytest.fixture
def swap(host: Sandbox) -> FakeLlamaSwap:
    """llama-swap in a container of its own, and a model that is asked for."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT)
    return FakeLlamaSwap(config=host.config, models=host.models)


@contextmanager
def served(host: Sandbox, *, behave: str = "2026") -> Iterator[str]:
    """Have llama-swap serve a model `busy` beside what the manifest asks for; give its URL."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT)
    host.config.write_text(f'models:\n  "busy":\n    cmd: {LLAMA_SERVER} --port ${{PORT}}\n')
    with local_llama_swap(host.config, behave=behave) as url:
        host.settings["RECONCILER_LLAMA_SWAP_URL"] = url
        yield url


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Read the command's log until a line with `words` comes."""
    assert process.stderr is not None
    assert any(words in line for line in process.stderr), words


@pytest.mark.parametrize("behave", ["2025", "2026"])
def test_answer_under_way_ends_before_anything_changes(host: Sandbox, behave: str) -> None:
    """A run whose config may be noticed waits for the answer, and then is applied."""
    with served(host, behave=behave) as url, asking(url, "busy") as answer:
        before = host.config.read_bytes()
        with host.start("--yes") as process:
            wait_for_line(process, "waiting for 1 request in flight to end, for 300 s at most")
            assert host.config.read_bytes() == before
            answer.finish()
            assert process.wait(60) == 0
    assert answer.is_whole
    assert "chat" in host.config.read_text()


def test_past_the_deadline_the_run_goes_on(host: Sandbox) -> None:
    """With a short `--drain` it is applied while the answer is under way, and says what it cuts."""
    with served(host) as url, asking(url, "busy") as answer:
        result = host.apply("--drain", "1s")
        assert not answer.ended.is_set()
    assert "1 request did not end within 1 s, and will be cut" in result.err
    assert "chat" in host.config.read_text()


def test_waiting_on_outlasts_the_deadline(host: Sandbox) -> None:
    """With `--drain-then wait` the deadline cuts nothing."""
    with served(host) as url, asking(url, "busy") as answer:
        before = host.config.read_bytes()
        with host.start("--yes", "--drain", "0", "--drain-then", "wait") as process:
            wait_for_line(process, "waiting for 1 request in flight to end")
            assert host.config.read_bytes() == before
            answer.finish()
            assert process.wait(60) == 0
    assert answer.is_whole
    assert "chat" in host.config.read_text()


def test_interrupt_during_the_drain_leaves_all_as_it_was(host: Sandbox) -> None:
    """Ctrl-C while a run waits: exit 130, nothing that shows was changed, and the next run goes on
    with the bytes that are here.
    """
    with served(host) as url:
        before = host.config.read_bytes(), host.model_files()
        with asking(url, "busy") as answer:
            process = host.start("--yes", "--drain-then", "wait")
            with process:
                wait_for_line(process, "waiting for 1 request in flight")
                assert (host.config.read_bytes(), host.model_files()) == before
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 130
            assert not answer.ended.is_set()
        assert (host.config.read_bytes(), host.model_files()) == before
        host.hub.forget_requests()
        host.apply()
        assert [item for item in host.hub.requests if item.origin == "cdn"] == []
        assert host.run("--plan", "--detailed-exitcode").code == 0


def test_run_that_changes_nothing_waits_for_nobody(host: Sandbox) -> None:
    """A file that is put back, and then nothing to do: no request in flight is asked for."""
    with served(host) as url:
        host.apply()
        (host.models / CHAT_PATH).unlink()
        with asking(url, "busy") as answer:
            for _ in range(2):
                assert "in flight" not in host.apply().err
                assert (host.models / CHAT_PATH).exists()
            assert not answer.ended.is_set()


def later(hours: float) -> str:
    """Give the time on a clock in UTC that many hours from now."""
    return f"{datetime.now(UTC) + timedelta(hours=hours):%H:%M}"


def test_closed_restart_window_lets_bytes_come_and_nothing_more(host: Sandbox) -> None:
    """The plan says when it opens; a run fetches, exits 4 with the models that wait, and leaves
    config and models as they are. With the window open, or off, all of it is applied.
    """
    with served(host):
        before = host.config.read_bytes()
        opens = later(2)
        host.settings |= {"TZ": "UTC", "RECONCILER_RESTART_WINDOW": f"{opens}-{later(3)}"}
        assert any(f"window opens at {opens}" in line for line in host.plan()["warnings"])
        result = host.run("--yes", "--json")
        assert (result.code, result.json["waiting"], result.json["added"]) == (4, ["chat"], [])
        assert result.json["fetched_bytes"] > 0
        assert (host.config.read_bytes(), host.model_files()) == (before, {})
        host.hub.forget_requests()
        host.apply("--restart-window", f"{later(-1)}-{later(1)}")
        assert [item for item in host.hub.requests if item.origin == "cdn"] == []
        assert "chat" in host.config.read_text()
        host.write_manifest(CHAT + CODE)
        host.apply("--restart-window", "off")
        assert "code" in host.config.read_text()


def test_closed_restart_window_does_not_hold_what_disturbs_nobody(host: Sandbox) -> None:
    """Where llama-swap would not notice, there is nothing to wait for."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.settings |= {"TZ": "UTC", "RECONCILER_RESTART_WINDOW": f"{later(2)}-{later(3)}"}
    host.apply()
    assert "chat" in host.config.read_text()


def test_pass_outside_the_restart_window_says_when_to_come_back(
    host: Sandbox, swap: FakeLlamaSwap
) -> None:
    """What the watch loop goes by: the models that only the window holds back, and the seconds
    until it opens; whichever window opens first, where there are two.
    """
    one = OpenTimes(windows=parse_windows("01:00-07:00"))
    two = OpenTimes(windows=parse_windows("02:00-07:00"))
    done = run_pass(host, swap, clock=FakeClock(), restart_times=one)
    assert (done.report.outcome, done.report.waiting) == (Outcome.PARTIAL, ("chat",))
    assert done.prepared.held == {"chat"}
    assert done.prepared.opens_in_seconds == pytest.approx(3600, abs=1)
    host.write_manifest(CHAT + CODE)
    both = run_pass(host, swap, clock=FakeClock(), restart_times=one, download_times=two)
    assert both.prepared.held == {"chat", "code"}
    assert both.prepared.opens_in_seconds == pytest.approx(3600, abs=1)


def test_rollout_that_was_cut_short_is_drained_for_before_it_is_finished(
    host: Sandbox, swap: FakeLlamaSwap
) -> None:
    """Killed right after its config was written: the next run waits for the requests that have come
    since, however late it is, before it tells llama-swap.
    """
    run_pass(host, swap)
    host.write_manifest(CHAT + CODE)
    assert run_killed(host, Fuse(3, only="save_rollout", after=True), swap)
    swap.requests = {"busy": 1}
    heard, closed = Heard(), OpenTimes(windows=parse_windows("12:00-13:00"))
    clock = FakeClock()
    patience = Patience(seconds=30)
    done = run_pass(
        host, swap, clock=clock, reporter=heard, patience=patience, restart_times=closed
    )
    assert done.report.outcome is Outcome.IN_SYNC
    assert heard.warnings == ["1 request did not end within 30 s, and will be cut"]
    assert "code" in swap.listed


@pytest.mark.parametrize(
    ("option", "value"), [("--drain", "soon"), ("--drain-then", "panic"), ("--restart-window", "3")]
)
def test_wrong_value_is_named(host: Sandbox, option: str, value: str) -> None:
    """What cannot be read is a usage error that names the option."""
    result = host.run("--plan", option, value)
    assert (result.code, option in result.err) == (2, True)
