"""Entries put under `models:` and taken out again."""

from __future__ import annotations

import pytest

from reconciler.core.edits import (
    AddEntry,
    AddItem,
    Edit,
    RemoveEntry,
    RemoveItem,
    SetField,
)
from reconciler.core.ledger import Scaffold
from reconciler.core.yamltext.config import Spliced, read_config, splice
from reconciler.core.yamltext.nodes import place_before
from reconciler.core.yamltext.spans import Changes
from reconciler.errors import UnsafeEdit

NEW = AddEntry(model="new", fields={"cmd": "x"})
GONE = RemoveEntry(model="new")


def edited(old: str, *edits: Edit, scaffold: Scaffold | None = None) -> Spliced:
    """Splice a text with its line ends as they stand."""
    return splice(old.encode(), "config.yaml", edits, scaffold or Scaffold())


def refusal_of(old: str, *edits: Edit) -> str:
    """Give the message that an edit is refused with."""
    with pytest.raises(UnsafeEdit) as refusal:
        edited(old, *edits)
    assert refusal.value.hint
    return str(refusal.value)


SHAPES = {
    "one entry": ("models:\n  a:\n    cmd: y\n", "models:\n  a:\n    cmd: y\n  new:\n    cmd: x\n"),
    "before the next section and its comment": (
        "models:\n  a: {}\n\n# groups\ngroups: {}\n",
        "models:\n  a: {}\n  new:\n    cmd: x\n\n# groups\ngroups: {}\n",
    ),
    "behind comments of the entries": (
        "models:\n  a: {}\n\n  # b:\n  #   cmd: z\n\ngroups: {}\n",
        "models:\n  a: {}\n\n  # b:\n  #   cmd: z\n  new:\n    cmd: x\n\ngroups: {}\n",
    ),
    "parted as the others are": (
        "models:\n  a: {}\n\n  b: {}\ngroups: {}\n",
        "models:\n  a: {}\n\n  b: {}\n\n  new:\n    cmd: x\ngroups: {}\n",
    ),
    "four spaces": (
        "models:\n    a:\n        cmd: y\n",
        "models:\n    a:\n        cmd: y\n    new:\n        cmd: x\n",
    ),
    "as the last entry where they differ": (
        "models:\n  a:\n      cmd: y\n  b:\n   cmd: y\n",
        "models:\n  a:\n      cmd: y\n  b:\n   cmd: y\n  new:\n   cmd: x\n",
    ),
    "CRLF": (
        "models:\r\n  a:\r\n    cmd: y\r\n",
        "models:\r\n  a:\r\n    cmd: y\r\n  new:\r\n    cmd: x\r\n",
    ),
    "no last line break": (
        "models:\n  a:\n    cmd: y",
        "models:\n  a:\n    cmd: y\n  new:\n    cmd: x",
    ),
    "a block without its last line break": (
        "models:\n  # of a\n  a:\n    cmd: |\n      y",
        "models:\n  new:\n    cmd: x\n  # of a\n  a:\n    cmd: |\n      y",
    ),
    "a block that keeps its blank lines": (
        "models:\n  b: {}\n\n  a:\n    cmd: |+\n      y\n\n",
        "models:\n  b: {}\n\n  a:\n    cmd: |+\n      y\n\n  new:\n    cmd: x\n",
    ),
    "a block that would keep an empty line": (
        "models:\n  b: {}\n\n  a:\n    cmd: |+\n      y\n",
        "models:\n  b: {}\n\n  a:\n    cmd: |+\n      y\n  new:\n    cmd: x\n",
    ),
    "byte order mark": ("\ufeffmodels:\n  a:\n", "\ufeffmodels:\n  a:\n  new:\n    cmd: x\n"),
    "an entry with a null": ("models:\n  a:\n", "models:\n  a:\n  new:\n    cmd: x\n"),
    "merge keys and anchors": (
        "models:\n  a: &a\n    cmd: y\n  b:\n    <<: *a\n",
        "models:\n  a: &a\n    cmd: y\n  b:\n    <<: *a\n  new:\n    cmd: x\n",
    ),
    "in braces": ("models: {a: {cmd: y}} # c\n", "models: {a: {cmd: y}, new: {cmd: x}} # c\n"),
    "in braces over lines": (
        "models: {\n  a: {cmd: y}, # a\n  b: {} # b\n}\n",
        "models: {\n  a: {cmd: y}, # a\n  b: {}, new: {cmd: x} # b\n}\n",
    ),
    "in braces with a last comma": ("models: {a: {}, }\n", "models: {a: {}, new: {cmd: x}, }\n"),
    "JSON": ('{"models": {"a": {}}}', '{"models": {"a": {}, new: {cmd: x}}}'),
    "null": ("models:\ngroups: {}\n", "models:\n  new:\n    cmd: x\ngroups: {}\n"),
    "null with a comment": (
        "models: # none\n  # yet\n\ngroups: {}\n",
        "models: # none\n  # yet\n  new:\n    cmd: x\n\ngroups: {}\n",
    ),
    "a written null": ("models:  ~ # c\n", "models: # c\n  new:\n    cmd: x\n"),
    "empty braces": ("models: {} # c\n", "models: # c\n  new:\n    cmd: x\n"),
    "empty braces below the key": ("models:\n  {}\n", "models:\n  {new: {cmd: x}}\n"),
    "null in braces": ("{models: , a: 1}\n", "{models: {new: {cmd: x}}, a: 1}\n"),
    "empty file": ("", "models:\n  new:\n    cmd: x\n"),
    "comments alone": ("# c", "# c\n\nmodels:\n  new:\n    cmd: x"),
    "no models": ("a: 1\n", "a: 1\n\nmodels:\n  new:\n    cmd: x\n"),
    "no models, in the file's step": (
        "macros:\n    m: 1\n# end\n\n",
        "macros:\n    m: 1\n# end\n\nmodels:\n    new:\n        cmd: x\n\n",
    ),
    "no models, a block at the end": ("a: |\n  b", "models:\n  new:\n    cmd: x\na: |\n  b"),
    "no models, in braces": ("{a: 1}\n", "{a: 1, models: {new: {cmd: x}}}\n"),
    "no models, empty braces": ("{}\n", "{models: {new: {cmd: x}}}\n"),
    "before a second document": (
        "a: 1\n---\nmodels: {}\n",
        "a: 1\n\nmodels:\n  new:\n    cmd: x\n---\nmodels: {}\n",
    ),
    "before the document's end": (
        "%YAML 1.2\n---\nmodels:\n  a: {}\n...\n",
        "%YAML 1.2\n---\nmodels:\n  a: {}\n  new:\n    cmd: x\n...\n",
    ),
}


