"""The command line as people meet it: at a terminal, in a pipe, for the first time, in trouble."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.hub_faults import Fault, Slow
from tests.support.hub import running_hub
from tests.support.sandbox import CONFIG, Result, Sandbox
from tests.support.terminal import at_terminal

PROJECT = Path(__file__).parents[2]
CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
COLOR = re.compile(r"\x1b\[3\dm")
NOBODY = 65534


def shell(host: Sandbox, line: str, **settings: str) -> Result:
    """Run a line of shell on the host, in which `$R` is `reconcile`."""
    found = subprocess.run(
        ["sh", "-c", line],
        cwd=host.home,
        env={
            **host.environment(),
            "PYTHONPATH": str(PROJECT),
            "R": f"{sys.executable} -m reconciler",
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Result(code=found.returncode, out=found.stdout, err=found.stderr)


@pytest.fixture
def two_models(host: Sandbox) -> Sandbox:
    """A host on which two models were applied."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    return host


# The first run ever.


@pytest.mark.parametrize("with_folder", [False, True])
def test_first_run_ever_says_how_to_begin(host: Sandbox, with_folder: bool) -> None:
    """Without a manifest every command says where to write one; what it shows is a manifest."""
    host.settings["RECONCILER_MANIFEST"] = ""
    shutil.rmtree(host.manifest.parent)
    if with_folder:
        host.manifest.parent.mkdir()
    for command in ((), ("--plan",), ("status",), ("lock",), ("validate",)):
        result = host.run(*command)
        assert (result.code, result.out) == (2, ""), command
        assert "begin one in manifests/home.yaml" in result.err
        assert "reconcile --plan" in result.err
    starter = re.search(r"^    version: 1\n(?:    .*\n)+", result.err, re.MULTILINE)
    assert starter
    host.manifest.parent.mkdir(exist_ok=True)
    host.manifest.write_text(textwrap.dedent(starter[0]))
    assert "valid, 1 model" in host.run("validate").out


def test_paths_may_be_relative_and_hold_anything(host: Sandbox) -> None:
    """Spaces and letters of any script in paths, and paths relative to where one stands, work; the
    next run from elsewhere finds all as it is.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    odd = host.home / "mes modèles" / "手元 'a' $b"
    odd.mkdir(parents=True)
    host.settings |= {"RECONCILER_MODELS_DIR": "", "RECONCILER_MANIFEST": ""}
    host.apply("--models-dir", str(odd.relative_to(host.home)), "-m", "manifests/home.yaml")
    assert (odd / CHAT_PATH).is_file()
    host.settings |= {
        "RECONCILER_MODELS_DIR": str(odd),
        "RECONCILER_MANIFEST": str(host.manifest),
    }
    assert host.plan()["actions"] == []


def test_empty_path_is_not_the_working_folder(host: Sandbox) -> None:
    """`--models-dir "$UNSET"` is a mistake, never the folder one happens to stand in."""
    host.write_manifest(CHAT)
    result = host.run("--models-dir", "", "--plan")
    assert (result.code, "--models-dir: is empty" in result.err) == (2, True)


# What goes where.

RESULTS = [
    ("--plan",),
    (),
    ("status",),
    ("lock",),
    ("lock", "--check"),
    ("update", "--all"),
    ("verify",),
    ("repair",),
    ("validate",),
    ("schema",),
]
ERRORS = [
    ("staus",),
    ("--plann",),
    ("status", "--lock-timeout", "soon"),
    ("update",),
    ("update", "chta"),
    ("verify", "chta"),
    ("repair", "chta"),
    ("demo",),
    ("--plan", "-m", "nowhere"),
    ("--plan", "--models-dir", "nowhere"),
    ("--plan", "--config", "nowhere/config.yaml"),
]


@pytest.mark.parametrize("command", [*RESULTS, *ERRORS], ids=" ".join)
@pytest.mark.parametrize("by_setting", [False, True])
def test_json_is_one_object_whatever_happens(
    two_models: Sandbox, command: tuple[str, ...], by_setting: bool
) -> None:
    """With `--json`, stdout is one JSON object and nothing else, and an error is one as well,
    however JSON was asked for.
    """
    if by_setting:
        two_models.settings["RECONCILER_JSON"] = "1"
    result = two_models.run(*command, *([] if by_setting else ["--json"]))
    assert isinstance(result.json, dict)
    assert ("error" in result.json) == (command in ERRORS), result.out
    assert (result.code == 0) == (command in RESULTS)


@pytest.mark.parametrize("command", ERRORS, ids=" ".join)
def test_every_error_names_the_next_step(two_models: Sandbox, command: tuple[str, ...]) -> None:
    """An error says what is wrong and, below it, what to do; nobody sees a traceback."""
    settings = ["--json"] if command == ("demo",) else []
    result = two_models.run(*command, *settings)
    assert re.search(r"^error: .+\nhint: .+", result.err), result.err
    assert "Traceback" not in result.err
    assert "defect" not in result.err


def test_json_log_is_json_line_by_line(host: Sandbox) -> None:
    """With `--log-format json` every line on stderr is an object: news, warnings and errors."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    levels = set()
    for command in (
        ("--yes",),
        ("lock", "--offline", "--plan"),
        ("staus",),
        ("--models-dir", "nowhere"),
    ):
        result = host.run(*command, "--log-format", "json")
        for line in result.err.splitlines():
            entry = json.loads(line)
            assert {"time", "level", "message"} <= entry.keys()
            levels.add(entry["level"])
    (host.models / CHAT_PATH).write_bytes(b"x")
    declined = host.run("--log-format=json")
    levels |= {json.loads(line)["level"] for line in declined.err.splitlines()}
    assert levels == {"info", "warning", "error"}


