"""Fields of existing entries: set, patched, and put back as they were."""

from __future__ import annotations

import pytest

from reconciler.core.edits import AddEntry, Edit, PatchField, RemoveEntry, RestoreField, SetField
from reconciler.core.ledger import Scaffold
from reconciler.core.values import Json
from reconciler.core.yamltext.compose import compose
from reconciler.core.yamltext.config import read_config, splice
from reconciler.core.yamltext.nodes import Document
from reconciler.errors import UnsafeEdit

LINES = "p\nq\n"
BLOCK: Json = {"k": [1, "x"]}


def edited(old: str, *edits: Edit) -> tuple[str, dict[tuple[str, str], str | None]]:
    """Splice a text; gives the new text and what stood in the fields."""
    outcome = splice(old.encode(), "config.yaml", edits, Scaffold())
    return outcome.text.decode(), dict(outcome.originals)


def refusal_of(old: str, *edits: Edit) -> str:
    """Give the message that an edit is refused with."""
    with pytest.raises(UnsafeEdit) as refusal:
        edited(old, *edits)
    assert refusal.value.hint
    return str(refusal.value)


def under(field: str) -> str:
    """Give a config with one entry that holds these lines, and something around it."""
    return f"# top\nmodels:\n  a:\n{field}  # of b\n  b: {{}}\n"


SETTINGS: dict[str, tuple[str, Json, str]] = {
    "plain, its comment stays": ("    f: old  # c\n", "new", "    f: new  # c\n"),
    "spaces stay": ("    f:   old   \n", 5, "    f:   5   \n"),
    "quoted": ("    f: 'o''ld' # c\n", "on", '    f: "on" # c\n'),
    "null": ("    f:\n", 5, "    f: 5\n"),
    "null with a comment": ("    f: # c\n", 5, "    f: 5 # c\n"),
    "null to lines": ("    f:  # c\n", LINES, "    f: |  # c\n      p\n      q\n"),
    "one line to several": ("    f: old  # c\n", LINES, "    f: |  # c\n      p\n      q\n"),
    "one line to a list": ("    f: old # c\n", ["x"], "    f: # c\n      - x\n"),
    "one line to a mapping": (
        "    f: old # c\n",
        BLOCK,
        "    f: # c\n      k:\n        - 1\n        - x\n",
    ),
    "literal to one line": ("    f: |  # c\n      o\n\n      p\n\n", 5, "    f: 5  # c\n\n"),
    "literal to literal": (
        "    f: >-  # c\n        o\n        p\n",
        LINES,
        "    f: |  # c\n      p\n      q\n",
    ),
    "several plain lines": ("    f: o\n\n       p  # c\n", "new", "    f: new  # c\n"),
    "on the next line": ("    f: # c\n      o\n", "new", "    f: new # c\n"),
    "on the next line, comment behind": ("    f:\n      o # c\n", 5, "    f: 5 # c\n"),
    "literal ended by spaces of its own": (
        "    f: |  # c\n      o\n        \n   \n    g: 1\n",
        5,
        "    f: 5  # c\n   \n    g: 1\n",
    ),
    "literal with its indentation given": (
        "    f: >-2 # c\n        o\n       \n    g: 1\n",
        5,
        "    f: 5 # c\n       \n    g: 1\n",
    ),
    "literal of nothing": ("    f: | # c\n\n    g: 1\n", 5, "    f: 5 # c\n\n    g: 1\n"),
    "quoted over lines": ('    f: "o\n      p\\\n      q" # c\n', 5, "    f: 5 # c\n"),
    "list": ("    f: # c\n    - o # d\n    # e\n    - p\n    # g\n", 5, "    f: 5 # c\n    # g\n"),
    "mapping": ("    f:\n      k: o\n      l:\n        m: 1\n", 5, "    f: 5\n"),
    "braces": ("    f: {o: 1} # c\n", [], "    f: [] # c\n"),
    "braces over lines": ("    f: [o,\n    p] # c\n", 5, "    f: 5 # c\n"),
    "unused anchor": ("    f: &x old # c\n", 5, "    f: 5 # c\n"),
    "tag": ("    f: !!str 5 # c\n", 5, "    f: 5 # c\n"),
    "quoted key": ('    "f" : old # c\n', 5, '    "f" : 5 # c\n'),
    "entry in braces": ("    {f: old, g: 1} # c\n", LINES, '    {f: "p\\nq\\n", g: 1} # c\n'),
    "null in braces": ("    {g: 1, f: } # c\n", 5, "    {g: 1, f: 5} # c\n"),
}


