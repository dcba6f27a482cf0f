"""Reading a config: values as llama-swap sees them, places, and refusals that say where."""

from __future__ import annotations

import datetime
import math

import pytest

from reconciler.core.edits import AddEntry, SetField
from reconciler.core.ledger import Scaffold
from reconciler.core.yamltext.config import read_config, splice
from reconciler.errors import ConfigUnreadable, ReconcilerError, UnsafeEdit


def faults_of(data: bytes) -> list[tuple[int, int, str]]:
    """Give what reading a config finds wrong with it."""
    with pytest.raises(ConfigUnreadable) as refusal:
        read_config(data, "config.yaml")
    assert refusal.value.hint
    assert all(fault.path == "config.yaml" for fault in refusal.value.faults)
    return [(fault.line, fault.column, fault.message) for fault in refusal.value.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("on", "on"),
        ("yes", "yes"),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("017", 15),
        ("0o17", 15),
        ("08", 8.0),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("0.70", 0.7),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("18446744073709551616", 18446744073709551616.0),
        ("9" * 5000, "9" * 5000),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("127.0.0.1", "127.0.0.1"),
        ("-x", "-x"),
        ("'300'", "300"),
        ('"\\u00e9"', "é"),
        ("!!str 300", "300"),
        ("!!int '300'", 300),
        ("!custom 300", "300"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
    ],
)
def test_scalars_mean_what_llama_swap_takes_them_for(text: str, value: object) -> None:
    """Plain words are resolved as Go's reader does; dates and times stay text."""
    read = read_config(f"key: {text}\n".encode(), "config.yaml").data["key"]
    assert read == value
    assert type(read) is type(value)
    assert not isinstance(read, datetime.date)


def test_fields_are_shown_with_their_text_and_line() -> None:
    """Each field has its value, the text it is written in, and the line of its key."""
    data = b"# top\nmodels:\n  a:\n    cmd: |  # run\n      x -m /y\n\n    ttl: 0x10 # hex\n  b:\n"
    view = read_config(data, "config.yaml")
    assert list(view.models) == ["a", "b"]
    entry = view.models["a"]
    assert (entry.model, entry.line) == ("a", 3)
    assert entry.fields["cmd"].value == "x -m /y\n"
    assert entry.fields["cmd"].text == "|  # run\n      x -m /y"
    assert (entry.fields["ttl"].value, entry.fields["ttl"].text) == (16, "0x10")
    assert (entry.fields["ttl"].line, view.models["b"].line) == (7, 8)
    assert not view.models["b"].fields


def test_fields_that_a_merge_key_brings_are_shown_with_their_origin() -> None:
    """Own fields win over merged ones; a merged one shows the line that it is written in."""
    data = b"models:\n  a: &a\n    cmd: x\n    ttl: 1\n  b:\n    <<: *a\n    ttl: 2\n  c: *a\n"
    view = read_config(data, "config.yaml")
    assert view.data["models"] == {
        "a": {"cmd": "x", "ttl": 1},
        "b": {"cmd": "x", "ttl": 2},
        "c": {"cmd": "x", "ttl": 1},
    }
    assert {key: field.line for key, field in view.models["b"].fields.items()} == {
        "ttl": 7,
        "cmd": 3,
    }
    assert view.models["c"].fields["cmd"].line == 3


def test_of_several_merged_mappings_the_first_one_wins() -> None:
    """A list behind a merge key is read from the left, as Go's reader does."""
    data = b"x: &x {p: 1}\ny: &y {p: 2, q: 2}\nz:\n  <<: [*x, *y]\n"
    assert read_config(data, "config.yaml").data["z"] == {"p": 1, "q": 2}


def test_an_anchor_defined_twice_means_its_last_definition_above() -> None:
    """Anchors may be redefined, as llama-swap's own reader allows."""
    data = b"a: &k 1\nb: *k\nc: &k 2\nd: *k\n"
    assert read_config(data, "config.yaml").data == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_keys_that_are_no_strings_are_shown_as_they_are_written() -> None:
    """A model called 7 or true is found by its text."""
    data = b"models:\n  7: {cmd: x}\n  true: {cmd: y}\n  1e3: {cmd: z}\n"
    assert list(read_config(data, "config.yaml").models) == ["7", "true", "1e3"]