def test_quiet_run_says_nothing_on_stderr(host: Sandbox) -> None:
    """With `--quiet` a run in which all goes well logs nothing; what goes wrong is still said."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    assert host.apply("--quiet").err == ""
    assert "error:" in host.run("--quiet", "--models-dir", "nowhere").err


def test_reader_that_goes_away_gets_no_complaint(two_models: Sandbox) -> None:
    """`reconcile --plan | head` ends without a word on stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found = subprocess.run(
            [sys.executable, "-m", "reconciler", "schema"],
            cwd=two_models.home,
            env=two_models.environment() | {"PYTHONPATH": str(PROJECT)},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (found.returncode, found.stderr) == (1, b"")


def test_closed_streams_are_no_matter(two_models: Sandbox) -> None:
    """A service manager may close any standard stream: the command does its work."""
    assert shell(two_models, "$R --plan <&-").code == 0
    assert shell(two_models, "$R --plan >&-").code == 0
    assert shell(two_models, "$R --plan 2>&-").out.startswith("In sync")
    (two_models.models / CHAT_PATH).write_bytes(b"x")
    assert shell(two_models, "$R --yes <&- >&- 2>&-").code == 0
    assert two_models.plan()["actions"] == []


def test_closed_stdin_is_a_no(two_models: Sandbox) -> None:
    """Where stdin is closed nobody can be asked, so nothing is replaced."""
    (two_models.models / CHAT_PATH).write_bytes(b"x")
    result = shell(two_models, "$R <&-")
    assert (result.code, "--yes" in result.err) == (1, True)
    assert (two_models.models / CHAT_PATH).read_bytes() == b"x"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_result_that_cannot_be_written_is_an_error(two_models: Sandbox) -> None:
    """Where the output goes to a full disk, the command fails and says so."""
    result = shell(two_models, "$R status --json >/dev/full")
    assert result.code == 1
    assert "could not be written: No space left" in result.err
    assert "Traceback" not in result.err


def test_output_that_knows_only_ascii_is_no_reason_to_fail(two_models: Sandbox) -> None:
    """Characters that an output cannot take are written in another way."""
    two_models.write_manifest(CHAT)
    result = shell(two_models, "$R --plan", PYTHONIOENCODING="ascii")
    assert (result.code, "1 to remove" in result.out) == (0, True)


def test_pins_over_plain_http_are_warned_of(host: Sandbox) -> None:
    """Whoever resolves pins over plain http hears what that risks, unless it is this machine."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    assert "plain http" not in host.run("lock", "--check").err
    host.settings["HF_ENDPOINT"] = "http://mirror.example"
    warned = host.run("lock", "--check", "--offline").err
    assert "warning: pins are resolved over plain http from http://mirror.example" in warned
    host.settings["HF_ENDPOINT"] = "https://mirror.example"
    assert "plain http" not in host.run("lock", "--check", "--offline").err


# A person at a terminal.


@pytest.fixture
def damaged(two_models: Sandbox) -> Sandbox:
    """A host on which the next run would replace a file."""
    (two_models.models / CHAT_PATH).write_bytes(b"spoiled by somebody")
    return two_models


def test_yes_at_the_prompt_applies(damaged: Sandbox) -> None:
    """What would replace something is asked about, and a yes applies it."""
    with at_terminal(damaged) as terminal:
        terminal.wait_for("Apply this? [y/N] ")
        terminal.type("y\r")
        assert terminal.end() == 0
    assert any(line.startswith("Applied: 1 restored") for line in terminal.lines())
    assert damaged.plan()["actions"] == []


@pytest.mark.parametrize("answer", ["n\r", "\r", "yet\r", "\x04"])
def test_anything_but_yes_leaves_everything(damaged: Sandbox, answer: str) -> None:
    """A no, an empty line, another word and the end of the input change nothing, and exit 1."""
    before = damaged.snapshot(with_state=False)
    with at_terminal(damaged) as terminal:
        terminal.wait_for("Apply this? [y/N] ")
        terminal.type(answer)
        assert terminal.end() == 1
    assert "Declined: nothing was changed" in terminal.lines()
    assert damaged.snapshot(with_state=False) == before


def test_ctrl_c_at_the_prompt_leaves_everything(damaged: Sandbox) -> None:
    """Ctrl-C at the question ends the command with 130, without a traceback."""
    before = damaged.snapshot(with_state=False)
    with at_terminal(damaged) as terminal:
        terminal.wait_for("Apply this? [y/N] ")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert "Traceback" not in terminal.seen
    assert damaged.snapshot(with_state=False) == before


def test_addition_is_not_asked_about(host: Sandbox) -> None:
    """What only adds is applied without a question."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with at_terminal(host) as terminal:
        assert terminal.end() == 0
    assert "Apply this?" not in terminal.seen
    assert CHAT_PATH in host.model_files()


def test_refused_plan_is_not_asked_about(two_models: Sandbox) -> None:
    """A plan that a guard refuses ends with the reason and what lifts it, not with a question,
    and so it does where nobody is at the terminal.
    """
    two_models.write_manifest("")
    with at_terminal(two_models) as terminal:
        assert terminal.end() == 1
    assert "Apply this?" not in terminal.seen
    for told in ("\n".join(terminal.lines()), two_models.run().err):
        assert "this would remove every model" in told
        assert "--allow-prune" in told


def test_json_never_asks(damaged: Sandbox) -> None:
    """With `--json` nobody has seen the plan, so nobody is asked, not even at a terminal."""
    before = damaged.snapshot(with_state=False)
    with at_terminal(damaged, "--json", "--quiet") as terminal:
        assert terminal.end() == 1
    assert "Apply this?" not in terminal.seen
    assert '"outcome": "declined"' in terminal.seen
    assert damaged.snapshot(with_state=False) == before


def test_colors_are_shown_at_a_terminal_only_and_can_be_refused(damaged: Sandbox) -> None:
    """A terminal gets colours, unless `--no-color`, `NO_COLOR` or a dumb terminal says no; a pipe
    never does.
    """
    with at_terminal(damaged, "--plan") as terminal:
        assert terminal.end() == 0
    assert COLOR.search(terminal.seen)
    for arguments, settings in (
        (("--no-color",), {}),
        ((), {"NO_COLOR": "1"}),
        ((), {"TERM": "dumb"}),
    ):
        with at_terminal(damaged, "--plan", *arguments, settings=settings) as plain:
            assert plain.end() == 0
        assert "\x1b[" not in plain.seen, (arguments, settings)
    assert "\x1b[" not in damaged.run("--plan").out


@pytest.mark.parametrize("columns", [80, 60])
def test_progress_keeps_to_its_lines_and_ctrl_c_keeps_the_bytes(
    host: Sandbox, columns: int
) -> None:
    """Bars never wrap, however long the file's name; Ctrl-C amid a download ends the command at
    once with 130, keeps what arrived, and the next run continues with it.
    """
    repo = "acme/A-Very-Long-Model-Name-For-Any-Terminal-30B-A3B-Instruct-2507-GGUF"
    name = repo.split("/")[1].removesuffix("-GGUF") + "-Q4_K_M.gguf"
    host.add_repo(repo, size=3_000_000)
    host.write_manifest(f"  long:\n    source: {repo}:Q4_K_M\n")
    host.hub.faults.add(Fault(effect=Slow(bytes_per_second=200_000), path="*.gguf", times=None))
    with at_terminal(host, columns=columns) as terminal:
        terminal.wait_for("0.1/3.0 MB")
        terminal.type("\x03")
        assert terminal.end() == 130
    bars = [line for line in terminal.lines() if "/3.0 MB" in line]
    assert max(len(line.removesuffix("^C")) for line in bars) <= columns - 2
    assert all("…" in line and "Q4_K_M.gguf" in line for line in bars)
    assert "error: interrupted; what was fetched is kept" in terminal.lines()
    kept = host.partial_bytes()
    assert kept > 0
    host.hub.faults.clear()
    report = host.run("--yes", "--json").json
    assert 0 < report["fetched_bytes"] < 3_000_000
    assert name in "".join(host.model_files())


@pytest.mark.parametrize("columns", [80, 40])
def test_several_files_have_a_total(host: Sandbox, columns: int) -> None:
    """Two files have a bar each and one more for both; on a narrow terminal too every bar keeps to
    its line. What is done becomes a line that stays, and no bar stays.
    """
    models = ("first", "second")
    for seed, name in enumerate(models):
        host.add_repo(f"acme/{name}-GGUF", seed=seed, size=400_000)
    host.write_manifest("".join(f"  {it}:\n    source: acme/{it}-GGUF:Q4_K_M\n" for it in models))
    host.hub.faults.add(Fault(effect=Slow(bytes_per_second=800_000), path="*.gguf", times=None))
    with at_terminal(host, columns=columns) as terminal:
        assert terminal.end() == 0
    bars = [line for line in terminal.lines() if re.search(r" (\d+:\d\d|-:--)$", line)]
    assert {line.split()[0] for line in bars} >= {"fetching", "total"}
    assert any(line.startswith("total 0 of 2 files ") for line in bars)
    assert max(len(line) for line in bars) <= columns - 3
    done = [line for line in terminal.lines() if ": done, " in line]
    assert sorted(line.split()[1] for line in done) == [f"{it}-Q4_K_M.gguf:" for it in models]
    assert any(line.startswith("2 of 2 files: ") for line in terminal.lines())
    assert terminal.lines()[-3].startswith("Applied: 2 added")
    assert terminal.lines()[-2].startswith("Full sync in ")


def test_plan_fits_a_narrow_terminal(host: Sandbox) -> None:
    """No line on a file and no line of the diff is longer than the terminal is wide; in a pipe
    paths are whole.
    """
    repo = "acme/A-Very-Long-Model-Name-For-Any-Terminal-30B-A3B-Instruct-2507-GGUF"
    host.add_repo(repo)
    host.write_manifest(f"  long:\n    source: {repo}:Q4_K_M\n")
    with at_terminal(host, "--plan", columns=80) as terminal:
        assert terminal.end() == 0
    lines = terminal.lines()
    assert max(len(line) for line in lines if not line.startswith("Config ")) <= 80
    assert any("download" in line and line.endswith("(not on disk)") for line in lines)
    whole = host.run("--plan").out
    assert f"{repo}/{repo.split('/')[1].removesuffix('-GGUF')}-Q4_K_M.gguf  (not on disk)" in whole


# Files of somebody else.


@pytest.fixture
def plain_user() -> Iterator[Sandbox]:
    """An applied host of a user for whom permissions count; files may be taken from that user."""
    closed = [path for path in PROJECT.parents if not path.stat().st_mode & 0o001]
    if os.geteuid() == 0 and closed:
        pytest.skip(f"another user cannot load the program: {closed[0]} is closed to others")
    with tempfile.TemporaryDirectory() as folder, running_hub() as hub:
        Path(folder).chmod(0o755)
        host = Sandbox(home=Path(folder) / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest(CHAT)
        (host.home / ".env").write_text("RECONCILER_YES=1\n")
        host.apply()
        for path in (host.home, *host.home.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        yield host


@pytest.mark.parametrize(
    "taken",
    [
        ".env",
        "manifests",
        "manifests/home.yaml",
        "manifests/home.yaml.lock",
        "swap",
        "swap/config.yaml",
        "models",
        "models/.reconciler",
        "models/.reconciler/inventory.db",
    ],
)
def test_file_that_may_not_be_read_is_named(plain_user: Sandbox, taken: str) -> None:
    """What cannot be read is named, with a next step; it is never taken for not being there."""
    path = plain_user.home / taken
    mode = path.stat().st_mode
    root = os.geteuid() == 0
    path.chmod(0)
    try:
        if root:
            os.seteuid(NOBODY)
        results = [plain_user.run(*command) for command in (("--plan",), ("--yes",))]
    finally:
        if root:
            os.seteuid(0)
        path.chmod(mode)
    # A manifest that cannot be read counts as a wrong one, which the watch loop outlives.
    wanted = 2 if taken in (".env", "manifests", "manifests/home.yaml") else 1
    for result in results:
        assert result.code == wanted, result.out
        assert path.name in result.err
        assert "ermission denied" in result.err or "not allowed" in result.err
        assert "hint: " in result.err
        assert "defect" not in result.err
    assert plain_user.config.read_text().startswith(CONFIG)
    assert plain_user.plan()["actions"] == []
