"""The very text that edits of pairs and items leave, and the words with which they are refused."""

from __future__ import annotations

import pytest

from reconciler.core.edits import (
    AddEntry,
    AddItem,
    Edit,
    RemoveEntry,
    RemoveItem,
    RenameKey,
    SetField,
    SetItem,
)
from reconciler.core.ledger import Scaffold
from reconciler.core.values import Json
from reconciler.core.yamltext.config import splice
from reconciler.errors import UnsafeEdit


def new_text(text: str, *edits: Edit) -> str:
    """Give the text after edits."""
    return splice(text.encode(), "config.yaml", edits, Scaffold()).text.decode()


def refusal_of(text: str, *edits: Edit) -> str:
    """Give the message with which edits are refused."""
    with pytest.raises(UnsafeEdit) as refusal:
        splice(text.encode(), "config.yaml", edits, Scaffold())
    return refusal.value.message


def gone(place: str, empty: str | None = None) -> RemoveItem:
    """Take out what stands at a place, its parts parted by blanks."""
    return RemoveItem(place=tuple(place.split()), empty=empty)


def new(place: str, value: Json) -> AddItem:
    """Add a value at a place."""
    return AddItem(place=tuple(place.split()), value=value)


def now(place: str, value: str) -> SetItem:
    """Set the text at a place."""
    return SetItem(place=tuple(place.split()), value=value)


def called(place: str, key: str) -> RenameKey:
    """Rename the last key of a place."""
    return RenameKey(place=tuple(place.split()), key=key)


