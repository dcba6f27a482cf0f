"""A watch under systemd: what it tells, when it counts as alive, and the units that run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.adapters.systemd import ServiceManager
from reconciler.cli.console import Console
from reconciler.cli.watching.pulse import Pulse
from reconciler.cli.watching.service import WatchService
from reconciler.core.watching import Pause, Reason
from reconciler.errors import Unreachable
from tests.support.service_manager import Manager, abstract_name, listening
from tests.support.waiting import wait_for

PROJECT = Path(__file__).parents[2]
UNITS = sorted((PROJECT / "systemd").iterdir())
PROGRAM = "/opt/reconciler/bin/reconcile"
# Tenths of what `systemd-analyze security` counts.
MOST_EXPOSED = 20


class Clock:
    """Seconds that stand still until they are set."""

    seconds = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.seconds


def test_a_manager_is_told_at_its_socket(tmp_path: Path) -> None:
    """Each fact is one datagram of NAME=VALUE lines, whichever kind of name the socket has."""
    for manager in (Manager(str(tmp_path / "notify")), Manager(abstract_name())):
        with manager:
            told = ServiceManager({"NOTIFY_SOCKET": manager.named})
            told.ready()
            told.status("two\nlines")
            told.stopping()
            heard = [manager.hear() for _ in range(3)]
        assert heard == [{"READY": "1"}, {"STATUS": "two lines"}, {"STOPPING": "1"}]


def test_nobody_to_tell_is_no_trouble(tmp_path: Path) -> None:
    """Without a socket, with one that is gone, or one that nobody empties, nothing is raised and
    nothing waits.
    """
    for named in ("", "relative", "vsock:2:1", str(tmp_path / "gone")):
        ServiceManager({"NOTIFY_SOCKET": named}).ready()
    with listening(tmp_path) as manager:
        told = ServiceManager({"NOTIFY_SOCKET": manager.named})
        for _ in range(2000):
            told.alive()


def test_a_watchdog_is_ours_only_if_it_says_so(tmp_path: Path) -> None:
    """Another process's is not answered, nor one without a socket."""

    def seconds(**environ: str) -> float | None:
        return ServiceManager(environ).watchdog_seconds

    socket = str(tmp_path)
    assert seconds(NOTIFY_SOCKET=socket, WATCHDOG_USEC="2500000") == 2.5
    ours = str(os.getpid())
    assert seconds(NOTIFY_SOCKET=socket, WATCHDOG_USEC="1000000", WATCHDOG_PID=ours) == 1
    assert seconds(NOTIFY_SOCKET=socket, WATCHDOG_USEC="1000000", WATCHDOG_PID="1") is None
    assert seconds(NOTIFY_SOCKET=socket, WATCHDOG_USEC="0") is None
    assert seconds(NOTIFY_SOCKET=socket, WATCHDOG_USEC="soon") is None
    assert seconds(NOTIFY_SOCKET=socket) is None
    assert seconds(WATCHDOG_USEC="1000000") is None


def test_a_pass_lives_as_long_as_it_gives_signs() -> None:
    """Each step, byte and wait of a pass counts anew; one that is silent for longer than any step
    takes is overdue.
    """
    clock = Clock()
    pulse = Pulse(step_seconds=100, monotonic=clock)
    pulse.began(Reason.MANIFEST)
    for _ in range(50):
        clock.seconds += 99
        assert not pulse.overdue_seconds()
        pulse.beat()
    pulse.beat(lasting_seconds=300)
    clock.seconds += 399
    assert not pulse.overdue_seconds()
    clock.seconds += 3
    assert pulse.overdue_seconds() == 2


def test_a_rest_lives_until_its_end() -> None:
    """A loop that rests has said until when; that it then neither works nor rests is a hang."""
    clock = Clock()
    pulse = Pulse(step_seconds=100, monotonic=clock)
    pulse.rests(600, None)
    clock.seconds += 599
    assert not pulse.overdue_seconds()
    clock.seconds += 31
    assert pulse.overdue_seconds() == 30
    pulse.rests(600, None)
    assert not pulse.overdue_seconds()


@contextmanager
def service(tmp_path: Path, pulse: Pulse, **environ: str) -> Iterator[tuple[WatchService, Manager]]:
    """Give a watch's side of a service, and the manager that hears it."""
    with listening(tmp_path) as manager:
        told = ServiceManager({"NOTIFY_SOCKET": manager.named, **environ})
        with WatchService(told, pulse) as watch:
            yield watch, manager


