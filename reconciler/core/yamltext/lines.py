"""The line that something stands in, for those who are told of it."""

from __future__ import annotations

from reconciler.core.llamaswap.shapes import Place
from reconciler.core.yamltext.compose import compose
from reconciler.core.yamltext.nodes import (
    BOM,
    AliasNode,
    MappingNode,
    Node,
    SequenceNode,
    fields_of,
)
from reconciler.core.yamltext.slots import position_of


def line_of(data: bytes, path: str, place: Place) -> int:
    """Give the line, from 1, of the key or item at `place`, or of the nearest thing around it.

    Raises `ConfigUnreadable`.
    """
    node, line = compose(data.decode().removeprefix(BOM), path).root, 1
    for part in place:
        found = _below(node.target if isinstance(node, AliasNode) else node, part)
        if found is None:
            break
        named, node = found
        line = named.line
    return line


def _below(node: Node | None, part: str) -> tuple[Node, Node] | None:
    """Give what names the part, and its value: an item names itself."""
    if isinstance(node, MappingNode):
        number = node.numbers.get(part)
        return node.pairs[number] if number is not None else fields_of(node).get(part)
    if isinstance(node, SequenceNode):
        position = position_of(part)
        if position is not None and position < len(node.items):
            return node.items[position], node.items[position]
    return None