@pytest.mark.parametrize(("old", "value", "new"), SETTINGS.values(), ids=SETTINGS.keys())
def test_a_field_is_set_where_it_stands_and_put_back(old: str, value: Json, new: str) -> None:
    """Only the value's bytes change, a comment beside it stays; restoring gives the old bytes."""
    there, originals = edited(under(old), SetField(model="a", key="f", value=value))
    assert there == under(new)
    original = originals["a", "f"]
    assert original is not None
    back, _ = edited(there, RestoreField(model="a", key="f", original=original))
    assert back == under(old)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_field_set_again_and_again_is_put_back(setting: tuple[str, Json, str]) -> None:
    """The first original is enough, however often and into whatever the field was set since."""
    old, value = setting[:2]
    text, originals = edited(under(old), SetField(model="a", key="f", value=value))
    again: tuple[Json, ...] = (LINES, "one", BLOCK, None, ["x"], "a\nb", 7, value)
    for later in again:
        text, _ = edited(text, SetField(model="a", key="f", value=later))
        assert read_config(text.encode(), "c").models["a"].fields["f"].value == later
    back, _ = edited(text, RestoreField(model="a", key="f", original=originals["a", "f"]))
    assert back == under(old)


MISSING: dict[str, tuple[str, str]] = {
    "at the end of the entry": ("    g: 1 # c\n", "    g: 1 # c\n    f: 5\n"),
    "before comments below": ("    g: 1\n    # c\n\n", "    g: 1\n    f: 5\n    # c\n\n"),
    "behind a block": ("    g: |\n      o\n\n", "    g: |\n      o\n    f: 5\n\n"),
    "behind a block that keeps": ("    g: |+\n      o\n\n", "    g: |+\n      o\n\n    f: 5\n"),
    "behind a list": ("    g:\n    - o\n", "    g:\n    - o\n    f: 5\n"),
    "odd indentation": ("     g: 1\n", "     g: 1\n     f: 5\n"),
    "in braces": ("    {g: 1} # c\n", "    {g: 1, f: 5} # c\n"),
    "in braces over lines": (
        "    {g: 1, # c\n     h: 2 # d\n    }\n",
        "    {g: 1, # c\n     h: 2, f: 5 # d\n    }\n",
    ),
    "in empty braces": ("    { }\n", "    {f: 5 }\n"),
    "in an empty entry": ("", "    f: 5\n"),
}


@pytest.mark.parametrize(("old", "new"), MISSING.values(), ids=MISSING.keys())
def test_a_missing_field_is_added_and_taken_out(old: str, new: str) -> None:
    """The field gets a line of its own at the end of the entry, or a pair inside the braces."""
    there, originals = edited(under(old), SetField(model="a", key="f", value=5))
    assert there == under(new)
    assert originals == {("a", "f"): None}
    back, _ = edited(there, RestoreField(model="a", key="f", original=None))
    assert back == under(old)


