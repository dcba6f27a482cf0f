"""A config's diff is whole and small, hides secrets, and cannot act on a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.config_diff import DiffLine, LineKind, diff_lines
from reconciler.core.config_secrets import without_secrets
from reconciler.core.llamaswap.shapes import as_list
from reconciler.core.yamltext.config import read_config
from reconciler.errors import ConfigUnreadable
from tests.support.corpus import each_config
from tests.support.splice_configs import make_config

MODELS = "models:\n" + "".join(
    f"  m{number}:\n    cmd: run {number}\n    ttl: 300\n\n" for number in range(300)
)
NO_BREAK = DiffLine(kind=LineKind.NOTE, text=" No newline at end of file")


def shown(before: str, after: str) -> list[str]:
    """Give the lines of a diff as they are printed."""
    return [str(line) for line in diff_lines(before.encode(), after.encode())]


def patched(before: str, lines: tuple[DiffLine, ...]) -> str:
    """Apply a diff to what it was made from, by the numbers in it."""
    old = re.findall(r"[^\n]*\n|[^\n]+", before)
    new: list[str] = []
    position = 0
    for number, line in enumerate(lines):
        if line.kind is LineKind.PLACE:
            first, _, count = line.text.split()[1][1:].partition(",")
            start = int(first) - (count != "0")
            new += old[position:start]
            position = start
        elif line.kind is LineKind.ADDED:
            is_last = lines[number + 1 : number + 2] == (NO_BREAK,)
            new.append(line.text if is_last else f"{line.text}\n")
        elif line.kind is not LineKind.NOTE:
            assert old[position].removesuffix("\n") == line.text
            new += [old[position]] if line.kind is LineKind.SAME else []
            position += 1
    return "".join(new + old[position:])


def test_nothing_changed_is_no_diff() -> None:
    """Two equal texts have no diff, whatever they are."""
    assert diff_lines(b"", b"") == ()
    assert diff_lines(MODELS.encode(), MODELS.encode()) == ()


def test_one_changed_line_stands_between_its_neighbours() -> None:
    """A change has its place in both texts, and two lines around it that are the same."""
    after = MODELS.replace("run 7\n", "run seven\n", 1)
    assert shown(MODELS, after) == [
        "@@ -29,5 +29,5 @@",
        " ",
        "   m7:",
        "-    cmd: run 7",
        "+    cmd: run seven",
        "     ttl: 300",
        " ",
    ]


def test_texts_that_are_not_there_have_no_first_line() -> None:
    """What is added to nothing, and taken down to nothing, is told as every diff tells it."""
    assert shown("", "a: 1\n") == ["@@ -0,0 +1 @@", "+a: 1"]
    assert shown("a: 1\nb: 2\n", "") == ["@@ -1,2 +0,0 @@", "-a: 1", "-b: 2"]


def test_missing_last_break_is_told() -> None:
    """A last line that gets its line break is a change, and both sides say which has none."""
    assert shown("a: 1\nb: 2", "a: 1\nb: 2\nc: 3\n") == [
        "@@ -1,2 +1,3 @@",
        " a: 1",
        "-b: 2",
        "\\ No newline at end of file",
        "+b: 2",
        "+c: 3",
    ]


def test_many_changes_in_a_large_config_are_each_one_line() -> None:
    """Lines that come again and again do not blow the diff up: 300 changes are 300 pairs."""
    lines = shown(MODELS, MODELS.replace("ttl: 300", "ttl: 60"))
    assert sum(line.startswith("-") for line in lines) == 300
    assert sum(line.startswith("+") for line in lines) == 300


def test_carriage_returns_show_where_not_all_lines_have_one() -> None:
    """In a file of DOS they are no news; where they come or go, they are the change."""
    assert shown("a: 1\r\n", "a: 1\r\nb: 2\r\n") == ["@@ -1 +1,2 @@", " a: 1", "+b: 2"]
    assert shown("a: 1\r\n", "a: 1\n") == ["@@ -1 +1 @@", "-a: 1\\r", "+a: 1"]


def test_only_line_feeds_end_lines() -> None:
    """What some programs take for line ends is shown as what it is, within its line."""
    lines = shown("a: 1\n", 'a: "\u2028x\x85y\u2029"\n')
    assert lines[2:] == ['+a: "\\u2028x\\x85y\\u2029"']


def test_nothing_in_a_line_acts_on_the_terminal() -> None:
    """Signs that reorder a line or hide in it are shown as escapes; tabs and letters stay."""
    after = "a: 'x\u202ey\u200bz\ufeff' # \t\N{LATIN SMALL LETTER E WITH ACUTE}\n"
    assert shown("", after)[1:] == ["+a: 'x\\u202ey\\u200bz\\ufeff' # \té"]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("apiKeys: [one, 'two', \"three\"]\n", "apiKeys: [***, '***', \"***\"]\n"),
        ("apiKeys:\n  - one # why\n  - 123\n", "apiKeys:\n  - *** # why\n  - ***\n"),
        ("apiKeys:\n- ${env.KEY}\n", "apiKeys:\n- ${env.KEY}\n"),
        ("peers: {p: {apiKey: one, models: [a]}}\n", "peers: {p: {apiKey: ***, models: [a]}}\n"),
        ("k: &k one\napiKeys: [*k]\n", "k: &k ***\napiKeys: [*k]\n"),
        ("macros: {hf_token: one, ctx: 4096}\n", "macros: {hf_token: ***, ctx: 4096}\n"),
        ("my-password: |\n  one\n\n  two\n", "my-password: |\n  ***\n\n  ***\n"),
        ("headers:\n  Authorization: Bearer x y\n", "headers:\n  Authorization: ***\n"),
        ("env:\n  - HF_TOKEN=one two\n  - A=b\n", "env:\n  - HF_TOKEN=***\n  - A=b\n"),
        ('env: ["MY_API_KEY=a, b]"]\n', 'env: ["MY_API_KEY=***"]\n'),
        ("env:\n- X_PASSWORD=${env.X}\n", "env:\n- X_PASSWORD=${env.X}\n"),
        ("cmd: run --api-key one -c 1\n", "cmd: run --api-key *** -c 1\n"),
        ("cmd: |\n  run --api-key \\\n    one\n", "cmd: |\n  run --api-key \\\n    ***\n"),
        ("cmd: run --api-key='o n e' x\n", "cmd: run --api-key='***' x\n"),
        ("cmd: env HF_TOKEN=one run\n", "cmd: env HF_TOKEN=*** run\n"),
        ("proxy: http://me:one@host:1/\n", "proxy: http://me:***@host:1/\n"),
        ("# apiKeys: [one]\na: 1\n", "# apiKeys: ***\na: 1\n"),
        ("a: hf_abcdefghijklmnopqrst # x\n", "a: *** # x\n"),
        ("\ufeffapiKeys: [one]\n", "\ufeffapiKeys: [***]\n"),
    ],
)
def test_secrets_are_hidden(text: str, safe: str) -> None:
    """Keys, tokens and passwords are hidden where llama-swap or a server takes them, in whatever
    style they are written; what only names a variable stays.
    """
    assert without_secrets(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "models: {gpt-token: {cmd: run}}\n",
        "cmd: run --api-key-file /etc/keys -c 1\n",
        "env: [MAX_TOKENS=100, KEYBOARD=us]\n",
        "filters: {setParams: {max_tokens: 3}}\n",
        "metadata: {note: token count, key: c-sharp}\n",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    """Model IDs, limits and file names are shown, or the diff would tell nothing."""
    assert without_secrets(text) == text


def test_a_secret_that_changes_is_shown_as_a_change() -> None:
    """That a key is another one is told, and neither the old nor the new one is."""
    lines = shown("apiKeys: [one]\nmodels: {}\n", "apiKeys: [two]\nmodels: {}\n")
    assert lines[1:3] == ["-apiKeys: [***]", "+apiKeys: [***]"]


def test_text_whose_secrets_cannot_be_told_is_not_shown() -> None:
    """Where a text with something like a secret is no YAML, there is an error and no diff."""
    with pytest.raises(ConfigUnreadable):
        diff_lines(b"", b"apiKeys: [one\n")


@given(st.integers(0, 2**32), st.data())
def test_a_diff_holds_the_whole_change(seed: int, data: st.DataObject) -> None:
    """Applied to the old text it gives the new one: nothing is left out, and each line counted."""
    before = make_config(seed).decode().removeprefix("\ufeff").replace("\r", "")
    lines = before.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        # Comments alone come and go, so that it stays a config whatever is drawn.
        lines.insert(
            data.draw(st.integers(0, len(lines))), data.draw(st.sampled_from(["#x", "#y"]))
        )
    after = "\n".join(lines)
    assert patched(before, diff_lines(before.encode(), after.encode())) == after
    assert patched(after, diff_lines(after.encode(), before.encode())) == before


@each_config()
def test_real_configs_show_no_key_of_theirs(config: Path) -> None:
    """Whatever real people wrote, a diff of the whole file shows none of its API keys."""
    data = config.read_bytes()
    keys = as_list(read_config(data, "c").data.get("apiKeys"))
    text = "\n".join(str(line) for line in diff_lines(b"", data))
    assert not [key for key in keys if str(key) in text and "${" not in str(key)]