CASES: dict[str, tuple[str, list[Edit], str]] = {
    "item with its comment": ("l:\n- a # x\n# y\n- b\n", [gone("l 0")], "l:\n# y\n- b\n"),
    "item of several lines": ("l:\n  - a\n    b\n  - c\n", [gone("l 0")], "l:\n  - c\n"),
    "all items": (
        "l:  # who\n  - a\n  - b\nk: 1\n",
        [gone("l 0"), gone("l 1")],
        "l: []  # who\nk: 1\n",
    ),
    "all pairs": ("m: &x\n  a: 1\nk: 1\n", [gone("m a")], "m: &x {}\nk: 1\n"),
    "all, to null": ("l:\n  - a\n", [gone("l 0", "")], "l:\n"),
    "all, to its text": ("l:\n  - a\n", [gone("l 0", "  [ ]")], "l:  [ ]\n"),
    "all at an open end": ("l:\r\n  - a", [gone("l 0")], "l: []"),
    "parted pair": ("m:\n  a: 1\n\n  b: 2\n", [gone("m b")], "m:\n  a: 1\n"),
    "first in flow": ("l: [ a, b, c ]\n", [gone("l 0")], "l: [ b, c ]\n"),
    "some in flow": ("l: [a, b, c, d]\n", [gone("l 1"), gone("l 2")], "l: [a, d]\n"),
    "all in flow": ("l: [a, b,]\n", [gone("l 0"), gone("l 1")], "l: []\n"),
    "line in flow": ("l: [\n  a,\n  b\n]\n", [gone("l 1")], "l: [\n  a\n]\n"),
    "pair in flow": ("m: {a: 1, b: {c: 2}}\n", [gone("m b c"), gone("m a")], "m: {b: {}}\n"),
    "add as neighbours": ("l:\n-   'a'\n", [new("l 1", "b")], "l:\n-   'a'\n-   'b'\n"),
    "add needs quotes": ("l:\n  - a\n", [new("l 1", "on")], 'l:\n  - a\n  - "on"\n'),
    "add below comments": (
        "m:\n  l:\n    - a\n    # b\n  # c\nk: 1\n",
        [new("m l 1", "d")],
        "m:\n  l:\n    - a\n    # b\n    - d\n  # c\nk: 1\n",
    ),
    "add above a comment of what follows": (
        "l:\n- a\n# about k\nk: 1\n",
        [new("l 1", "b")],
        "l:\n- a\n- b\n# about k\nk: 1\n",
    ),
    "add lines in flow": ("l: [\n  a,\n  b\n]\n", [new("l 2", "c")], "l: [\n  a,\n  b,\n  c\n]\n"),
    "add several": ("l: [a]\n", [new("l 1", "b"), new("l 2", "c")], "l: [a, b, c]\n"),
    "add in exchange": ("l: [a]\n", [gone("l 0"), new("l 1", "b")], "l: [b]\n"),
    "add in exchange at an open end": (
        "l:\n  - a\n  - b",
        [gone("l 1"), new("l 2", "c")],
        "l:\n  - a\n  - c",
    ),
    "add above what goes at an open end": (
        "m:\n  a:\n    l:\n      - x\n  b: 1",
        [new("m a l 1", "z"), gone("m b")],
        "m:\n  a:\n    l:\n      - x\n      - z",
    ),
    "add inside and behind": (
        "m:\n  a:\n    l:\n      - q\n",
        [new("m b", 1), new("m a l 1", "r")],
        "m:\n  a:\n    l:\n      - q\n      - r\n  b: 1\n",
    ),
    "fill null": ("m: # x\nk: 1\n", [new("m a", ["b"])], "m: # x\n  a:\n    - b\nk: 1\n"),
    "fill list": ("m:\n  l: []\n", [new("m l 0", "a")], "m:\n  l:\n    - a\n"),
    "fill in flow": ("m: {l: , k: 1}\n", [new("m l 0", "a")], "m: {l: [a], k: 1}\n"),
    "top level": ("a: 1\n", [new("groups", {"g": {}})], "a: 1\n\ngroups:\n  g: {}\n"),
    "empty config": ("# c\n", [new("a", 1)], "# c\n\na: 1\n"),
    "set keeps quotes": (
        "l: ['a', \"b\", c]\n",
        [now("l 0", "it's"), now("l 1", "é"), now("l 2", "d")],
        "l: ['it''s', \"é\", d]\n",
    ),
    "set keeps a block": (
        "m:\n  s: >-  # n\n    a\n    b\n",
        [now("m s", "c")],
        "m:\n  s: >-  # n\n    c\n",
    ),
    "set leaves a block": ("m:\n  s: |-  # n\n    a\n", [now("m s", " c")], 'm:\n  s: " c"  # n\n'),
    "set an alias": ("a: &a x\nl: [*a]\n", [now("l 0", "z")], "a: &a x\nl: [z]\n"),
    "set a null": ("m:\n  a:\n  b:\n", [now("m a", "x")], "m:\n  a: x\n  b:\n"),
    "set beside an anchor": ("a: &a 'x'\n", [now("a", "y")], "a: &a 'y'\n"),
    "rename plain": (
        "models:\n  a: &x # c\n    cmd: y\n  b: *x\n",
        [called("models a", "org/n:Q4")],
        "models:\n  org/n:Q4: &x # c\n    cmd: y\n  b: *x\n",
    ),
    "rename quoted": ("m: {'a' : 1}\n", [called("m a", "b c")], "m: {'b c' : 1}\n"),
    "rename to a number": ("m:\n  a: 1\n", [called("m a", "7")], 'm:\n  "7": 1\n'),
    "rename in a list": ("l:\n  - a: 1\n", [called("l 0 a", "b")], "l:\n  - b: 1\n"),
    "exchange names": (
        "m: {a: 1, b: 2}\n",
        [called("m a", "b"), called("m b", "a")],
        "m: {b: 1, a: 2}\n",
    ),
    "inside of what goes": (
        "m:\n  g:\n    l: [a]\n  h: 1\n",
        [gone("m g l 0"), gone("m g")],
        "m:\n  h: 1\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_edit_leaves_this_very_text(case: str) -> None:
    """Each edit changes its own span, in the manner of the file; all else stays as it stood."""
    old, edits, text = CASES[case]
    assert new_text(old, *edits) == text


REFUSED: dict[str, tuple[str, list[Edit], str]] = {
    "missing": ("m: {a: 1}\n", [gone("m b")], "1:4: there is no `m.b`"),
    "past the end": ("l:\n  - a\n", [gone("l 1")], "2:3: there is no `l.1`"),
    "not the end": ("l: [a]\n", [new("l 0", "b")], "1:4: `l.0` is not the end of the list"),
    "a leaf": ("a: b\n", [new("a b", 1)], "1:4: `a` is neither mapping nor list"),
    "there already": ("m:\n  a: 1\n  b: 2\n", [called("m a", "b")], "3:3: there is `m.b` already"),
    "added twice": ("m: {x: 1}\n", [new("m a", 1), new("m a", 2)], "there is `m.a` already"),
    "two minds": ("m: {x: y}\n", [now("m x", "a"), now("m x", "b")], "is to become two things"),
    "into what goes": (
        "m: {x: {}}\n",
        [gone("m x"), new("m x y", 1)],
        "cannot come into what goes",
    ),
    "anchor used": ("m:\n  a: &a 1\nb: *a\n", [gone("m a")], "`m.a` holds anchor &a, which line 3"),
    "anchor above used": (
        "m: &m\n  l: [a]\nb: *m\n",
        [gone("m l 0")],
        "`m` holds anchor &m, which",
    ),
    "key anchor used": ("m:\n  &k a: 1\nb: *k\n", [called("m a", "c")], "the key of `m.a` holds"),
    "alias": ("m: &m {a: 1}\nb: *m\n", [gone("b a")], "2:4: `b` is alias *m"),
    "merge key": ("m: &m {a: 1}\nb:\n  <<: *m\n", [gone("b a")], "`b.a` comes by a merge key"),
    "explicit key": ("m:\n  ? a\n  : 1\n", [called("m a", "b")], "2:5: the key of `m.a` is not"),
    "shared line": ("l:\n  - - a\n    - b\n", [gone("l 0 0")], "2:5: `l.0.0` shares its line"),
    "comment in flow": ("l: [\n  a, # x\n  b\n]\n", [gone("l 1")], "2:6: a comment stands here"),
    "its comment in flow": (
        "l: [\n  a,\n  b # x\n]\n",
        [gone("l 1")],
        "3:5: a comment stands here",
    ),
    "pair in brackets": ("l: [a: 1]\n", [new("l 0 b", 2)], "1:5: this is a pair in brackets"),
    "block at an open end": (
        "l:\n  - |\n    a",
        [new("l 1", "b")],
        "2:5: this block ends the text",
    ),
    "null in a list": ("l:\n  -\n  - a\n", [new("l 0 x", 1)], "the null of `l.0` cannot be filled"),
    "read into a block": (
        "a: |\n  x\nb: 1\n    # deep\nc: 1\n",
        [gone("b")],
        "the edits would change 'a' too",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_edited_safely_is_refused_with_its_place(case: str) -> None:
    """Nothing is changed then; the message tells where and why."""
    old, edits, message = REFUSED[case]
    assert message in refusal_of(old, *edits)


def test_edits_of_items_and_of_entries_work_together_whatever_their_order() -> None:
    """Places mean the text as it was, models are named as they are called afterwards."""
    old = (
        "groups:\n  g:\n    members: [a, b]\nmodels:\n  a:\n    cmd: x\n"
        "  b:\n    cmd: y\n  c:\n    cmd: z\n"
    )
    edits: list[Edit] = [
        SetField(model="new", key="ttl", value=5),
        AddEntry(model="d", fields={"cmd": "w"}),
        gone("groups g members 1"),
        RemoveEntry(model="b"),
        called("models a", "new"),
        now("groups g members 0", "new"),
        SetField(model="c", key="cmd", value="zz"),
    ]
    wanted = (
        "groups:\n  g:\n    members: [new]\nmodels:\n  new:\n    cmd: x\n    ttl: 5\n"
        "  c:\n    cmd: zz\n  d:\n    cmd: w\n"
    )
    assert new_text(old, *edits) == wanted
    assert new_text(old, *reversed(edits)) == wanted


def test_entries_that_all_go_as_others_come_keep_their_place() -> None:
    """`models:` stays where it is when its last old entry goes and a new one comes."""
    old = "models:\n  a:\n    cmd: x\n\nk: 1\n"
    edits: list[Edit] = [RemoveEntry(model="a"), AddEntry(model="b", fields={"cmd": "z"})]
    scaffold = Scaffold(models_key=True)
    done = splice(old.encode(), "config.yaml", edits, scaffold)
    assert done.text.decode() == "models:\n  b:\n    cmd: z\n\nk: 1\n"
    assert done.scaffold == scaffold


def test_what_was_filled_and_renamed_is_told() -> None:
    """`filled` and `renamed` give the old texts by their places, for the way back."""
    old = "m:\n  l: [ ]\n  'k': ~\n"
    edits: list[Edit] = [new("m l 0", "a"), called("m k", "n"), new("m k x", 1)]
    done = splice(old.encode(), "config.yaml", edits, Scaffold())
    assert done.text.decode() == "m:\n  l:\n    - a\n  'n':\n    x: 1\n"
    assert done.filled == {("m", "l"): " [ ]", ("m", "k"): " ~"}
    assert done.renamed == {("m", "k"): "'k'"}
