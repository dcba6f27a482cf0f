"""Pairs and items added to a mapping or a list, written as their neighbours are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.core.edits import AddItem
from reconciler.core.yamltext.flow import add_flow_parts
from reconciler.core.yamltext.gaps import Gap, gap_after, style_below, top_gap
from reconciler.core.yamltext.nodes import (
    BLOCK_STYLES,
    Holder,
    Node,
    ScalarNode,
    SequenceNode,
    value_of,
)
from reconciler.core.yamltext.places import (
    Draft,
    ends_in_open_block,
    literals_at,
    refuse,
    skip_comments,
)
from reconciler.core.yamltext.slots import Slot, dash_of, shown
from reconciler.core.yamltext.spans import column_of, next_line
from reconciler.core.yamltext.write import (
    Style,
    render_flow,
    render_item,
    render_key,
    render_like,
    render_value,
)

_SPACES: Final = re.compile(r" +(?=\S)")


@dataclass(frozen=True, slots=True)
class _Quotes:
    """The quotes that all neighbours have, as keys and as strings; empty: none, or not all."""

    key: str = ""
    value: str = ""


def add_to_holder(
    draft: Draft, own: Slot | None, holder: Holder, edits: Sequence[AddItem], gone: int
) -> None:
    """Add pairs or items to a mapping or list that has some, or stands in braces or brackets.

    `own` is the slot it stands in, None where it is the config; `gone` is how many of those there
    are will be taken out.

    Raises:
        UnsafeEdit: a line behind its end would change what stands there.
    """
    document = draft.document
    quotes = _quotes_of(holder)
    if holder.in_flow:
        is_list = isinstance(holder, SequenceNode)
        add_flow_parts(draft, holder, _flow_parts(edits, quotes, is_list=is_list), gone)
        return
    if isinstance(holder, SequenceNode):
        _add_lines(draft, own, holder, edits, quotes)
        return
    indent = column_of(document.text, holder.pairs[0][0].start)
    if own is None:
        gap = top_gap(document, holder)
    else:
        gap = gap_after(document, holder, indent)
        draft = replace(draft, style=style_below(draft, holder, indent))
    gap.fill(draft, _block_pairs(draft, gap.index, edits, quotes, indent))


def add_to_nothing(draft: Draft, edits: Sequence[AddItem]) -> None:
    """Add pairs to a config that is empty."""
    gap = top_gap(draft.document, None)
    gap.fill(draft, _block_pairs(draft, gap.index, edits, _Quotes(), 0))


def fill_slot(draft: Draft, own: Slot, edits: Sequence[AddItem]) -> str | None:
    """Fill a null, `[]` or `{}`; returns the text that stood there, None where all of it stays.

    Raises:
        UnsafeEdit: a null stands where it cannot be filled.
    """
    document, changes, value = draft.document, draft.changes, own.value
    text = document.text
    place = edits[0].place
    is_list = isinstance(value, SequenceNode) or (
        isinstance(value, ScalarNode) and place[-1] == "0"
    )
    head = text[own.behind : value.end]
    if own.key is not None and own.holder.in_flow:
        parts = ", ".join(_flow_parts(edits, _Quotes(), is_list=is_list))
        changes.replace(own.behind, value.end, f" [{parts}]" if is_list else f" {{{parts}}}")
        return head
    if own.key is None or "\n" in head or head.strip().startswith(("&", "!")):
        if not isinstance(value, Holder):
            refuse(document, value.start, f"the null of {shown(place[:-1])} cannot be filled here")
        add_to_holder(draft, own, value, edits, 0)
        return None
    style = draft.style
    column = column_of(text, own.start)
    indent = column + (style.dash if is_list else style.step)
    index = next_line(text, value.end)
    if indent > column:
        index = skip_comments(document, index, indent)
    gap = Gap(index=index)
    changes.replace(own.behind, value.end, "")
    if is_list:
        gap.fill(draft, _block_items(edits, _Quotes(), indent, " ", style))
    else:
        gap.fill(draft, _block_pairs(draft, index, edits, _Quotes(), indent))
    return head


def _add_lines(
    draft: Draft, own: Slot | None, holder: SequenceNode, edits: Sequence[AddItem], quotes: _Quotes
) -> None:
    document, last = draft.document, holder.items[-1]
    if ends_in_open_block(document, last):
        refuse(document, last.start, "this block ends the text, so nothing can stand below it")
    dash = dash_of(document, holder, len(holder.items) - 1)
    indent = column_of(document.text, dash)
    spaces = _SPACES.match(document.text, dash + 1, max(dash + 1, last.start + 1))
    # A comment as deep as the list's own key is about what follows.
    is_deeper = own is not None and column_of(document.text, own.start) < indent
    gap = gap_after(document, holder, indent, over_comments=is_deeper)
    parting = spaces[0] if spaces else " "
    gap.fill(draft, _block_items(edits, quotes, indent, parting, draft.style))


def _block_items(
    edits: Sequence[AddItem], quotes: _Quotes, indent: int, parting: str, style: Style
) -> list[str]:
    return [
        " " * indent + "-" + parting + render_like(edit.value, quotes.value, in_flow=False)
        if isinstance(edit.value, str)
        else render_item(edit.value, indent, style)
        for edit in edits
    ]


def _block_pairs(
    draft: Draft, index: int, edits: Sequence[AddItem], quotes: _Quotes, indent: int
) -> list[str]:
    """Give pairs as lines that are to stand in front of `index`."""
    literals = literals_at(draft, index, indent + draft.style.step)
    pairs = []
    for edit in edits:
        key = _key(edit, quotes)
        if isinstance(edit.value, str) and quotes.value and edit.value.isprintable():
            value = " " + render_like(edit.value, quotes.value, in_flow=False)
        else:
            value = render_value(edit.value, indent, draft.style, literals)
        pairs.append(" " * indent + key + ":" + value)
    return pairs


def _flow_parts(edits: Sequence[AddItem], quotes: _Quotes, *, is_list: bool) -> list[str]:
    parts = []
    for edit in edits:
        if isinstance(edit.value, str):
            value = render_like(edit.value, quotes.value, in_flow=True)
        else:
            value = render_flow(edit.value)
        parts.append(value if is_list else f"{_key(edit, quotes)}: {value}")
    return parts


def _key(edit: AddItem, quotes: _Quotes) -> str:
    key = edit.place[-1]
    return render_like(key, quotes.key, in_flow=True) if quotes.key else render_key(key)


def _quotes_of(holder: Holder) -> _Quotes:
    if isinstance(holder, SequenceNode):
        return _Quotes(value=_common_quote(holder.items))
    keys, values = zip(*holder.pairs, strict=True) if holder.pairs else ((), ())
    return _Quotes(key=_common_quote(keys), value=_common_quote(values))


def _common_quote(nodes: Iterable[Node]) -> str:
    quotes = {
        node.style
        for node in nodes
        if isinstance(node, ScalarNode)
        and node.style not in BLOCK_STYLES
        and isinstance(value_of(node), str)
    }
    return quotes.pop() if len(quotes) == 1 else ""
