"""The documents tell the truth: every example in them runs, and nothing is missing or invented."""

from __future__ import annotations

import json
import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest

from reconciler import errors
from reconciler.cli import report_text, settings
from reconciler.cli.arguments import build_parser
from reconciler.core import actions
from reconciler.core.plan import Drift, Summary
from reconciler.core.reading.manifest_text import ManifestText, parse_manifest
from reconciler.core.runs import Outcome, RunReport
from tests.support.document_stage import Stage, make_targets
from tests.support.documents import DOCUMENTS, PROJECT, Block, Document, Meanwhile, commands
from tests.support.sandbox import Sandbox

COMMANDS = Document(PROJECT / "docs" / "commands.md")
EXAMPLE = PROJECT / ".env.example"
# What is read beside the settings, by the adapters that know these names.
FURTHER_NAMES = {
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"),
    *("HF_HUB_DISABLE_IMPLICIT_TOKEN", "XDG_CACHE_HOME", "TZ"),
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS", "MODELS_PATH"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
}
each_document = pytest.mark.parametrize(
    "document", [Document(path) for path in DOCUMENTS], ids=lambda document: document.name
)


def verbs() -> dict[str, ArgumentParser]:
    """Give the parsers of all commands by name."""
    found = [each for each in build_parser()._actions if isinstance(each, _SubParsersAction)]
    return dict(found[0].choices)


def options_of(parser: ArgumentParser) -> set[str]:
    """Give a parser's options as a document writes them: every spelling, with what it takes."""
    written = set()
    for option in parser._actions:
        takes = option.metavar or ("|".join(option.choices) if option.choices else "")
        if not isinstance(option, _SubParsersAction):
            written |= {f"{name} {takes}".rstrip() for name in option.option_strings}
    return written


def in_code(cell: str) -> list[str]:
    """Give what a table's cell sets in code, a bar in it written plainly."""
    return [span.replace("\\|", "|") for span in re.findall(r"`([^`]+)`", cell)]


def parses(line: str) -> bool:
    """Whether the command line takes this call."""
    try:
        build_parser().parse_args(shlex.split(line.removesuffix("…"))[1:])
    except (SystemExit, errors.UsageError):
        return False
    return True


def mentioned_calls(document: Document) -> Iterator[str]:
    """Give every call of the program that a document mentions, run or not."""
    yield from (span for span in document.spans() if span.startswith("reconcile "))
    for block in document.blocks("sh", "ini"):
        for line in block.text.splitlines():
            if found := re.search(r"(?:^|/|=)reconcile (.*?)(?: > .*)?$", line):
                yield f"reconcile {found[1]}"


@each_document
def test_every_example_runs_as_shown(host: Sandbox, document: Document) -> None:
    """What a document shows on a console is what the program prints, in the order it is read."""
    stage = Stage(host, document.name)
    for part in document.parts():
        stage.play(part)


def test_examples_are_found_at_all() -> None:
    """The documents hold examples of each kind, so that the test above tests something."""
    parts = [part for path in DOCUMENTS for part in Document(path).parts()]
    kinds = [part.language for part in parts if isinstance(part, Block)]
    assert kinds.count("console") >= 10
    assert kinds.count("json") >= 5
    assert sum(isinstance(part, Meanwhile) for part in parts) >= 3
    consoles = [part for part in parts if isinstance(part, Block) and part.language == "console"]
    assert sum(bool(command.shown) for part in consoles for command in commands(part)) >= 12


@each_document
def test_every_manifest_parses(document: Document) -> None:
    """A whole manifest in a document is taken as it stands, but for one shown to be wrong."""
    for block in document.blocks("yaml"):
        if not re.search(r"^version: 1$", block.text, re.MULTILINE) or "sorce" in block.text:
            continue
        text = ManifestText(path=document.name, folder="/srv/manifests", data=block.text.encode())
        assert parse_manifest([text]).paths == (document.name,)


