"""Where new lines go, and whether empty lines part them from their neighbours.

New lines stand behind the last of their kind and behind the comments indented as deep, before those
of what follows. Where the last two have an empty line between them, so have the new ones; it goes
with them: an empty line above what is taken out is taken for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.core.yamltext.nodes import Document, Holder, MappingNode, SequenceNode, parts_of
from reconciler.core.yamltext.places import (
    Draft,
    ends_in_open_block,
    has_empty_line_between,
    keeps_blank_lines,
    parting_line,
    place_after,
    skip_comments,
)
from reconciler.core.yamltext.spans import column_of, is_blank, line_start, next_line
from reconciler.core.yamltext.write import Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The place that new lines go to, and whether an empty one stands above or below each."""

    index: int
    above: bool = False
    below: bool = False

    def fill(self, draft: Draft, parts: Sequence[str]) -> None:
        """Put each of `parts`, rendered as lines, into the gap."""
        lines: list[str] = []
        for part in parts:
            lines += [*[""] * self.above, part, *[""] * self.below]
        draft.changes.add_lines(self.index, draft.style.newline.join(lines))


def top_gap(document: Document, root: MappingNode | None) -> Gap:
    """Tell where a pair of the top level goes: always parted from the one before it."""
    text = document.text
    if root is None:
        index = document.end
        while index and is_blank(text, line_start(text, index - 1)):
            index = line_start(text, index - 1)
        index = skip_comments(document, index, 0)
    else:
        index = place_after(document, root)
        if not ends_in_open_block(document, root):
            index = skip_comments(document, index, 0)
    if parting_line(document, index) is not None:
        return Gap(index=index, below=True)
    return Gap(index=index, above=_may_be_parted(document, index))


def gap_after(
    document: Document, holder: Holder, indent: int, *, over_comments: bool = True
) -> Gap:
    """Tell where a new pair or item of a block goes, whose lines are indented by `indent`.

    A list's last item must be able to bear a line behind it.
    """
    parts = parts_of(holder)
    if isinstance(holder, SequenceNode):
        index = next_line(document.text, holder.items[-1].end)
    else:
        index = place_after(document, holder)
    if index <= parts[-1][0].start:
        return Gap(index=index, below=parting_line(document, index) is not None)
    if over_comments:
        index = skip_comments(document, index, indent)
    is_parted = len(parts) > 1 and has_empty_line_between(document, parts[-2][1], parts[-1][0])
    return Gap(index=index, above=is_parted and _may_be_parted(document, index))


def style_below(draft: Draft, mapping: MappingNode, indent: int) -> Style:
    """Tell how the newest block in a mapping is indented; those of one file may differ."""
    for _, value in reversed(mapping.pairs):
        if isinstance(value, MappingNode) and not value.in_flow:
            column = column_of(draft.document.text, value.pairs[0][0].start)
            return replace(draft.style, step=column - indent)
    return draft.style


def _may_be_parted(document: Document, index: int) -> bool:
    """Whether an empty line in front of `index` would be nobody's: not the second, and no value's.

    A block scalar that keeps its blank lines may come to stand above it when something else goes.
    """
    if index == 0 or is_blank(document.text, line_start(document.text, index - 1)):
        return False
    return not keeps_blank_lines(document, 0, document.end)