@pytest.mark.parametrize("old", [old for old, _ in MISSING.values()], ids=MISSING.keys())
def test_several_added_fields_go_in_any_order(old: str) -> None:
    """Fields added in one call are taken out one by one, first or last first."""
    keys = ("f", "x y", "on")
    edits: list[Edit] = [SetField(model="a", key=key, value=[1]) for key in keys]
    text, _ = edited(under(old), *edits)
    assert list(read_config(text.encode(), "c").models["a"].fields)[-3:] == list(keys)
    for order in (keys, keys[::-1], ("x y", "f", "on")):
        left = text
        for key in order:
            left, _ = edited(left, RestoreField(model="a", key=key, original=None))
        assert left == under(old)
    at_once: list[Edit] = [RestoreField(model="a", key=key, original=None) for key in keys]
    assert edited(text, *at_once)[0] == under(old)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_open_end_of_a_file_stays_open(newline: str) -> None:
    """Where no line break ends the file, fields and entries come and go in any order."""
    old = newline.join(["models:", "  a:", "    g: 1"])
    edits: list[Edit] = [
        SetField(model="a", key="f", value=LINES),
        AddEntry(model="n", fields={"cmd": LINES}),
        SetField(model="a", key="g", value=LINES),
    ]
    there, originals = edited(old, *edits)
    models = read_config(there.encode(), "config.yaml").data["models"]
    assert models == {"a": {"g": LINES, "f": LINES}, "n": {"cmd": LINES}}
    assert not there.endswith("\n")
    assert there.count("\r") == (there.count("\n") if newline == "\r\n" else 0)
    undo: list[Edit] = [
        RestoreField(model="a", key="f", original=None),
        RemoveEntry(model="n"),
        RestoreField(model="a", key="g", original=originals["a", "g"]),
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
        left = there
        for number in order:
            left, _ = edited(left, undo[number])
        assert left == old


def test_a_field_that_a_merge_key_brings_is_overridden() -> None:
    """The entry gets a key of its own; taking it out lets the merged value show again."""
    old = "models:\n  a: &a\n    ttl: 1\n  b:\n    <<: *a\n"
    there, originals = edited(old, SetField(model="b", key="ttl", value=2))
    assert there == old + "    ttl: 2\n"
    assert (
        edited(there, RestoreField(model="b", key="ttl", original=originals["b", "ttl"]))[0] == old
    )


def test_an_alias_in_a_field_is_replaced_and_comes_back() -> None:
    """A field that is an alias can be set: that touches nobody else."""
    old = "models:\n  a:\n    p: &p x\n  b:\n    p: *p # c\n"
    there, originals = edited(old, SetField(model="b", key="p", value="z"))
    assert there == old.replace("*p", "z")
    assert edited(there, RestoreField(model="b", key="p", original=originals["b", "p"]))[0] == old


def test_an_anchor_and_its_alias_come_back_in_one_call() -> None:
    """Once nobody uses an anchor it can be replaced; both come back together."""
    old = "models:\n  a:\n    p: &p x\n    q: *p\n"
    there, originals = edited(
        old, SetField(model="a", key="q", value="r"), SetField(model="a", key="p", value="z")
    )
    assert there == "models:\n  a:\n    p: z\n    q: r\n"
    undo = [RestoreField(model="a", key=key, original=originals["a", key]) for key in ("q", "p")]
    assert edited(there, *undo)[0] == old


REFUSED = {
    "referenced anchor": (
        "models:\n  a:\n    f: &x y\n  b:\n    f: *x\n",
        "config.yaml:3:8: field 'f' holds anchor &x, which line 5 uses",
    ),
    "anchor of the entry": (
        "models:\n  a: &a\n    f: y\n  b:\n    <<: *a\n",
        "config.yaml:2:6: entry 'a' holds anchor &a, which line 5 uses",
    ),
    "alias as entry": (
        "models:\n  x: &x {f: 1}\n  a: *x\n",
        "config.yaml:3:6: entry 'a' is alias *x: editing it would edit line 2 and all else that "
        "uses the anchor",
    ),
    "entry that is text": ("models:\n  a: text\n", "config.yaml:2:6: entry 'a' is no mapping"),
    "entry that is a written null": (
        "models:\n  a: ~\n",
        "config.yaml:2:6: entry 'a' is no mapping",
    ),
    "entry from a merge key": (
        "x: &x\n  a: {f: 1}\nmodels:\n  <<: *x\n",
        "config.yaml:3:1: `models` has no entry 'a' of its own",
    ),
    "no such entry": ("models: {b: }\n", "config.yaml:1:1: `models` has no entry 'a' of its own"),
    "no models": ("# c\n", "config.yaml:1:1: `models` has no entry 'a' of its own"),
    "question mark": (
        "models:\n  a:\n    ? f\n    : 1\n",
        "config.yaml:3:7: key 'f' is not written plainly at its line's start",
    ),
    "key without a colon": ("models:\n  a: {f}\n", "config.yaml:2:7: key 'f' has no colon"),
    "block that keeps its blank lines": (
        "models:\n  a:\n    f: |+\n      x\n\n",
        "config.yaml:3:8: field 'f' holds a block that keeps its blank lines (`+`)",
    ),
}


@pytest.mark.parametrize(("old", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_set_without_touching_more_is_refused(old: str, message: str) -> None:
    """The refusal names the place and the reason."""
    assert refusal_of(old, SetField(model="a", key="f", value=2)) == message


def test_a_change_that_others_would_see_through_an_anchor_above_is_refused() -> None:
    """Where reading the result back shows more changes than were meant, nothing is changed."""
    old = "models: &m\n  a:\n    f: 1\ncopy: *m\n"
    assert "would change 'copy' too" in refusal_of(old, SetField(model="a", key="f", value=2))


def test_a_field_that_is_gone_cannot_be_put_back() -> None:
    """Somebody took the field out meanwhile: the refusal says so."""
    old = "models:\n  a:\n    g: 1\n"
    for original in (None, " 5"):
        edit = RestoreField(model="a", key="f", original=original)
        assert refusal_of(old, edit) == "config.yaml:2:3: entry 'a' has no field 'f'"


def test_an_original_that_fits_no_more_is_refused() -> None:
    """A text that would not be read back, or would change other values, is not put in."""
    old = "models:\n  a:\n    f: 1\n    g: 2\n"
    for original in (" *gone", " 1\n    h: 3\n", " [", " 1\n  b: {}\n"):
        edit = RestoreField(model="a", key="f", original=original)
        assert refusal_of(old, edit).startswith("config.yaml:")


def test_a_deep_comment_is_not_swallowed_by_a_block() -> None:
    """Where a comment below stands as deep as a block would, the text is quoted instead."""
    old = "models:\n  a:\n    f: x\n          # deep\n    g: 1\n"
    there, _ = edited(old, SetField(model="a", key="f", value=LINES))
    assert there == old.replace("f: x", 'f: "p\\nq\\n"')


def test_a_deep_comment_is_not_swallowed_once_what_parts_it_is_gone() -> None:
    """A block is not begun where only a field of ours keeps a deep comment away from it."""
    old = "models:\n  a:\n    f: x\n          # deep\n"
    there, _ = edited(old, SetField(model="a", key="m", value=5))
    assert there == old.replace("f: x\n", "f: x\n    m: 5\n")
    there, _ = edited(there, SetField(model="a", key="f", value=LINES))
    there, _ = edited(there, RestoreField(model="a", key="m", original=None))
    assert there == old.replace("f: x", 'f: "p\\nq\\n"')


def test_a_block_without_its_last_line_break_is_put_back_in_any_order() -> None:
    """At the open end of a file a block may gain and lose its line break on the way back."""
    old = "models:\n  a:\n    f: |\n      x"
    step, originals = edited(old, SetField(model="a", key="f", value="y"))
    there, _ = edited(step, AddEntry(model="n", fields={"cmd": "z"}))
    undo: list[Edit] = [
        RestoreField(model="a", key="f", original=originals["a", "f"]),
        RemoveEntry(model="n"),
    ]
    for order in (undo, undo[::-1]):
        left = there
        for edit in order:
            left, _ = edited(left, edit)
        assert left == old


def test_an_alias_follows_the_anchor_that_is_put_back() -> None:
    """Restoring what an alias names changes what the alias means, and that is as it was."""
    old = "models:\n  a:\n    p: &p x\n  b:\n    q: *p\n"
    there, originals = edited(
        old,
        SetField(model="b", key="q", value=1),
        PatchField(model="a", key="p", words=(("x", "w"),)),
    )
    for model, key in (("b", "q"), ("a", "p")):
        edit = RestoreField(model=model, key=key, original=originals[model, key])
        there, _ = edited(there, edit)
    assert there == old


def test_originals_tell_of_the_first_text_of_each_field() -> None:
    """A field named twice in one call is remembered as it stood before the call."""
    old = "models:\n  a:\n    f: 1\n"
    _, originals = edited(
        old,
        SetField(model="a", key="f", value=2),
        SetField(model="a", key="f", value=3),
        SetField(model="a", key="n", value=1),
        SetField(model="a", key="n", value=2),
    )
    assert originals == {("a", "f"): " 1", ("a", "n"): None}


def test_a_thousand_edits_are_made_in_one_call() -> None:
    """Many edits of many entries give the text that one edit after the other gives."""
    old = "models:\n" + "".join(f"  m{n}:\n    cmd: x -m /m/{n}\n" for n in range(1000))
    edits: list[Edit] = [SetField(model=f"m{n}", key="ttl", value=n) for n in range(500)]
    edits += [PatchField(model=f"m{n}", key="cmd", words=((f"/m/{n}", "/n"),)) for n in range(500)]
    there, originals = edited(old, *edits)
    assert there.count("    cmd: x -m /n\n    ttl: ") == 500
    undo = [RestoreField(model=m, key=key, original=text) for (m, key), text in originals.items()]
    assert edited(there, *undo)[0] == old


BRACES = "models: {" + ", ".join(f"m{n}: {{cmd: x}}" for n in range(300)) + "}\n"
ALIASES = "models:\n" + "".join(f"  m{n}:\n    cmd: &a{n} x\n    name: *a{n}\n" for n in range(300))


@pytest.mark.parametrize(
    "old",
    [BRACES, "{" + BRACES.strip() + "}", ALIASES, ALIASES.rstrip("\n")],
    ids=["braces", "one line", "aliases", "open end"],
)
def test_many_edits_are_made_on_one_reading(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the edits are and in whatever order they come, the text is read before and after:
    with one reading for each edit, some hundred models would take seconds.
    """
    readings = []

    def counted(text: str, path: str) -> Document:
        readings.append(len(text))
        return compose(text, path)

    monkeypatch.setattr("reconciler.core.yamltext.config.compose", counted)
    edits: list[Edit] = []
    for n in range(100):
        edits += [
            SetField(model=f"m{n}", key="name", value="q"),
            RemoveEntry(model=f"m{n + 100}"),
            AddEntry(model=f"new{n}", fields={"cmd": "y"}),
            SetField(model=f"m{n + 200}", key="cmd", value="z"),
            SetField(model=f"m{n + 200}", key="name", value="r"),
        ]
    new, _ = edited(old, *edits)
    assert readings == [len(old), len(new)]
    models = read_config(new.encode(), "config.yaml").models
    assert len(models) == 300
    assert models["m200"].fields["name"].value == "r"


def test_an_anchor_may_be_set_with_the_alias_that_uses_it() -> None:
    """An alias that goes in the same call keeps no anchor from being edited, whatever comes first;
    one that stays does.
    """
    old = "models:\n  a:\n    cmd: &c x\n    name: *c\n  b:\n    name: *c\n"
    anchor = SetField(model="a", key="cmd", value="new")
    alias = SetField(model="a", key="name", value="other")
    gone = RemoveEntry(model="b")
    new, originals = edited(old, anchor, gone, alias)
    assert new == "models:\n  a:\n    cmd: new\n    name: other\n"
    assert originals == {("a", "cmd"): " &c x", ("a", "name"): " *c"}
    for some in ([anchor, alias], [gone, anchor]):
        with pytest.raises(UnsafeEdit, match="field 'cmd' holds anchor &c, which line"):
            edited(old, *some)


@pytest.mark.parametrize("old", ["models: {a: {f: 1}}\n", "{models: {a: {f: 1}}}"])
def test_all_of_a_mapping_in_braces_gives_way_to_something_new(old: str) -> None:
    """What goes and what comes share no comma: the braces hold the new alone."""
    new, _ = edited(
        old, SetField(model="a", key="g", value=2), RestoreField(model="a", key="f", original=None)
    )
    assert new == old.replace("f: 1", "g: 2")
    new, _ = edited(old, RemoveEntry(model="a"), AddEntry(model="b", fields={"g": 2}))
    assert new == old.replace("a: {f: 1}", "b: {g: 2}")


@pytest.mark.parametrize("old", ["", "# alone", "{}\n", "models: {}\n", "x: 1\nmodels:\n"])
def test_what_we_made_around_entries_stays_while_one_of_ours_does(old: str) -> None:
    """One entry of ours gives way to another in one call; with the last the old bytes are back."""
    first = splice(old.encode(), "c", [AddEntry(model="a", fields={"cmd": "x"})], Scaffold())
    swap: list[Edit] = [RemoveEntry(model="a"), AddEntry(model="b", fields={"cmd": "x"})]
    second = splice(first.text, "c", swap, first.scaffold)
    assert second.text == first.text.replace(b"a:", b"b:")
    assert second.scaffold == first.scaffold
    last = splice(second.text, "c", [RemoveEntry(model="b")], second.scaffold)
    assert (last.text.decode(), last.scaffold) == (old, Scaffold())
