"""Rows in columns, fitted to the terminal: what matters least goes first where room is short."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.cli.terminal import Style, printable, shortened, width_of

_GAP: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. The one with the highest `rank` is left out first, and those of rank 0 never.

    One with a `least` may be cut in its middle, down to so many characters; as long as others can
    be left out instead, not below `wanted`. `right` sets numbers under numbers.
    """

    head: str
    rank: int = 0
    least: int | None = None
    wanted: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a style of `Style`; plain where that is empty."""

    text: str
    style: str = ""


def lay_out(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], style: Style
) -> Iterator[str]:
    """Give the head and a line for each row; everything where the stream has no width."""
    rows = [[Cell(one_line(cell.text), cell.style) for cell in row] for row in rows]
    widths = [
        max(width_of(text) for text in (column.head, *(row[place].text for row in rows)))
        for place, column in enumerate(columns)
    ]
    shown = _fit(columns, widths, style.width)
    yield _line(columns, [Cell(column.head, "bold") for column in columns], shown, style)
    for row in rows:
        yield _line(columns, row, shown, style)


def one_line(text: str) -> str:
    """Give text from outside as a cell may hold it: on one line, and harmless."""
    return printable(" ".join(text.split()))


def folded(line: str, style: Style, *, hang: int = 0) -> str:
    """Fold a line where the terminal ends; what follows keeps its indentation, and `hang` more.

    No word is cut: a path or an option stays whole, to be copied.
    """
    if style.width is None or len(line) <= style.width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + hang)
    lines = textwrap.wrap(
        line,
        style.width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines)


def _fit(columns: Sequence[Column], widths: Sequence[int], room: int | None) -> dict[int, int]:
    """Give the places of the columns that are shown, and how wide each may be."""
    shown = dict(enumerate(widths))
    if room is None:
        return shown

    def least(place: int) -> int:
        at_least = columns[place].least
        return shown[place] if at_least is None else min(shown[place], at_least)

    def wanted(place: int) -> int:
        return max(least(place), min(shown[place], columns[place].wanted))

    def too_wide(width: int) -> int:
        return width + _GAP * (len(shown) - 1) - room

    for place in sorted(shown, key=lambda place: -columns[place].rank):
        if columns[place].rank and too_wide(sum(map(wanted, shown))) > 0:
            del shown[place]
    for place in reversed(list(shown)):
        excess = max(too_wide(sum(shown.values())), 0)
        shown[place] = max(shown[place] - excess, least(place))
    return shown


def _line(
    columns: Sequence[Column], row: Sequence[Cell], shown: dict[int, int], style: Style
) -> str:
    parts = []
    for place, width in shown.items():
        cell = row[place]
        text = shortened(cell.text, width)
        padding = " " * (width - width_of(text))
        painted = style(text, cell.style) if cell.style else text
        parts.append(f"{padding}{painted}" if columns[place].right else f"{painted}{padding}")
    return (" " * _GAP).join(parts).rstrip()
