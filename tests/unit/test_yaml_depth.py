"""How deep a text can be nested is told without parsing it: never too little, seldom too much."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

from reconciler.core.reading import yaml_text
from tests.support.searching import trying

PARTS = (
    *("[", "]", "{", "}", "[]", "{}", ",", ": ", "a", "a: ", "- ", "? ", "\n", "\n  ", "\n    "),
    *('"', "'", '"]"', "'}'", "# ]", " # [", "!<]> ", "!t ", "&x ", "*x ", "|\n", ">\n", " "),
)


def parsed_depth(text: str) -> int:
    """Give how deep the parser comes, where it can read the text; 0 else."""
    depth = deepest = 0
    try:
        for event in YAML(typ="safe").parse(text):
            if isinstance(event, CollectionStartEvent):
                depth += 1
                deepest = max(deepest, depth)
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
    except (YAMLError, ValueError):
        return deepest
    return deepest


@trying(400)
@example("[ # ]\n" * 6)
@example("['}', \n" * 6)
@example('["]",\n' * 6)
@example("[ !<]> a,\n" * 6)
@example("[a: " * 6)
@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join))
def test_no_text_is_nested_deeper_than_is_told(text: str) -> None:
    """The parser that would die of too deep a text never meets one that passed for flat."""
    assert parsed_depth(text) <= yaml_text._deepest(text)


def test_many_models_need_no_closer_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand small mappings in braces are not deep, and not parsed twice."""
    monkeypatch.setattr("ruamel.yaml.YAML.parse", lambda *_: pytest.fail("looked closer"))
    models = "".join(f"  m{number}: {{serve: {{args: {{c: 1}}}}}}\n" for number in range(1000))
    assert not yaml_text.read_yaml(f"models:\n{models}".encode(), "m.yaml").faults
