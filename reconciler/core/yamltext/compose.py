"""YAML text read into nodes. The one place that talks to the parser.

ruamel's C scanner gives events with places; the tree is built here, because its own composer
refuses what llama-swap accepts (an anchor defined twice) and forgets where an alias stood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NoReturn

from reconciler.core.yamltext.nodes import (
    BLOCK_HEADER,
    BLOCK_STYLES,
    AliasNode,
    Document,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    place,
)
from reconciler.core.yamltext.spans import without_break
from reconciler.errors import ConfigUnreadable, Fault

if TYPE_CHECKING:
    from ruamel.yaml.error import YAMLError

# Deeper nesting is no config, and would exhaust Python's stack.
_DEPTH_LIMIT: Final = 100
# A few lines of nested aliases can stand for billions of values; a config of 1,000 models has
# some 30,000.
_WEIGHT_LIMIT: Final = 1_000_000
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


# A plan reads the text before it, and the one it makes, several times over.
@lru_cache(maxsize=2)
def compose(text: str, path: str) -> Document:
    """Read the first document of `text` (without a byte order mark).

    Raises:
        ConfigUnreadable: it is no YAML, has a key twice, or an alias that cannot be followed.
    """
    if bad := _FORBIDDEN.search(text):
        _refuse(text, path, bad.start(), f"control character U+{ord(bad[0]):04X}")
    # Not above: it costs 20 ms, and many runs never need it.
    from ruamel.yaml.cyaml import CSafeLoader
    from ruamel.yaml.error import YAMLError

    try:
        return _Composer(text, path, CSafeLoader(text)).document()
    except YAMLError as error:
        _refuse_foreign(text, path, error)


def _refuse(text: str, path: str, index: int, message: str) -> NoReturn:
    line, column = place(text, index)
    raise ConfigUnreadable(
        [Fault(path=path, line=line, column=column, message=message)],
        hint="llama-swap would not load this file either; mend it by hand",
    )


def _refuse_foreign(text: str, path: str, error: YAMLError) -> NoReturn:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    index = min(mark.index, len(text)) if mark is not None else 0
    if text[index : index + 1] == "\t":
        problem = "a tab cannot indent YAML; use spaces"
    context = getattr(error, "context", None)
    _refuse(text, path, index, f"{problem} ({context})" if context else str(problem))


class _Composer:
    """Builds the tree of one document from the parser's events."""

    def __init__(self, text: str, path: str, parser: Any) -> None:
        self._text = text
        self._path = path
        self._next = parser.get_event
        self._aliases: list[AliasNode] = []
        # None marks an anchor whose node is not complete: an alias to it would contain itself.
        self._anchors: dict[str, Node | None] = {}

    def document(self) -> Document:
        root: Node | None = None
        end = len(self._text)
        while True:
            event = self._next()
            kind = type(event).__name__
            if kind == "DocumentEndEvent":
                end = event.start_mark.index
            if kind in ("DocumentEndEvent", "StreamEndEvent"):
                break
            if kind not in ("StreamStartEvent", "DocumentStartEvent"):
                root = self._node(event, 0)
        aliases = tuple(self._aliases)
        return Document(text=self._text, path=self._path, root=root, end=end, aliases=aliases)

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event)
        mark = event.start_mark
        if depth > _DEPTH_LIMIT:
            _refuse(self._text, self._path, mark.index, f"nested deeper than {_DEPTH_LIMIT} levels")
        anchor: str | None = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        node: Node
        if kind == "ScalarEvent":
            start, end, style = mark.index, event.end_mark.index, event.style or ""
            if style in BLOCK_STYLES:
                end = _block_end(self._text, start, end)
            # By position: names would take three times as long, and most nodes are scalars.
            node = ScalarNode(start, end, mark.line + 1, event.value, style, event.tag, anchor)
        elif kind == "MappingStartEvent":
            node = self._mapping(event, depth)
        else:
            node = self._sequence(event, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: Any) -> AliasNode:
        start, name = event.start_mark.index, event.anchor
        target = self._anchors.get(name)
        if target is None:
            problem = "contains itself" if name in self._anchors else "is defined nowhere above"
            _refuse(self._text, self._path, start, f"the anchor of alias *{name} {problem}")
        alias = AliasNode(
            start=start,
            end=event.end_mark.index,
            line=event.start_mark.line + 1,
            anchor=name,
            target=target,
        )
        self._aliases.append(alias)
        return alias

    def _sequence(self, event: Any, depth: int) -> SequenceNode:
        items = []
        while type(inner := self._next()).__name__ != "SequenceEndEvent":
            items.append(self._node(inner, depth + 1))
        start = event.start_mark.index
        in_flow = bool(event.flow_style)
        return SequenceNode(
            start=start,
            end=inner.end_mark.index if in_flow else max(start, items[-1].end),
            line=event.start_mark.line + 1,
            items=tuple(items),
            in_flow=in_flow,
            anchor=event.anchor,
            weight=self._weigh(start, items),
        )

    def _mapping(self, event: Any, depth: int) -> MappingNode:
        pairs: list[tuple[Node, Node]] = []
        numbers: dict[str, int] = {}
        while type(inner := self._next()).__name__ != "MappingEndEvent":
            key = self._node(inner, depth + 1)
            if isinstance(key, ScalarNode):
                if key.text in numbers:
                    first = pairs[numbers[key.text]][0].line
                    message = f"key {key.text!r} stands here again; it is first in line {first}"
                    _refuse(self._text, self._path, key.start, message)
                numbers[key.text] = len(pairs)
            pairs.append((key, self._node(self._next(), depth + 1)))
        start = event.start_mark.index
        in_flow = bool(event.flow_style)
        return MappingNode(
            start=start,
            end=inner.end_mark.index if in_flow else max(start, pairs[-1][1].end),
            line=event.start_mark.line + 1,
            pairs=tuple(pairs),
            numbers=numbers,
            in_flow=in_flow,
            anchor=event.anchor,
            weight=self._weigh(start, chain.from_iterable(pairs)),
        )

    def _weigh(self, start: int, nodes: Iterable[Node]) -> int:
        weight = 1 + sum([node.weight for node in nodes])
        if weight > _WEIGHT_LIMIT:
            _refuse(self._text, self._path, start, "its aliases unfold to more than a config holds")
        return weight


def _block_end(text: str, start: int, end: int) -> int:
    """Where the content of a block scalar ends; the parser's `end` may lie blank lines later."""
    header = BLOCK_HEADER.match(text, start, end)
    if header is None:
        return end
    first = text.find("\n", start, end) + 1
    if not first:
        return header.end()
    if "+" in header[0]:
        return end - len(text[start:end]) + len(without_break(text[start:end]))
    body = text[first:end]
    content = body.rstrip()
    if content and body.count("\n", len(content)) <= 1:
        return first + len(without_break(body))  # No blank line at its end: so most blocks are.
    lines = _LINE.findall(body)
    indents = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    if not indents:
        return header.end()
    explicit = any(sign.isdigit() for sign in header[0].rpartition(" ")[2])
    indent = min(indents) if explicit else indents[0]
    # A line of spaces alone is content where it is longer than the indentation.
    while not lines[-1].strip() and len(without_break(lines[-1])) <= indent:
        lines.pop()
    return first + len(without_break("".join(lines)))
