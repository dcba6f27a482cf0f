"""Where the pairs of a mapping stand in the text, and where a new one goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from reconciler.core.yamltext.nodes import (
    BLOCK_STYLES,
    MODELS,
    AliasNode,
    Document,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    is_merge,
)
from reconciler.core.yamltext.spans import (
    Changes,
    column_of,
    empty_line_before,
    indent_of,
    is_blank,
    is_comment,
    is_open_end,
    line_end,
    line_start,
    newline_of,
    next_line,
)
from reconciler.core.yamltext.write import Literals, Style
from reconciler.errors import Fault, UnsafeEdit

_DASH: Final = re.compile(r"^[ \t]*-(?:\s|$)", re.MULTILINE)
_COLON: Final = re.compile(r"[ \t]*:")
_KEEPING: Final = re.compile(r"[|>][0-9]?\+[0-9]?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_DEFAULT_STEP: Final = 2


def refuse(document: Document, index: int, message: str, *, hint: str = "") -> NoReturn:
    """Raise `UnsafeEdit` for what stands at `index`."""
    line, column = document.place(index)
    raise UnsafeEdit(
        [Fault(path=document.path, line=line, column=column, message=message)],
        hint=hint or "edit this place by hand, then run again",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One pair of a mapping. `colon` is the place right behind its colon."""

    key: ScalarNode
    colon: int
    value: Node

    @property
    def is_null(self) -> bool:
        """Whether no value is written at all."""
        return self.value.start == self.value.end


def find_pair(document: Document, mapping: MappingNode, key: str) -> Pair | None:
    """Give the pair that `mapping` itself writes for `key`, if any.

    Raises:
        UnsafeEdit: it is written in a form that cannot be edited (`? key`).
    """
    number = mapping.numbers.get(key)
    if number is None:
        return None
    node, value = mapping.pairs[number]
    if is_merge(node):
        return None
    text = document.text
    colon = behind_colon(document, node)
    lead = text[line_start(text, node.start) : node.start]
    if not isinstance(node, ScalarNode) or (not mapping.in_flow and lead.strip(" ")):
        refuse(document, node.start, f"key {key!r} is not written plainly at its line's start")
    if colon is None:
        refuse(document, node.start, f"key {key!r} has no colon")
    return Pair(key=node, colon=colon, value=value)


def behind_colon(document: Document, key: Node) -> int | None:
    """Give the place right behind the colon of a key, None where it has none in its line."""
    colon = _COLON.match(document.text, key.end)
    return colon.end() if colon else None


def refuse_if_referenced(document: Document, node: Node, what: str) -> None:
    """Raise `UnsafeEdit` where an anchor in `node` is used outside of it."""
    for alias in document.aliases:
        is_inside = node.start <= alias.start < node.end
        if node.start <= alias.target.start < node.end and not is_inside:
            _refuse_anchor(document, alias, what)


def refuse_if_aliased(document: Document, node: Node, what: str) -> None:
    """Raise `UnsafeEdit` where an anchor of `node` itself is used: who uses it would change too."""
    for alias in document.aliases:
        if alias.target is node:
            _refuse_anchor(document, alias, what)


