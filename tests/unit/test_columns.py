"""Rows in columns: what is left out, and what is cut, where room is short."""

from __future__ import annotations

import io

import pytest

from reconciler.cli.columns import Cell, Column, lay_out
from reconciler.cli.terminal import Style

COLUMNS = (
    Column(head="NAME", least=10),
    Column(head="KIND", rank=1),
    Column(head="SIZE", right=True),
    Column(head="SOURCE", rank=2, least=24),
)
ROWS = [
    [Cell("a" * 40), Cell("llama"), Cell("4.0 GB"), Cell("s" * 60)],
    [Cell("b"), Cell("-", "red"), Cell("12.0 GB"), Cell("-")],
]


def laid(width: int | None) -> list[str]:
    """Give the lines for a width."""
    style = Style(io.StringIO(), no_color=True)
    style.width = width
    return list(lay_out(COLUMNS, ROWS, style))


def test_where_there_is_no_width_nothing_is_left_out() -> None:
    """In a pipe every column is whole, whatever its length."""
    head, first, second = laid(None)
    assert head.split() == ["NAME", "KIND", "SIZE", "SOURCE"]
    assert first.split() == " ".join(cell.text for cell in ROWS[0]).split()
    assert second.split() == ["b", "-", "12.0", "GB", "-"]
    assert first.index("4.0 GB") == second.index("12.0 GB") + 1


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100, 130])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Columns go by their rank and names are cut in the middle, until all lines fit."""
    lines = laid(width)
    assert max(map(len, lines)) <= width
    assert all("GB" in line for line in lines[1:])


def test_what_matters_least_goes_first() -> None:
    """The highest rank goes first, and a column of no rank never."""
    assert laid(40)[0].split() == ["NAME", "KIND", "SIZE"]
    assert laid(130)[0].split() == ["NAME", "KIND", "SIZE", "SOURCE"]
    assert laid(22)[0].split() == ["NAME", "SIZE"]


def test_a_cell_is_one_harmless_line() -> None:
    """Line breaks, tabs and escapes of what comes from outside do not reach the terminal."""
    style = Style(io.StringIO(), no_color=True)
    lines = list(lay_out([Column(head="A")], [[Cell("x\ny\t\x1b[31mz")]], style))
    assert lines == ["A", "x y \N{REPLACEMENT CHARACTER}[31mz"]


def test_no_rows_are_a_head_alone() -> None:
    """A table of nothing still says what it would hold."""
    assert list(lay_out([Column(head="A")], [], Style(io.StringIO(), no_color=True))) == ["A"]