@each_document
def test_every_json_example_is_json(document: Document) -> None:
    """Examples in JSON are whole documents, and each is compared with what was printed."""
    for block in document.blocks("json"):
        assert json.loads(block.text)
        assert block.words == "printed", f"{document.name}:{block.line} is compared with nothing"


@each_document
def test_internal_links_resolve(document: Document) -> None:
    """A link within the project leads to a file, and its anchor to a heading there."""
    for link in document.links():
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.path.parent / path).resolve() if path else document.path
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in Document(target).anchors(), f"{document.name}: {link}"


@each_document
def test_mentioned_calls_and_places_exist(document: Document) -> None:
    """Every call of the program that is mentioned parses, and every source file named is there."""
    for call in mentioned_calls(document):
        assert parses(call), f"{document.name}: {call}"
    for span in document.spans():
        if re.fullmatch(r"(?:reconciler|tests|docs|\.ci)/[\w./-]+", span):
            assert "NAME" in span or (PROJECT / span).exists(), f"{document.name}: {span}"
        if span.startswith("make "):
            assert span.removeprefix("make ") in make_targets(), f"{document.name}: {span}"


def test_every_document_can_be_reached_from_the_readme() -> None:
    """The README links to all of them, and to the example of settings."""
    links = set(Document(PROJECT / "README.md").links())
    assert links >= {str(path.relative_to(PROJECT)) for path in DOCUMENTS} - {"README.md"}
    assert ".env.example" in links


def test_every_command_and_option_is_documented_and_none_is_invented() -> None:
    """The headings are the commands there are; the tables below them hold their options."""
    parsers = verbs()
    headings = set(re.findall(r"^## reconcile (\w+)$", COMMANDS.prose, re.MULTILINE))
    assert headings == set(parsers)
    documented = {name for row in COMMANDS.table("option") for name in in_code(row)}
    assert documented == options_of(build_parser()).union(*map(options_of, parsers.values()))
    common = set.intersection(*map(options_of, parsers.values()))
    for verb, parser in parsers.items():
        section = COMMANDS.section(f"reconcile {verb}")
        own = {
            name for cell in re.findall(r"^\| (`-.*?) \|", section, re.M) for name in in_code(cell)
        }
        assert own == options_of(parser) - common, verb


def test_every_setting_is_documented_with_its_older_names_and_default() -> None:
    """The table of variables says of each what the code does."""
    rows = COMMANDS.table("variable")
    defaults = {item.name: item.default for item in fields(settings.Settings)}
    ours = {name: cells for row, cells in rows.items() for name in in_code(row) if len(cells) == 3}
    assert set(ours) == {f"RECONCILER_{name.upper()}" for name in settings.setting_names()}
    for name in settings.setting_names():
        older, default, _ = ours[f"RECONCILER_{name.upper()}"]
        assert tuple(in_code(older)) == settings._OLDER_NAMES.get(name, ()), name
        shown = in_code(default)
        # Sizes and times stand there as people write them.
        as_read = [settings._PARSERS[name](text) for text in shown]
        assert shown == as_written(defaults[name]) or as_read == [defaults[name]], name
    others = {name for row, cells in rows.items() for name in in_code(row) if len(cells) == 1}
    assert others == FURTHER_NAMES


def as_written(default: object) -> list[str]:
    """Give a setting's default as a table holds it."""
    if default is None or default is MISSING or default == ():
        return []
    if isinstance(default, bool):
        return ["on" if default else "off"]
    return [f"{default:g}" if isinstance(default, float) else str(default)]


def test_further_variables_are_read_somewhere() -> None:
    """Every variable that is said to be read stands in the code, and so does each older name."""
    source = "".join(path.read_text() for path in (PROJECT / "reconciler").rglob("*.py"))
    for name in FURTHER_NAMES:
        assert f'"{name}"' in source, name


