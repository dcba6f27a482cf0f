"""A plan with nothing to do is answered from memory, and never where the whole way would differ."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli import command
from tests.support.sandbox import Result, Sandbox
from tests.support.waiting import wait_for

PROJECT = Path(__file__).parents[2]
CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
# Runs the words it is given, and prints what was opened, listed or looked at on the way.
SPY = """
import json, os, sys
touched = set()

def note(path):
    if isinstance(path, (str, bytes, os.PathLike)):
        touched.add(os.path.abspath(os.fsdecode(path)))

def heard(event, given):
    if event in ("open", "os.listdir", "os.scandir", "sqlite3.connect"):
        path = os.fsdecode(given[0]) if isinstance(given[0], (str, bytes)) else given[0]
        if isinstance(path, str) and path.startswith("file:"):
            path = path[5:].partition("?")[0]
        note(path)
    elif event in ("socket.connect", "subprocess.Popen", "os.exec", "os.posix_spawn"):
        touched.add(f"{event} {given}")

def watched(name):
    real = getattr(os, name)
    def call(path, *given, **named):
        note(path)
        return real(path, *given, **named)
    setattr(os, name, call)

from reconciler.cli.main import main
sys.addaudithook(heard)
for name in ("stat", "lstat", "access", "readlink"):
    watched(name)