@pytest.mark.parametrize(("old", "new"), SHAPES.values(), ids=SHAPES.keys())
def test_an_entry_is_added_in_the_manner_of_the_file_and_leaves_no_trace(
    old: str, new: str
) -> None:
    """The new text stands at its place; removing the entry gives the old bytes back."""
    there = edited(old, NEW)
    assert there.text.decode() == new
    back = edited(new, GONE, scaffold=there.scaffold)
    assert back.text.decode() == old
    assert back.scaffold == Scaffold()


@pytest.mark.parametrize(("old", "new"), SHAPES.values(), ids=SHAPES.keys())
def test_several_entries_go_in_any_order(old: str, new: str) -> None:
    """Three entries of ours, added in one call, are taken out in every order to the old bytes."""
    models = ("new", "p", "q r")
    fields = {"cmd": "x\ny\n", "aliases": ["z"]}
    there = edited(old, *(AddEntry(model=model, fields=fields) for model in models))
    assert len(there.text) > len(new)
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)):
        step = there
        for number in order:
            gone = RemoveEntry(model=models[number])
            step = edited(step.text.decode(), gone, scaffold=step.scaffold)
        assert step.text.decode() == old
    gone_all = [RemoveEntry(model=model) for model in models]
    assert edited(there.text.decode(), *gone_all, scaffold=there.scaffold).text.decode() == old


