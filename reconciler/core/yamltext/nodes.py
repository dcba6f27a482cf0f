"""The nodes of a YAML text: what is written where, and what it means.

All places are indexes into the text, in characters. A node's span ends where its own last character
does: never in a comment, a blank line or the line break behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

from reconciler.core.values import Json
from reconciler.core.yamltext.scalars import resolve_plain
from reconciler.core.yamltext.spans import Changes

MODELS: Final = "models"
BOM: Final = "\ufeff"
# The first sign of a block scalar with its indicators, behind any anchor and tag.
BLOCK_HEADER: Final = re.compile(r"(?:[&!]\S*\s+)*[|>][-+0-9]*")
BLOCK_STYLES: Final = ("|", ">")
_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
_MERGE: Final = "<<"
_YAML_TAG: Final = "tag:yaml.org,2002:"


# Nobody changes a node. That is not enforced, for it would double the time each one takes to make,
# and a config of a thousand models has some 30,000. A node's `weight` counts the values in it,
# itself and those of aliases included.
@dataclass(slots=True, eq=False)
class ScalarNode:
    """A scalar. `style` is its first sign (`'`, `"`, `|`, `>`), empty for a plain one."""

    start: int
    end: int
    line: int
    text: str
    style: str
    tag: str | None
    anchor: str | None
    weight: ClassVar[int] = 1


@dataclass(slots=True, kw_only=True, eq=False)
class SequenceNode:
    """A list."""

    start: int
    end: int
    line: int
    items: tuple[Node, ...]
    in_flow: bool
    anchor: str | None
    weight: int


@dataclass(slots=True, kw_only=True, eq=False)
class MappingNode:
    """A mapping: its own pairs as they are written, merge keys among them.

    `numbers` finds a pair by its key's text, where the key is a scalar.
    """

    start: int
    end: int
    line: int
    pairs: tuple[tuple[Node, Node], ...]
    numbers: Mapping[str, int]
    in_flow: bool
    anchor: str | None
    weight: int


@dataclass(slots=True, kw_only=True, eq=False)
class AliasNode:
    """An alias (`*name`) and the node it stands for."""

    start: int
    end: int
    line: int
    anchor: str
    target: Node

    @property
    def weight(self) -> int:
        """The weight of the node it stands for."""
        return self.target.weight


Node = ScalarNode | SequenceNode | MappingNode | AliasNode
Holder = MappingNode | SequenceNode


# Told apart by identity: comparing two would compare every node of them.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """The first document of a text; llama-swap ignores any other.

    `root` is None where there is nothing but comments. `end` is where the document ends: at `---`
    or `...`, or at the end of the text. `aliases` stand in the order of the text. `made` are the
    changes that made the text of the one that a person knows, if any did.
    """

    text: str
    path: str
    root: Node | None
    end: int
    aliases: tuple[AliasNode, ...]
    made: tuple[Changes, ...] = ()

    def place(self, index: int) -> tuple[int, int]:
        """Give the line and column of `index` in the text that a person knows, both from 1."""
        return place_before(self.text, self.made, index)

    def line_of(self, node: Node) -> int:
        """Give the line that a node starts in, of the same text."""
        return self.place(node.start)[0]


def place(text: str, index: int) -> tuple[int, int]:
    """Give the line and column of `index`, both from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def place_before(text: str, made: Sequence[Changes], index: int) -> tuple[int, int]:
    """Give the line and column of `index` as they were before `made`, which became `text`."""
    for changes in reversed(made):
        text, index = changes.text, changes.place_before(index)
    return place(text, index)


def index_of(text: str, line: int, column: int) -> int:
    """Give the index of a line and column, both from 1, as `place` gives them."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return start + column - 1


def content_start(text: str, node: Node) -> int:
    """Give where a node itself starts in `text`, behind its anchor and tag."""
    match = _PROPERTIES.match(text, node.start, node.end)
    return match.end() if match else node.start


def value_of(node: Node) -> Json:
    """Give the value of a node, aliases followed and merge keys unfolded."""
    match node:
        case ScalarNode():
            return _scalar_value(node)
        case AliasNode():
            return value_of(node.target)
        case SequenceNode():
            return [value_of(item) for item in node.items]
        case MappingNode():
            return {key: value_of(value) for key, (_, value) in fields_of(node).items()}
        case _:
            assert_never(node)


def parts_of(holder: Holder) -> tuple[tuple[Node, Node], ...]:
    """Give each pair or item by the node that starts it (a dash apart) and the one that ends it."""
    if isinstance(holder, SequenceNode):
        return tuple((item, item) for item in holder.items)
    return holder.pairs


def fields_of(node: MappingNode) -> dict[str, tuple[Node, Node]]:
    """Give the pairs of a mapping by key: its own first, then what merge keys bring in."""
    if len(node.numbers) == len(node.pairs) and _MERGE not in node.numbers:
        # Every key is a scalar, and so most mappings are.
        return dict(zip(node.numbers, node.pairs, strict=True))
    fields: dict[str, tuple[Node, Node]] = {}
    merged: list[Node] = []
    for pair in node.pairs:
        if is_merge(pair[0]):
            merged.append(pair[1])
        else:
            fields[key_text(pair[0])] = pair
    while merged:
        source = merged.pop(0)
        source = source.target if isinstance(source, AliasNode) else source
        if isinstance(source, SequenceNode):
            merged[:0] = source.items
        elif isinstance(source, MappingNode):
            for key, pair in fields_of(source).items():
                fields.setdefault(key, pair)
    return fields


def is_merge(key: Node) -> bool:
    """Whether a key is the merge key `<<`."""
    return isinstance(key, ScalarNode) and key.text == _MERGE and not key.style


def key_text(key: Node) -> str:
    """Give a key as text; one that is no scalar, as its value is shown."""
    key = key.target if isinstance(key, AliasNode) else key
    return key.text if isinstance(key, ScalarNode) else str(value_of(key))


def _scalar_value(node: ScalarNode) -> Json:
    if node.tag is None:
        return node.text if node.style else resolve_plain(node.text)
    kind = node.tag.removeprefix(_YAML_TAG) if node.tag.startswith(_YAML_TAG) else ""
    if kind in ("int", "float", "bool", "null"):
        return resolve_plain(node.text)
    return node.text