def test_the_example_of_settings_is_complete_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.env.example` holds every variable, sets none as it stands, and shows each default truly."""
    lines = EXAMPLE.read_text().splitlines()
    assert not [line for line in lines if line and not line.startswith("#")]
    shown = dict(line[1:].split("=", 1) for line in lines if re.match(r"#[A-Z_]+=", line))
    older = {name for names in settings._OLDER_NAMES.values() for name in names}
    ours = {f"RECONCILER_{name.upper()}" for name in settings.setting_names()}
    assert {name for name in shown if name.startswith("RECONCILER_")} == ours
    assert older <= set(shown)
    composed = set(re.findall(r"\$\{([A-Z_]+)", (PROJECT / "compose.yml").read_text()))
    assert composed <= set(shown)
    assert set(shown) <= ours | older | FURTHER_NAMES | composed
    (tmp_path / ".env").write_text("".join(f"{name}={shown[name]}\n" for name in sorted(ours)))
    monkeypatch.chdir(tmp_path)
    loaded = settings.load_settings(build_parser().parse_args([]), {})
    for item in fields(settings.Settings):
        if item.default is not MISSING and item.default not in (None, ()):
            assert getattr(loaded, item.name) == item.default, item.name


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes holds those that errors and reports give, and those of the help."""
    ended = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.ReconcilerError)
    }
    pending = 3
    assert {int(row) for row in COMMANDS.table("code")} == {
        *ended,
        *report_text._CODES.values(),
        pending,
    }


def test_every_key_of_plan_and_report_is_explained() -> None:
    """The tables of JSON keys are those of the values that are printed."""
    kinds = {kind.__name__: kind for kind in get_args(actions.Action)}
    rows = {in_code(row)[0]: in_code(cells[0]) for row, cells in COMMANDS.table("action").items()}
    named = {"".join(word.capitalize() for word in row.split("_")): row for row in rows}
    assert set(named) == set(kinds)
    for name, row in named.items():
        assert rows[row] == [item.name for item in fields(kinds[name])]
    summary = [name for row in COMMANDS.table("summary key") for name in in_code(row)]
    assert summary == [item.name for item in fields(Summary)]
    drift = [name for row in COMMANDS.table("drift key") for name in in_code(row)]
    assert drift == [item.name for item in fields(Drift)]
    report = [name for row in COMMANDS.table("report key") for name in in_code(row)]
    assert report == [*(item.name for item in fields(RunReport)), "plan"]
    outcome = COMMANDS.table("report key")["`outcome`"][0]
    assert in_code(outcome) == list(Outcome)


def test_the_plan_keys_explained_are_the_plans(host: Sandbox) -> None:
    """A plan in JSON has the documented keys, no more and no fewer."""
    host.write_manifest("")
    plan = host.plan()
    documented = [name for row in COMMANDS.table("plan key") for name in in_code(row)]
    assert documented == list(plan)
    assert plan["format_version"] == 1


def test_troubleshooting_speaks_of_messages_that_exist() -> None:
    """Every message that is explained is one the program can print."""
    source = "".join(path.read_text() for path in (PROJECT / "reconciler").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    rows = Document(PROJECT / "docs" / "operations.md").table("message")
    for row in rows:
        for piece in in_code(row)[0].split("…"):
            assert piece.strip() in joined, row


def test_every_make_target_is_documented() -> None:
    """The table of targets is the Makefile's."""
    rows = Document(PROJECT / "CONTRIBUTING.md").table("target")
    assert {f"make {name}" for name in make_targets()} == {in_code(row)[0] for row in rows}


def test_the_rooms_are_those_of_the_package() -> None:
    """The table of rooms names every folder of the package."""
    rows = Document(PROJECT / "docs" / "architecture.md").table("room")
    rooms = {f"reconciler/{path.parent.name}" for path in PROJECT.glob("reconciler/*/__init__.py")}
    assert {in_code(row)[0] for row in rows} == rooms


def test_the_changelog_has_room_for_what_is_new() -> None:
    """What is not released stands under a heading of its own."""
    assert "unreleased" in Document(PROJECT / "CHANGELOG.md").anchors()
