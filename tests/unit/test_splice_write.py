"""How values are written: readable, in the file's own manner, and the same for every reader."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.core.edits import AddEntry
from reconciler.core.ledger import Scaffold
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config, splice
from reconciler.core.yamltext.outcome import identical
from reconciler.core.yamltext.write import render_flow, render_scalar

TRICKY = [
    *("", " ", "a ", " a", "~", "null", "Null", "true", "TRUE", "yes", "No", "on", "OFF", "y", "n"),
    *("1", "-1", "+1", "0x1", "0o7", "017", "1e3", "1_000", ".5", "5.", ".inf", "-.INF", ".nan"),
    *("2024-01-01", "12:30", "1:2:3", "127.0.0.1:80", "=", "<<", "-", "- a", "?", "? a", ":", "a:"),
    *(
        "a: b",
        "a #b",
        "#a",
        "a:b",
        "@a",
        "`a",
        "!a",
        "&a",
        "*a",
        "|",
        ">",
        "%a",
        "{a}",
        "[a]",
        "a,b",
    ),
    *("'a'", '"a"', "it's", '"', "\\", "C:\\x", "a\tb", "a\nb", "a\r\nb", "\x85", "\u2028", "\x00"),
    *("---", "--- a", "...", "é", "😀", "\xa0", "${PORT}", "$x", "/m/a.gguf", "llama -m x"),
]


def read_by(version: tuple[int, int], text: str) -> Json:
    """Read a text with a reader of that YAML version."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    value: Json = yaml.load(StringIO(text))
    return value


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
@pytest.mark.parametrize("text", TRICKY)
def test_strings_stay_strings_for_every_reader(text: str, version: tuple[int, int]) -> None:
    """A string is read back as itself by YAML 1.1 and 1.2, as a value and inside braces."""
    assert read_by(version, f"key: {render_scalar(text, in_flow=False)}\n") == {"key": text}
    assert read_by(version, f"key: {render_flow({'k': [text]})}\n") == {"key": {"k": [text]}}


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
@pytest.mark.parametrize("text", [text for text in TRICKY if text and text != "<<"])
def test_keys_stay_strings_for_every_reader(text: str, version: tuple[int, int]) -> None:
    """A key is read back as the string it is, whatever it looks like."""
    assert read_by(version, render_flow({text: 1})) == {text: 1}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8))
def test_any_string_is_read_back_as_itself(text: str) -> None:
    """No string is read differently than it was written, in block or in braces."""
    for version in ((1, 1), (1, 2)):
        assert read_by(version, f"key: {render_scalar(text, in_flow=False)}\n") == {"key": text}
        assert read_by(version, f"key: {render_scalar(text, in_flow=True)}\n") == {"key": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (-5, "-5"),
        (0.5, "0.5"),
        (3.0, "3.0"),
        (1e16, "1.0e+16"),
        (1e-7, "1.0e-07"),
        (math.inf, ".inf"),
        (-math.inf, "-.inf"),
        (math.nan, ".nan"),
        ([], "[]"),
        ({}, "{}"),
        (["a", 1, {"b": None}], "[a, 1, {b: null}]"),
    ],
)
def test_values_are_written_plainly(value: Json, text: str) -> None:
    """Numbers, constants and collections are written in the form all readers share."""
    assert render_flow(value) == text
    assert identical(read_config(f"key: {text}\n".encode(), "config.yaml").data["key"], value)


def test_numbers_of_different_kinds_are_different_values() -> None:
    """1, 1.0 and true are told apart when a result is compared with what was meant."""
    assert identical({"a": [1, math.nan]}, {"a": [1, math.nan]})
    for one, other in ((1, 1.0), (1, True), (0, False), ("1", 1), ([], {}), (None, "")):
        assert not identical({"a": [one]}, {"a": [other]})


@pytest.mark.parametrize(("text", "items"), [("ab", ["a", "b"]), ("a", ["a"]), ("", [])])
def test_text_is_no_list_of_its_letters(text: str, items: list[Json]) -> None:
    """A list where a text was meant is found out, although Python counts both as sequences."""
    assert not identical({"a": text}, {"a": items})
    assert not identical({"a": items}, {"a": text}, open_end=True)


def added(old: str, **fields: Json) -> str:
    """Give what an added model `new` puts into a config."""
    edit = AddEntry(model="new", fields=fields)
    new = splice(old.encode(), "config.yaml", [edit], Scaffold()).text.decode()
    assert new.startswith(old)
    return new.removeprefix(old)


def test_a_command_of_several_lines_is_a_literal_block() -> None:
    """Line breaks stay line breaks; whether the last line has one is kept too."""
    old = "models:\n  a:\n    cmd: x\n"
    assert added(old, cmd="run\n  --deep 1\n\n-m x\n") == (
        "  new:\n    cmd: |\n      run\n        --deep 1\n\n      -m x\n"
    )
    assert added(old, cmd="run\n-m x") == "  new:\n    cmd: |-\n      run\n      -m x\n"


def test_long_lines_are_never_wrapped() -> None:
    """A command of thousands of characters stays one line."""
    cmd = "run " + "--flag value " * 500 + "end"
    assert added("models:\n  a: {}\n", cmd=cmd) == f"  new:\n    cmd: {cmd}\n"


def test_lists_and_mappings_follow_the_indentation_of_the_file() -> None:
    """Steps, dashes and nesting look like those of the entries that are there."""
    wide = "models:\n    a:\n        cmd: x\n        env:\n            - A=1\n"
    assert added(wide, aliases=["p"], meta={"k": [1]}) == (
        "    new:\n        aliases:\n            - p\n        meta:\n            k:\n"
        "                - 1\n"
    )
    flush = "models:\n  a:\n    env:\n    - A=1\n"
    assert added(flush, list=[{"a": 1, "b": [2]}, "x", [3]]) == (
        "  new:\n    list:\n    - a: 1\n      b:\n      - 2\n    - x\n    - [3]\n"
    )


def test_a_list_is_indented_where_the_file_shows_no_list() -> None:
    """Without an example, dashes stand one step in."""
    assert added("models:\n  a:\n    cmd: x\n", env=["A=1"]) == "  new:\n    env:\n      - A=1\n"


@pytest.mark.parametrize(
    "cmd", ["\n", " a\nb", "a\n\n", "a\n \nb", "\ta\nb", "a\n\x07b", "a\nb\x85"]
)
def test_text_that_no_literal_block_can_hold_is_quoted(cmd: str) -> None:
    """Leading spaces, several last line breaks, control characters: in quotes, on one line."""
    new = added("models:\n  a:\n    cmd: x\n", cmd=cmd)
    assert new.count("\n") == 2
    assert new.startswith('  new:\n    cmd: "')
