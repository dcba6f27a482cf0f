"""Configs that people really wrote, edited and brought back."""

from __future__ import annotations

import re
from itertools import cycle
from pathlib import Path

import pytest

from reconciler.core.edits import AddEntry, Edit, PatchField, RemoveEntry, RestoreField, SetField
from reconciler.core.ledger import Scaffold
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config, splice
from reconciler.errors import ConfigUnreadable, UnsafeEdit
from tests.support.corpus import UNREADABLE, corpus_files, each_config, inserted, needs_corpus

OURS = AddEntry(
    model="org/new model:Q4_K_M",
    fields={
        "cmd": "/app/llama-server --port ${PORT}\n-m /models/new.gguf\n",
        "ttl": 300,
        "name": "on",
        "aliases": ["new", "1e3"],
        "metadata": {"context": 8192, "note": "a: b"},
    },
)
WITHDRAWN = RemoveEntry(model=OURS.model)


@each_config()
def test_new_entry_only_adds_bytes_and_goes_without_a_trace(config: Path) -> None:
    """Adding a model inserts one run of bytes; removing it gives the old bytes back."""
    old = config.read_bytes()
    new = splice(old, config.name, [OURS], Scaffold())
    assert inserted(old, new.text)
    before = read_config(old, config.name)
    after = read_config(new.text, config.name)
    assert {**before.data, "models": None} == {**after.data, "models": None}
    assert list(after.models)[-1] == OURS.model
    values = {key: view.value for key, view in after.models[OURS.model].fields.items()}
    assert values == OURS.fields
    assert splice(new.text, config.name, [WITHDRAWN], new.scaffold).text == old


@each_config()
def test_new_text_keeps_the_line_ends_of_the_file(config: Path) -> None:
    """A file with CRLF gets CRLF, any other none."""
    old = config.read_bytes()
    new = splice(old, config.name, [OURS], Scaffold()).text
    breaks = new.count(b"\n")
    assert new.count(b"\r\n") == (breaks if b"\r\n" in old else 0)


@each_config()
def test_what_a_person_writes_around_an_entry_survives_it(config: Path) -> None:
    """Comments put above and below our entry by hand stay when the entry goes."""
    old = config.read_bytes()
    new = splice(old, config.name, [OURS], Scaffold())
    ours = inserted(old, new.text).strip(b"\r\n")
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    above, below = b"  # above, by hand" + newline, newline + b"  # below, by hand"
    lead = len(ours) - len(ours.lstrip())
    edited = new.text.replace(ours, above + b" " * (2 - lead) + ours + below)
    left = splice(edited, config.name, [WITHDRAWN], new.scaffold).text
    assert left.count(b", by hand") == 2
    without = left.replace(above, b"").replace(below.lstrip(b"\r\n"), b"")
    assert without.split() == old.split()


KINDS: list[Json] = ["one word", "two\nlines\n", 5, ["x", "y"], {"a": 1, "b": {"c": "d e"}}]


@each_config()
@pytest.mark.parametrize("turn", [0, 1])
def test_every_field_can_be_set_and_restored(config: Path, turn: int) -> None:
    """Each field of an entry takes kinds of values by turns, and gives the old bytes back, or is
    refused.

    The only right reason to refuse is an anchor that something else uses.
    """
    old = config.read_bytes()
    view = read_config(old, config.name)
    kinds = cycle(KINDS[2 * turn :] + KINDS[: 2 * turn])
    for model in list(view.models)[-2:]:
        for key, value in zip([*view.models[model].fields, "new-field"], kinds, strict=False):
            edit = SetField(model=model, key=key, value=value)
            try:
                new = splice(old, config.name, [edit], Scaffold())
            except UnsafeEdit as error:
                assert "anchor &" in str(error)  # noqa: PT017 - a refusal is one of two right ends
                continue
            assert read_config(new.text, config.name).models[model].fields[key].value == value
            original = new.originals[model, key]
            back = RestoreField(model=model, key=key, original=original)
            assert splice(new.text, config.name, [back], new.scaffold).text == old


@each_config()
def test_a_word_of_each_command_can_be_patched_and_restored(config: Path) -> None:
    """The first word of a command is replaced in place, and nothing else in the file."""
    old = config.read_bytes()
    for model, entry in list(read_config(old, config.name).models.items())[:6]:
        cmd = entry.fields["cmd"].value if "cmd" in entry.fields else None
        if not isinstance(cmd, str):
            continue
        word = cmd.split()[0].strip("'\"")
        edit = PatchField(model=model, key="cmd", words=((word, "/opt/other"),))
        try:
            new = splice(old, config.name, [edit], Scaffold())
        except UnsafeEdit as error:
            merged = "comes by a merge key" in str(error) or "anchor &" in str(error)
            assert merged
            continue
        count = len(re.findall(rf"(?<![^\s\"'=]){re.escape(word)}(?![^\s\"'=])", cmd))
        assert len(new.text) - len(old) == count * (len("/opt/other") - len(word.encode()))
        back = RestoreField(model=model, key="cmd", original=new.originals[model, "cmd"])
        assert splice(new.text, config.name, [back], new.scaffold).text == old


@each_config()
def test_many_edits_at_once_come_back_in_another_order(config: Path) -> None:
    """All kinds of edits in one call, undone one by one in reverse, leave the old bytes."""
    old = config.read_bytes()
    # What stands under an anchor cannot be edited alone; another test sees to that.
    models = [] if b"&" in old else list(read_config(old, config.name).models)[:6]
    edits: list[Edit] = [
        OURS,
        *(SetField(model=model, key="ttl", value=77) for model in models),
        AddEntry(model="second", fields={"cmd": "a b"}),
        *(SetField(model=model, key="cmd", value="a\nb") for model in models),
    ]
    new = splice(old, config.name, edits, Scaffold())
    text, scaffold = new.text, new.scaffold
    back: list[Edit] = [
        *(
            RestoreField(model=model, key=key, original=original)
            for (model, key), original in new.originals.items()
        ),
        WITHDRAWN,
        RemoveEntry(model="second"),
    ]
    for edit in reversed(back):
        step = splice(text, config.name, [edit], scaffold)
        text, scaffold = step.text, step.scaffold
    assert text == old
    assert splice(new.text, config.name, back, new.scaffold).text == old


@needs_corpus
def test_a_key_given_twice_is_refused_with_both_places() -> None:
    """A file that llama-swap itself would refuse is refused, naming both lines."""
    path = next(path for path in corpus_files() if path.name == UNREADABLE)
    with pytest.raises(ConfigUnreadable) as refusal:
        splice(path.read_bytes(), path.name, [OURS], Scaffold())
    (fault,) = refusal.value.faults
    assert (fault.line, fault.column) == (16, 1)
    assert "'startPort'" in fault.message
    assert "line 10" in fault.message