@pytest.mark.parametrize("model", ["7", "true", "1e3", "2024-01-01", "~", "org/m:Q4", "é", "a b"])
def test_model_ids_that_are_no_plain_words_are_quoted(model: str) -> None:
    """An ID that some reader would take for a number, date or constant stands in quotes."""
    new = edited("models:\n  a: {}\n", AddEntry(model=model, fields={"cmd": "x"}))
    assert f'  "{model}":\n'.encode() in new.text
    assert model in read_config(new.text, "config.yaml").models


def test_entries_of_others_keep_what_we_made_around_ours() -> None:
    """A `models:` key that somebody else came to use stays when our last entry goes."""
    there = edited("a: 1\n", NEW)
    assert there.scaffold == Scaffold(models_key=True)
    shared = there.text.decode() + "  theirs:\n    cmd: z\n"
    left = edited(shared, GONE, scaffold=there.scaffold)
    assert left.text.decode() == "a: 1\n\nmodels:\n  theirs:\n    cmd: z\n"


def test_a_models_key_with_a_comment_of_somebody_stays() -> None:
    """What a person wrote behind the key that we made is not taken away."""
    there = edited("a: 1\n", NEW)
    commented = there.text.decode().replace("models:", "models: # mine")
    left = edited(commented, GONE, scaffold=there.scaffold)
    assert left.text.decode() == "a: 1\n\nmodels: # mine\n"


def test_what_we_made_long_ago_is_not_taken_for_what_stands_there_now() -> None:
    """A `models:` key that was emptied by hand is theirs, also if we made one once."""
    there = edited("models:\n", NEW, scaffold=Scaffold(models_key=True))
    back = edited(there.text.decode(), GONE, scaffold=there.scaffold)
    assert back.text.decode() == "models:\n"


def test_comments_around_an_entry_survive_it() -> None:
    """Lines that a person put above and below our entry stay; those inside go with it."""
    text = (
        "models:\n  a: {}\n  # above\n  new: # beside\n    # inside\n    cmd: x\n"
        "    # below\n  # farther below\n"
    )
    assert edited(text, GONE).text.decode() == (
        "models:\n  a: {}\n  # above\n    # below\n  # farther below\n"
    )


def test_an_entry_of_ours_goes_from_between_others() -> None:
    """Entries that people put behind ours keep their bytes, blank lines included."""
    text = "models:\n  a: {}\n\n  new:\n    cmd: |\n      x\n\n  # b\n  b:  {cmd: z}  \n"
    assert edited(text, GONE).text.decode() == "models:\n  a: {}\n\n  # b\n  b:  {cmd: z}  \n"


def test_an_empty_models_is_left_where_it_was_not_ours() -> None:
    """Without a scaffold the key stays, with nothing under it."""
    assert edited("models:\n  new:\n    cmd: x\n", GONE).text == b"models:\n"
    assert edited("models: {new: {}}\n", GONE).text == b"models: {}\n"


def test_adding_and_removing_meet_in_one_call() -> None:
    """Edits of one call are made in their order: rename, or remove and add anew."""
    old = "models:\n  new:\n    cmd: z\n\ngroups: {}\n"
    other = AddEntry(model="other", fields={"cmd": "x"})
    assert edited(old, GONE, other).text == b"models:\n  other:\n    cmd: x\n\ngroups: {}\n"
    assert edited(old, other, GONE).text == b"models:\n  other:\n    cmd: x\n\ngroups: {}\n"
    again = edited(old, GONE, NEW, SetField(model="new", key="ttl", value=1))
    assert again.text == b"models:\n  new:\n    cmd: x\n    ttl: 1\n\ngroups: {}\n"
    assert edited("a: 1", NEW, GONE).text == b"a: 1"


def test_a_deeper_comment_below_is_not_swallowed_by_a_new_block() -> None:
    """Where a `|` block would take in the comment below, the text is quoted or put behind it."""
    old = "models:\n  a:\n    cmd: x\n          # deep\n  # shallow\ngroups: {}\n"
    new = edited(old, AddEntry(model="new", fields={"cmd": "p\nq\n"})).text.decode()
    assert new == old.replace("groups", "  new:\n    cmd: |\n      p\n      q\ngroups")


