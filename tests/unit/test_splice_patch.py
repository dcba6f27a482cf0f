"""Words replaced inside a string as it is written."""

from __future__ import annotations

import pytest

from reconciler.core.edits import PatchField, RestoreField
from reconciler.core.ledger import Scaffold
from reconciler.core.yamltext.config import read_config, splice
from reconciler.errors import UnsafeEdit

OLD, NEW = "/m/a.gguf", "/models/b-00001-of-00002.gguf"


def patch(text: str, *words: tuple[str, str]) -> str:
    """Patch field `cmd` of model `a`, check what the value became, and that it can be undone."""
    edit = PatchField(model="a", key="cmd", words=words or ((OLD, NEW),))
    outcome = splice(text.encode(), "config.yaml", [edit], Scaffold())
    back = RestoreField(model="a", key="cmd", original=outcome.originals["a", "cmd"])
    assert splice(outcome.text, "config.yaml", [back], Scaffold()).text == text.encode()
    return outcome.text.decode()


def refusal_of(text: str, *words: tuple[str, str]) -> str:
    """Give the message that patching is refused with."""
    with pytest.raises(UnsafeEdit) as refusal:
        patch(text, *words)
    return str(refusal.value)


STYLES = {
    "plain": "x -m /m/a.gguf -c 1 # /m/a.gguf",
    "plain over lines": "x\n      -m /m/a.gguf\n\n      -c 1  # c",
    "plain, below its key": "# c\n      x -m /m/a.gguf",
    "with an equals sign": "x --model=/m/a.gguf -c 1",
    "alone": "/m/a.gguf",
    "single quotes": "'x -m /m/a.gguf --j ''{\"a\": 1}'''",
    "single quotes over lines": "'x\n\n      -m /m/a.gguf\n      '",
    "double quotes": '"x -m /m/a.gguf"  # c',
    "double quotes, escaped line breaks": '"x\\n/m/a.gguf\\n-c 1"',
    "double quotes, quoted inside": '"x -m \\"/m/a.gguf\\" -c 1"',
    "double quotes over lines": '"x \\\n      -m /m/a.gguf \\\n      -c 1"',
    "literal": "|\n      x\n        -m /m/a.gguf \n\n      # no comment",
    "literal with a comment": "|-  # /m/a.gguf\n      x -m /m/a.gguf",
    "literal, joined lines": "|\n      x \\\n      -m /m/a.gguf \\\n      -c 1",
    "folded": ">\n      x\n      -m /m/a.gguf\n      -c 1",
    "quoted inside a block": "|\n      x -m '/m/a.gguf' --b=\"/m/a.gguf\"",
    "keeping blank lines": "|+\n      x -m /m/a.gguf\n\n",
    "unused anchor": "&c x -m /m/a.gguf",
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_word_is_replaced_in_any_way_of_writing(style: str, newline: str) -> None:
    """The word changes in the value and nowhere else: not in a comment, not beside it."""
    text = f"models:\n  a:\n    cmd: {style}\n    ttl: 1\n".replace("\n", newline)
    new = patch(text)
    before = read_config(text.encode(), "c").models["a"].fields["cmd"].value
    after = read_config(new.encode(), "c").models["a"].fields["cmd"].value
    assert isinstance(before, str)
    assert after == before.replace(OLD, NEW)
    comment = "# /m/a.gguf" in style
    assert new == (
        text.replace(OLD, NEW).replace(f"# {NEW}", f"# {OLD}")
        if comment
        else text.replace(OLD, NEW)
    )


def test_several_words_change_at_once() -> None:
    """Each word takes its own new one, even where they change places."""
    text = "models:\n  a: {cmd: x -m /a --mmproj /b /a}\n"
    assert (
        patch(text, ("/a", "/b"), ("/b", "/a")) == "models:\n  a: {cmd: x -m /b --mmproj /a /b}\n"
    )


def test_a_word_is_a_whole_word() -> None:
    """A path that only begins or ends like the old one is left alone."""
    text = "models:\n  a:\n    cmd: x /m/a.gguf /m/a.gguf.bak /x/m/a.gguf\n"
    assert patch(text) == text.replace(" /m/a.gguf ", f" {NEW} ")


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("cmd: x -m /m/b.gguf", "does not hold '/m/a.gguf' as a word"),
        ("cmd: ${base} /m/a.gguf.bak", "does not hold '/m/a.gguf' as a word"),
        ('cmd: "x -m /m/a\\x2egguf"', "does not hold '/m/a.gguf' as a word"),
        ('cmd: "x -m /m/a.\\\n      gguf"', "does not hold '/m/a.gguf' as a word"),
        ("cmd: [x, /m/a.gguf]", "field 'cmd' is no string"),
        ("cmd: 5", "field 'cmd' is no string"),
        ("cmd:", "field 'cmd' is no string"),
        ("ttl: 5", "has no field 'cmd' of its own"),
    ],
)
def test_what_does_not_hold_the_word_as_it_is_given_is_refused(field: str, part: str) -> None:
    """Words hidden by escapes, macros or other types are not guessed at."""
    assert part in refusal_of(f"models:\n  a:\n    {field}\n")


@pytest.mark.parametrize(
    ("field", "word", "part"),
    [
        ('cmd: "x /m/a.gguf"', 'a"b', "cannot be written in field 'cmd'"),
        ('cmd: "x /m/a.gguf"', "C:\\b", "cannot be written in field 'cmd'"),
        ("cmd: 'x /m/a.gguf'", "it's", "cannot be written in field 'cmd'"),
        ("cmd: x /m/a.gguf", "a\nb", "cannot be written in field 'cmd'"),
        ("cmd: x /m/a.gguf", "#b", "make something else of 'a'"),
        ("cmd: x /m/a.gguf", "b:", "could not be read here"),
        ("cmd: /m/a.gguf", "5", "make something else of 'a'"),
        ("cmd: /m/a.gguf", "- b", "could not be read here"),
        ("{cmd: x /m/a.gguf}", "b,c", "make something else of 'a'"),
        ("{cmd: x /m/a.gguf}", "{b}", "could not be read here"),
    ],
)
def test_a_new_word_that_would_be_read_differently_is_refused(
    field: str, word: str, part: str
) -> None:
    """What cannot stand unescaped in that way of writing changes nothing."""
    assert part in refusal_of(f"models:\n  a:\n    {field}\n", (OLD, word))


def test_a_value_that_others_share_is_refused() -> None:
    """Aliases, merged fields and used anchors are named with their lines."""
    shared = "models:\n  b:\n    cmd: &c x /m/a.gguf\n  a:\n    cmd: *c\n"
    assert refusal_of(shared) == "config.yaml:5:10: field 'cmd' is alias *c of line 3"
    merged = "models:\n  b: &b\n    cmd: x /m/a.gguf\n  a:\n    <<: *b\n"
    assert refusal_of(merged) == (
        "config.yaml:4:3: entry 'a' has no field 'cmd' of its own; "
        "it comes by a merge key from line 3"
    )
    used = "models:\n  a:\n    cmd: &c x /m/a.gguf\n  b:\n    cmd: *c\n"
    assert refusal_of(used) == ("config.yaml:3:10: field 'cmd' holds anchor &c, which line 5 uses")


def test_a_patch_without_words_changes_nothing() -> None:
    """No words: the bytes stay, and what stands there is told all the same."""
    text = b"models:\n  a:\n    cmd: x\n"
    edit = PatchField(model="a", key="cmd", words=())
    outcome = splice(text, "config.yaml", [edit], Scaffold())
    assert (outcome.text, outcome.originals) == (text, {("a", "cmd"): " x"})