def test_the_watchdog_hears_of_a_watch_that_lives_and_not_of_one_that_hangs(
    tmp_path: Path,
) -> None:
    """Signs of life come while none is missing, stop with the first that is, and come again."""
    clock = Clock()
    pulse = Pulse(step_seconds=100, monotonic=clock)
    with service(tmp_path, pulse, WATCHDOG_USEC="40000") as (_, manager):
        manager.wait_for("WATCHDOG", "1")
        manager.wait_for("WATCHDOG", "1")
        clock.seconds += 101
        # Some may be on their way.
        wait_for(lambda: manager.hear(seconds=0.3) is None, "an end of the signs of life")
        assert manager.hear(seconds=0.3) is None
        pulse.beat()
        manager.wait_for("WATCHDOG", "1")


def test_the_status_says_what_a_watch_does(tmp_path: Path) -> None:
    """One line: why it works; or until when it rests or is held, and how the last pass ended."""
    with service(tmp_path, Pulse()) as (watch, manager):
        watch.began(Reason.LOCK)
        assert manager.hear() == {"STATUS": "working: the lock changed"}
        watch.rests(60, None)
        told = manager.hear()
        assert told is not None
        assert re.fullmatch(r"resting, next look at \d\d:\d\d:\d\d", told["STATUS"])
        watch.failed(Unreachable("no answer\nat all"))
        watch.rests(60, Pause(since=datetime.now(UTC)))
        told = manager.hear()
        assert told is not None
        pattern = r"paused without an end; last: failed at [\d:]+: no answer"
        assert re.fullmatch(pattern, told["STATUS"])
        watch.rests(60, Pause(since=datetime.now(UTC), until=datetime(2026, 1, 2, tzinfo=UTC)))
        told = manager.hear()
        assert told is not None
        assert told["STATUS"].startswith("paused until 2026-01-0")


def test_the_journal_gets_each_line_with_its_priority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where stderr is the journal's, and the log is text, each line says how much it matters."""
    with (tmp_path / "journal").open("w+") as journal:
        monkeypatch.setattr(sys, "stderr", journal)
        found = os.fstat(journal.fileno())

        def tell(stream: str, log_format: str = "text") -> list[str]:
            monkeypatch.setenv("JOURNAL_STREAM", stream)
            journal.seek(0)
            journal.truncate()
            console = Console(quiet=False, log_format=log_format, no_color=False)
            console.say("a")
            console.warn("b", "c")
            console.fail("d", "")
            journal.seek(0)
            return journal.read().splitlines()

        ours = f"{found.st_dev}:{found.st_ino}"
        assert tell(ours) == ["<6>a", "<4>warning: b", "<4>hint: c", "<3>error: d"]
        assert tell("1:1") == ["a", "warning: b", "hint: c", "error: d"]
        assert all(line.startswith("{") for line in tell(ours, "json"))


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, with a program that this machine has: paths to their copies."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return [str(tmp_path / unit.name) for unit in UNITS]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `systemd-analyze`; without it, CI fails."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is not there")
        pytest.skip("systemd-analyze is not there")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_takes_the_units_without_a_word(units: list[str]) -> None:
    """No line of them is unknown, or in the wrong place."""
    done = analyze("verify", "--man=no", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_services_are_little_exposed(units: list[str]) -> None:
    """What systemd counts of rights that are left stays below a bound."""
    for unit in units:
        if unit.endswith(".service"):
            done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)
            assert done.returncode == 0, done.stdout + done.stderr


def hardening(unit: Path) -> str:
    """Give what a unit says of rights and limits."""
    text = unit.read_text()
    return text[text.index("User=") :].split("\n[Install]")[0].strip()


def test_both_services_have_the_same_rights() -> None:
    """A nightly run may do what the watch may, and no more."""
    watch, once = (PROJECT / "systemd" / f"reconciler{end}.service" for end in ("", "-once"))
    assert hardening(watch) == hardening(once)
    assert "NoNewPrivileges=yes" in hardening(watch)


def test_the_watch_gets_the_time_that_it_says_it_needs() -> None:
    """The unit kills no watch that stops as fast as it does, nor one at an ordinary step."""
    text = (PROJECT / "systemd" / "reconciler.service").read_text()
    told = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w+=", line))
    assert told["Type"] == "notify"
    assert int(told["TimeoutStopSec"]) > 10
    # Half of it lies between two signs of life, and a pull may take a minute.
    assert int(told["WatchdogSec"]) / 2 > 60