@pytest.mark.parametrize("data", [b"", b"# only a comment\n", b"---\n", b"---\n# c\n...\n", b"~\n"])
def test_an_empty_config_has_no_models(data: bytes) -> None:
    """Nothing but comments is a config without keys, not an error."""
    view = read_config(data, "config.yaml")
    assert (view.data, view.models) == ({}, {})


def test_a_second_document_is_ignored_even_when_it_is_broken() -> None:
    """Only the first document counts, as for llama-swap."""
    data = b"a: 1\n---\nb: [\n"
    assert read_config(data, "config.yaml").data == {"a": 1}


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    """Files that begin with a BOM read like any other."""
    assert read_config(b"\xef\xbb\xbfa: 1\n", "config.yaml").data == {"a": 1}


@pytest.mark.parametrize(
    ("data", "line", "column", "part"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, 1, "first in line 1"),
        (b"models:\n  a:\n    x: {k: 1, k: 2}\n", 3, 15, "'k' stands here again"),
        (b"a:\n\tb: 1\n", 2, 1, "tab"),
        (b"ok: \xc3\xa9\nbad: \xff\n", 2, 6, "0xff is no UTF-8"),
        (b"a: \x01\n", 1, 4, "control character U+0001"),
        (b"a: 'x\n", 2, 1, "end of stream"),
        (b"a: *nobody\n", 1, 4, "*nobody is defined nowhere above"),
        (b"a: &a\n  b: *a\n", 2, 6, "*a contains itself"),
        (b"a: b: c\n", 1, 5, "mapping values are not allowed"),
        (b"- a\n", 1, 1, "the config is no mapping"),
        (b"models: [a]\n", 1, 9, "`models` is no mapping"),
        (b"models: text\n", 1, 9, "`models` is no mapping"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    data: bytes, line: int, column: int, part: str
) -> None:
    """Every fault names line and column and says what is wrong there."""
    ((found_line, found_column, message),) = faults_of(data)
    assert (found_line, found_column) == (line, column)
    assert part in message


def test_nesting_without_end_is_refused() -> None:
    """A text nested thousands deep ends in a refusal, not in a stack overflow."""
    ((_, _, message),) = faults_of(b"a: " + b"[" * 5000 + b"]" * 5000 + b"\n")
    assert "deeper than" in message


def test_aliases_that_unfold_to_billions_of_values_are_refused() -> None:
    """A few lines of nested aliases cost no memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    ((line, _, message),) = faults_of("\n".join(lines).encode())
    assert "unfold" in message
    assert line < 10


@pytest.mark.parametrize("data", [b"a: 1\na: 2\n", b"models: [a]\n", b"\xff"])
def test_an_edit_of_what_cannot_be_read_is_refused_the_same_way(data: bytes) -> None:
    """Splicing an unreadable config says what reading it says."""
    edit = AddEntry(model="m", fields={"cmd": "x"})
    with pytest.raises(ConfigUnreadable) as refusal:
        splice(data, "config.yaml", [edit], Scaffold())
    message = str(refusal.value)
    with pytest.raises(ConfigUnreadable) as same:
        read_config(data, "config.yaml")
    assert message == str(same.value)


def test_a_config_whose_lines_end_in_a_lone_carriage_return_is_not_edited() -> None:
    """Such lines are not ours to tell apart; reading works, an edit is refused with its place."""
    data = b"a: 1\rmodels:\r  m:\r    cmd: x\r"
    assert list(read_config(data, "config.yaml").models) == ["m"]
    with pytest.raises(UnsafeEdit, match=r"config\.yaml:1:5: .*carriage return"):
        splice(data, "config.yaml", [SetField(model="m", key="ttl", value=1)], Scaffold())


def test_without_edits_the_bytes_are_given_back_unread() -> None:
    """No edit, no reading: even a text that is no YAML comes back as it is."""
    scaffold = Scaffold(models_key=True)
    outcome = splice(b"\xff\x00", "config.yaml", [], scaffold)
    assert (outcome.text, outcome.scaffold) == (b"\xff\x00", scaffold)


def test_every_refusal_is_of_our_own_error_tree() -> None:
    """The parser's own exceptions never come through."""
    for data in (b"%FOO bar\n---\n", b"!<tag a\n", b"&\n", b"? [\n", b"a: |x\n", b"\t"):
        with pytest.raises(ReconcilerError):
            read_config(data, "config.yaml")