code = main(sys.argv[1:])
print(json.dumps(sorted(touched)))
sys.exit(code)
"""


class WholeWay:
    """Counts how often a command went the whole way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = command.run_command

        def counted(*given: object) -> int:
            self.count += 1
            return real(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(command, "run_command", counted)


@pytest.fixture
def whole_way(monkeypatch: pytest.MonkeyPatch) -> WholeWay:
    """The counter of commands that were not answered from memory."""
    return WholeWay(monkeypatch)


@pytest.fixture
def in_sync(host: Sandbox) -> Sandbox:
    """A host with two models and nothing to do."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    return host


def remembered(host: Sandbox, whole_way: WholeWay, *words: str) -> Result:
    """Ask until the answer comes from memory."""
    answers: list[Result] = []

    def is_remembered() -> bool:
        before = whole_way.count
        answers.append(host.run("--plan", *words))
        return whole_way.count == before

    wait_for(is_remembered, "a plan from memory")
    assert len({answer.out for answer in answers}) == 1 or "--json" in words
    return answers[-1]


def test_plan_with_nothing_to_do_is_answered_from_memory(
    in_sync: Sandbox, whole_way: WholeWay
) -> None:
    """It prints the same, with the same exit code, and without a word to the hub."""
    first = in_sync.run("--plan")
    asked, before = in_sync.hub.requests, in_sync.snapshot()
    again = remembered(in_sync, whole_way)
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert "In sync: 2 models" in again.out
    assert in_sync.snapshot() == before
    assert in_sync.hub.requests == asked


def test_plan_is_remembered_with_the_inventory_elsewhere(
    host: Sandbox, whole_way: WholeWay
) -> None:
    """Where the inventory lies was said by the run that began it; who only looks hears no more."""
    host.settings["RECONCILER_STATE_DIR"] = str(host.home / "state")
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    assert "the inventory of" in host.apply().err
    assert remembered(host, whole_way).err == ""


@pytest.mark.parametrize("words", [("--json",), ("--detailed-exitcode",), ("--json", "--quiet")])
def test_every_way_of_showing_it_is_remembered(
    in_sync: Sandbox, whole_way: WholeWay, words: tuple[str, ...]
) -> None:
    """As JSON too it is the same object as the whole way gives, with the room that is free now."""
    first = in_sync.run("--plan", *words)
    again = remembered(in_sync, whole_way, *words)
    assert again.code == first.code == 0
    if "--json" in words:
        plans = [first.json, again.json]
        for plan in plans:
            assert plan["summary"].pop("disk_left_bytes") > 0
        assert plans[0] == plans[1]
    else:
        assert again.out == first.out


def edit_manifest(host: Sandbox) -> None:
    """Declare one model less."""
    host.write_manifest(CHAT)


def add_manifest_line(host: Sandbox) -> None:
    """Say something of a model."""
    host.write_manifest(CHAT + "    serve: {ttl: 5}\n" + CODE)


def delete_model_file(host: Sandbox) -> None:
    """Lose a file."""
    (host.models / CHAT_PATH).unlink()


def swap_model_file(host: Sandbox) -> None:
    """Put other bytes of the same size and time there."""
    path = host.models / CHAT_PATH
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    shutil.copystat(path, other)
    other.replace(path)


def edit_config(host: Sandbox) -> None:
    """Take an entry of ours out of llama-swap's config."""
    text = host.config.read_text()
    host.config.write_text(text[: text.index("chat")].rstrip().removesuffix('"') + "\n")


def delete_lock(host: Sandbox) -> None:
    """Lose the lock."""
    host.lock.unlink()


def lose_inventory(host: Sandbox) -> None:
    """Lose what we know."""
    shutil.rmtree(host.models / ".reconciler")


def unplug(host: Sandbox) -> None:
    """Take the disk with the models away: an empty folder stands where it was."""
    host.models.rename(host.home / "unplugged")
    host.models.mkdir()


def write_dotenv(host: Sandbox) -> None:
    """Say in `.env` that models lie elsewhere."""
    host.settings.pop("RECONCILER_CONFIG", None)
    (host.home / ".env").write_text("RECONCILER_LLAMA_SERVER=/opt/llama-server\n")


@pytest.mark.parametrize(
    "change",
    [
        *(edit_manifest, add_manifest_line, delete_model_file, swap_model_file, edit_config),
        *(delete_lock, lose_inventory, unplug, write_dotenv),
    ],
)
def test_whatever_changes_is_planned_anew(
    in_sync: Sandbox, whole_way: WholeWay, change: Callable[[Sandbox], None]
) -> None:
    """What a plan is asked after any change is what a plan without any memory would say."""
    remembered(in_sync, whole_way)
    change(in_sync)
    before = whole_way.count
    found = in_sync.run("--plan")
    assert whole_way.count == before + 1
    shutil.rmtree(in_sync.home / "cache")
    without_memory = in_sync.run("--plan")
    assert found.code == without_memory.code
    # The disk is not ours alone.
    room = r"[\d.]+ .?B left on disk"
    assert re.sub(room, "", found.out) == re.sub(room, "", without_memory.out)


def test_plan_with_something_to_do_is_never_remembered(
    in_sync: Sandbox, whole_way: WholeWay
) -> None:
    """Only a plan with nothing to do is kept: any other may wait for things that nobody watches."""
    add_manifest_line(in_sync)
    for _ in range(3):
        before = whole_way.count
        assert "1 to update" in in_sync.run("--plan").out
        assert whole_way.count == before + 1
    assert not list((in_sync.home / "cache").rglob("plans/*"))


def test_plan_that_asked_more_than_is_watched_is_never_remembered(
    in_sync: Sandbox, whole_way: WholeWay
) -> None:
    """Where a plan walks the models folder, a file may turn up anywhere: it is made each time."""
    in_sync.write_manifest(CHAT + CODE, policy="{discover: report}")
    for number in range(1, 4):
        assert "In sync" in in_sync.run("--plan").out
        assert whole_way.count == number
    assert not list((in_sync.home / "cache").rglob("plans/*"))


def test_remembered_plan_imports_next_to_nothing(in_sync: Sandbox) -> None:
    """A plan from memory starts like a shell tool: none of the rooms is entered for it, and no
    library but Python's own.
    """
    line = (
        "import sys; from reconciler.cli.main import main; code = main(['--plan', '--quiet']);"
        "print(*(name for name in sys.modules if not name.startswith('__editable__')))"
    )
    loaded: set[str] = set()

    def is_remembered() -> bool:
        nonlocal loaded
        spied = subprocess.run(
            [sys.executable, "-c", line],
            cwd=in_sync.home,
            env=in_sync.environment() | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=True,
        )
        head, last = spied.stdout.splitlines()
        loaded = set(last.split())
        return "In sync" in head and "reconciler.cli.command" not in loaded

    wait_for(is_remembered, "a plan from memory")
    assert {name for name in loaded if name.startswith("reconciler")} == {
        "reconciler",
        "reconciler.cli",
        "reconciler.cli.main",
        "reconciler.cli.remembered",
        "reconciler.cli.streams",
    }
    assert not loaded & {"argparse", "dataclasses", "pydantic", "sqlite3", "socket", "typing"}


def test_everything_a_plan_looks_at_is_among_its_inputs(
    in_sync: Sandbox, whole_way: WholeWay
) -> None:
    """Whatever on the host a plan opens, lists or looks at is one of the inputs of what is kept,
    or a folder on the way to one: so none can be forgotten.
    """
    remembered(in_sync, whole_way)
    (kept,) = (in_sync.home / "cache" / "reconciler" / "plans").iterdir()
    body = json.loads(kept.read_bytes().partition(b"\n")[2])
    inputs = {*body["files"], *body["texts"]}
    shutil.rmtree(in_sync.home / "cache")
    spied = subprocess.run(
        [sys.executable, "-c", SPY, "--plan"],
        cwd=in_sync.home,
        env=in_sync.environment() | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert spied.returncode == 0, spied.stderr
    touched = [Path(line) for line in json.loads(spied.stdout.splitlines()[-1])]
    installed = PROJECT / "reconciler.egg-info"
    code = (PROJECT / "reconciler", installed, Path(sys.prefix), Path(sys.base_prefix))
    elsewhere = (*code, Path("/proc"), in_sync.home / "cache")
    left = {
        str(path)
        for path in touched
        if str(path) not in inputs
        and not any(path.is_relative_to(folder) for folder in elsewhere)
        and not any(Path(each).is_relative_to(path) for each in inputs)
    }
    assert left <= {os.devnull}