def test_a_known_model_is_not_added_again() -> None:
    """Neither an own entry, nor one that a merge key brings, nor two of the same in one call."""
    assert "config.yaml:2:3: there is an entry" in refusal_of("models:\n  new: {}\n", NEW)
    merged = "x: &x\n  new: {}\nmodels:\n  <<: *x\n  a: {}\n"
    assert "config.yaml:2:3: there is an entry" in refusal_of(merged, NEW)
    assert "there is an entry" in refusal_of("a: 1\n", NEW, NEW)


def test_a_model_that_is_not_there_is_not_removed() -> None:
    """The refusal says where the models stand and that the plan is out of date."""
    message = refusal_of("a: 1\nmodels:\n  b: {}\n", GONE)
    assert message == "config.yaml:2:1: `models` has no entry 'new' of its own"
    assert "has no entry" in refusal_of("a: 1\n", GONE)
    assert "has no entry" in refusal_of("models:\n  new: {}\n", GONE, GONE)


def test_an_entry_that_others_refer_to_is_not_removed() -> None:
    """An anchor inside the entry that another line uses is named with that line."""
    text = "models:\n  new:\n    cmd: &c x\n  b:\n    cmd: *c\n"
    assert refusal_of(text, GONE) == (
        "config.yaml:3:10: the entry holds anchor &c, which line 5 uses"
    )


GROUPS = "groups:\n  g:\n    members:\n      - a\n      - b\n"
JOIN = AddItem(place=("groups", "g", "members", "2"), value="c")
LEAVE = RemoveItem(place=("groups", "g", "members", "0"))


@pytest.mark.parametrize("others", [(), (JOIN,), (LEAVE,), (LEAVE, JOIN)], ids=str)
@pytest.mark.parametrize(
    ("text", "edit", "said"),
    [
        (
            "models:\n  new:\n    cmd: &c x\n  b:\n    cmd: *c\n",
            GONE,
            "config.yaml:8:10: the entry holds anchor &c, which line 10 uses",
        ),
        (
            "models:\n  b: &b\n    cmd: x\n  new: *b\n",
            SetField(model="new", key="ttl", value=1),
            "config.yaml:9:8: entry 'new' is alias *b: editing it would edit line 7 and all else "
            "that uses the anchor",
        ),
    ],
    ids=["anchor", "alias"],
)
def test_lines_are_those_of_the_file_as_it_came(
    text: str, edit: Edit, said: str, others: tuple[Edit, ...]
) -> None:
    """What other edits put in or take out above does not move the line that is told."""
    assert refusal_of(GROUPS + text, *others, edit) == said


def test_places_are_found_again_behind_changes() -> None:
    """What stands behind lines that come and go is where it was; what is new, where it came in."""
    changes = Changes("a: 1\nb: 2\nc: 3\n")
    changes.remove_lines(0, 5)
    changes.replace(8, 9, "two\n  lines")
    changes.add_lines(10, "new: 1")
    text = changes.apply()
    assert text == "b: two\n  lines\nnew: 1\nc: 3\n"
    places = {
        word: place_before(text, (changes,), text.index(word)) for word in ("b:", "two", "c: 3")
    }
    assert places == {"b:": (2, 1), "two": (2, 4), "c: 3": (3, 1)}
    assert place_before(text, (changes,), text.index("new")) == (3, 1)
    assert place_before(text, (changes,), len(text)) == (4, 1)


@pytest.mark.parametrize(
    "text",
    [
        "models: &m {}\n",
        "models: !!null\n",
        "x: &x {a: {}}\nmodels: *x\n",
        "models:\n  ~\n",
        "? models\n: a: {}\n",
    ],
)
def test_models_written_in_a_form_we_do_not_know_are_refused(text: str) -> None:
    """Nothing is guessed where a place for the entry cannot be told."""
    assert "config.yaml:" in refusal_of(text, NEW)
