"""The runtime `command`: what its commands are given, how long, and what their ends mean."""

from __future__ import annotations

import shlex
import sys
import time
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.adapters.runtime.command import CommandRuntime, Commands
from reconciler.cli.settings import load_settings
from reconciler.cli.wiring import open_host
from reconciler.core.observed import RuntimeStatus
from reconciler.core.ports.serving import Runtime
from reconciler.errors import RuntimeFailed, RuntimeUnavailable, UsageError
from tests.support.fakes import Heard
from tests.support.waiting import wait_for

ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/home/somebody", "LC_ALL": "C.UTF-8"}


def runtime(
    *,
    reload: str = "",
    restart: str = "",
    health: str = "",
    log: str = "",
    environ: dict[str, str] | None = None,
    seconds: float = 20.0,
) -> Runtime:
    """Give a runtime of these commands."""
    commands = Commands(
        reload=tuple(shlex.split(reload)),
        restart=tuple(shlex.split(restart)),
        health=tuple(shlex.split(health)),
        log=tuple(shlex.split(log)),
    )
    return CommandRuntime(commands, environ=environ or ENVIRON, timeout_seconds=seconds)


def python(program: str) -> str:
    """Give the command that runs a program in Python."""
    return shlex.join([sys.executable, "-c", program])


def test_what_can_be_done_is_what_there_are_commands_for() -> None:
    """The gentler way comes first, and a way without a command is none."""
    assert runtime(reload="true", restart="true").observe().reloads_by == ("signal", "restart")
    assert runtime(restart="true").observe().reloads_by == ("restart",)
    with pytest.raises(RuntimeFailed) as caught:
        runtime(restart="true").hang_up()
    assert "RECONCILER_RELOAD_COMMAND" in caught.value.hint


def test_it_sees_this_hosts_files_and_is_no_container() -> None:
    """Paths need no mapping, and messages speak of no container."""
    state = runtime(restart="true").observe()
    assert (state.kind, state.is_container, state.called) == ("command", False, "llama-swap")
    assert runtime(restart="true").read_inside("/etc/hostname") is None
    assert runtime(restart="true").sights(["/etc/hostname"]) == {}


def test_health_command_tells_whether_it_runs() -> None:
    """0 is running, anything else is not; without a command it is taken to run."""
    assert runtime(restart="true", health="true").observe().status is RuntimeStatus.RUNNING
    assert runtime(restart="true", health="false").observe().status is RuntimeStatus.STOPPED
    assert runtime(restart="true").observe().status is RuntimeStatus.RUNNING


def test_health_command_that_cannot_be_run_is_no_answer() -> None:
    """A program that is not there says nothing of llama-swap, so nothing is concluded from it."""
    with pytest.raises(RuntimeUnavailable) as caught:
        runtime(restart="true", health="/no/such/program").observe()
    assert "No such file" in caught.value.message
    assert "RECONCILER_HEALTH_COMMAND" in caught.value.hint


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    """What a shell would act on is an argument like any other."""
    made = tmp_path / "made"
    log = runtime(restart="true", log=f"echo '$HOME' '; touch {made}' '*'")
    assert log.last_log_lines(5) == (f"$HOME ; touch {made} *",)
    assert not made.exists()


def test_command_is_given_no_secret_of_ours() -> None:
    """Tokens and settings stay with us; what a program needs to work is passed on."""
    secrets = {"HF_TOKEN": "hf_secret", "RECONCILER_LLAMA_SWAP_API_KEY": "k", "AWS_SECRET": "s"}
    passed = runtime(restart="true", log="env", environ=ENVIRON | secrets).last_log_lines(50)
    assert dict(line.split("=", 1) for line in passed) == ENVIRON


def test_failing_command_is_told_with_its_last_line() -> None:
    """The status, and what it said last without signs that a terminal would obey."""
    program = "import sys; print('before'); print('\\x1b[31mUnit not found.'); sys.exit(5)"
    with pytest.raises(RuntimeFailed) as caught:
        runtime(restart=python(program)).restart()
    assert caught.value.message == "the restart command ended with 5: [31mUnit not found."
    with pytest.raises(RuntimeFailed, match="was ended by signal 9"):
        runtime(reload=python("import os; os.kill(os.getpid(), 9)")).hang_up()


def test_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """Its time is bounded, and nothing of it is left behind."""
    pids = tmp_path / "pids"
    program = f"sleep 600 & echo $$ $! >{shlex.quote(str(pids))}; wait"
    began = time.monotonic()
    with pytest.raises(RuntimeFailed, match=r"did not end within 1\.5 s"):
        runtime(restart=f"sh -c {shlex.quote(program)}", seconds=1.5).restart()
    assert time.monotonic() - began < 60
    for pid in pids.read_text().split():
        status = Path(f"/proc/{pid}/status")
        wait_for(lambda: not _lives(status), f"the end of {pid}")  # noqa: B023 - awaited here


def test_what_a_command_leaves_running_does_not_hold_us_up(tmp_path: Path) -> None:
    """A restart that puts a server in the background ends with the command, not the server."""
    ends = tmp_path / "ends"
    server = f"import os, time\nwhile not os.path.exists({str(ends)!r}): time.sleep(0.05)"
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {server!r}])"
    began = time.monotonic()
    runtime(restart=python(program), seconds=60).restart()
    assert time.monotonic() - began < 30
    ends.touch()


def test_log_is_asked_for_since_a_moment() -> None:
    """`{since}` becomes the seconds since 1970; without it nobody can tell what is new."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    asked = runtime(restart="true", log="echo --since @{since}").log_since(moment)
    assert asked == ("--since @1767225600",)
    assert runtime(restart="true", log="echo old").log_since(moment) == ()


def test_last_lines_are_the_newest_and_never_an_error() -> None:
    """As many as are asked for; a log command that fails gives none."""
    assert runtime(restart="true", log="seq 1 100000").last_log_lines(2) == ("99999", "100000")
    assert runtime(restart="true", log="seq 1 3").last_log_lines(0) == ()
    assert runtime(restart="true", log="false").last_log_lines(5) == ()
    assert runtime(restart="true", log="/no/such/program").last_log_lines(5) == ()
    assert runtime(restart="true").last_log_lines(5) == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"RECONCILER_RUNTIME": "command"}, "no command is named"),
        (
            {"RECONCILER_RUNTIME": "command", "RECONCILER_RESTART_COMMAND": "true"},
            "where llama-swap answers",
        ),
        ({"RECONCILER_RESTART_COMMAND": "true"}, "and no runtime"),
        ({"RECONCILER_RESTART_COMMAND": "say 'hello"}, "is no command: no closing quotation"),
        ({"RECONCILER_HEALTH_COMMAND": "''"}, "names no program"),
        ({"RECONCILER_COMMAND_TIMEOUT": "0"}, "leaves no time"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    """A runtime without its commands or its URL, and commands that nothing would use."""
    monkeypatch.chdir(tmp_path)
    options = Namespace()
    with pytest.raises(UsageError, match=told):
        open_host(
            load_settings(options, {"HOME": str(tmp_path), **given}), Heard(), for_writing=False
        ).__enter__()


def _lives(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