def _refuse_anchor(document: Document, alias: AliasNode, what: str) -> NoReturn:
    line = document.line_of(alias)
    refuse(
        document,
        alias.target.start,
        f"{what} holds anchor &{alias.anchor}, which line {line} uses",
        hint=f"write the value out in line {line}, or move the anchor, then run again",
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """A document, its style, which blocks it can bear, and the changes gathered for it."""

    document: Document
    style: Style
    literals: Literals
    changes: Changes


def draft_of(document: Document) -> Draft:
    """Begin changing a document."""
    literals = Literals.UNENDED if _may_come_last(document) else Literals.ALL
    return Draft(document, style_of(document), literals, Changes(document.text))


def _may_come_last(document: Document) -> bool:
    """Whether what stands under `models` ends the text, now or later, and no line break does."""
    root = document.root
    is_last = not isinstance(root, MappingNode) or root.numbers.get(MODELS) in (
        None,
        len(root.pairs) - 1,
    )
    return is_last and document.text != "" and not document.text.endswith("\n")


def style_of(document: Document) -> Style:
    """Tell how a file is written from its first nested mapping and its first list."""
    step = dash = None
    has_lists = _DASH.search(document.text) is not None
    for key, value in _nested_pairs(document.root):
        column = column_of(document.text, key.start)
        if isinstance(value, MappingNode) and not value.in_flow and step is None:
            step = column_of(document.text, value.pairs[0][0].start) - column
        if isinstance(value, SequenceNode) and not value.in_flow and dash is None:
            start = line_start(document.text, value.items[0].start)
            offset = indent_of(document.text, start) - column
            dash = offset if offset >= 0 else None
        if step is not None and (dash is not None or not has_lists):
            break
    step = step if step is not None and step > 0 else _DEFAULT_STEP
    newline = newline_of(document.text)
    return Style(newline=newline, step=step, dash=step if dash is None else dash)


def _nested_pairs(node: Node | None) -> Iterator[tuple[Node, Node]]:
    """Give every pair of every block mapping below `node`, lists left out, in order."""
    if isinstance(node, MappingNode) and not node.in_flow:
        for key, value in node.pairs:
            yield key, value
            yield from _nested_pairs(value)


def ends_in_open_block(document: Document, node: Node) -> bool:
    """Whether `node` ends the text with a block scalar that no line break ends.

    Such a scalar lacks its own last line break: a line put behind it would change its value.
    """
    while not isinstance(node, ScalarNode):
        match node:
            case MappingNode() if node.pairs:
                node = node.pairs[-1][1]
            case SequenceNode() if node.items:
                node = node.items[-1]
            case _:
                return False
    return node.style in BLOCK_STYLES and is_open_end(document.text, node.end)


def place_after(document: Document, mapping: MappingNode) -> int:
    """Give the place where a new pair's lines go: behind the last pair of a block mapping.

    Where the last pair cannot bear a line behind it, that is in front of it, and of the comments
    right above it.
    """
    key, value = mapping.pairs[-1]
    if not ends_in_open_block(document, value):
        return next_line(document.text, value.end)
    start = line_start(document.text, key.start)
    while start and is_comment(document.text, line_start(document.text, start - 1)):
        start = line_start(document.text, start - 1)
    return start


def skip_comments(document: Document, index: int, indent: int) -> int:
    """Go on from the line at `index` over comments as deep as `indent`, and blanks between them.

    Lines of spaces alone that are longer go along: like such comments, they would be read into a
    block that comes to stand above them once the lines put in here are gone again.
    """
    end = start = index
    while start < document.end:
        if _runs_into_block(document.text, start, indent):
            end = next_line(document.text, start)
        elif not is_blank(document.text, start):
            break
        start = next_line(document.text, start)
    return end


def _runs_into_block(text: str, start: int, indent: int) -> bool:
    """Whether a comment or blank line would be content of a block that it stands below."""
    if is_blank(text, start):
        return line_end(text, start) - start > indent
    return is_comment(text, start) and indent_of(text, start) >= indent


def literals_at(draft: Draft, index: int, indent: int) -> Literals:
    """Tell which strings may end a value in front of `index` as a block indented by `indent`."""
    document = draft.document
    return draft.literals if skip_comments(document, index, indent) == index else Literals.NONE


def keeps_blank_lines(document: Document, start: int, end: int) -> bool:
    """Whether a block scalar in a span is written with `+`: it owns all blank lines below it."""
    return _KEEPING.search(document.text, start, end) is not None


def has_empty_line_between(document: Document, first: Node, second: Node) -> bool:
    """Whether a wholly empty line stands between two nodes."""
    between = document.text[line_end(document.text, first.end) : second.start]
    return re.search(r"\n\r?\n", between) is not None


def own_lines(document: Document, pair: Pair) -> tuple[int, int]:
    """Give the whole lines of a pair in a block mapping, to the next line's start."""
    text = document.text
    return line_start(text, pair.key.start), next_line(text, pair.value.end)


def parting_line(document: Document, start: int) -> int | None:
    """Give the start of the empty line above `start`, if it belongs to no value before it."""
    above = empty_line_before(document.text, start)
    return None if above is None or _lies_in_scalar(document.root, above) else above


def _lies_in_scalar(node: Node | None, index: int) -> bool:
    match node:
        case ScalarNode():
            return node.start <= index <= node.end and node.style in BLOCK_STYLES
        case MappingNode():
            return any(
                value.start <= index <= value.end and _lies_in_scalar(value, index)
                for _, value in node.pairs
            )
        case SequenceNode():
            return any(_lies_in_scalar(item, index) for item in node.items)
        case AliasNode() | None:
            return False
