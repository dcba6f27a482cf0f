"""Rows in columns: what is left out, and what is cut, where room is short."""

from __future__ import annotations

import io

import pytest

from reconciler.cli.columns import Cell, Column, lay_out
from reconciler.cli.terminal import Style, width_of

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


def test_a_name_is_cut_only_where_nothing_else_can_go() -> None:
    """What a column wants it gets, before others are shown; where even that fails it is cut."""
    columns = (Column(head="NAME", least=10, wanted=30), *COLUMNS[1:])
    style = Style(io.StringIO(), no_color=True)
    for width, name in ((50, "n" * 30), (30, f"{'n' * 7}…{'n' * 14}")):
        style.width = width
        rows = [[Cell("n" * 30), *ROWS[0][1:]]]
        assert list(lay_out(columns, rows, style))[1].split()[0] == name


def test_columns_are_those_of_the_terminal() -> None:
    """Characters that take two columns, and accents that take none, move nothing that follows."""
    style = Style(io.StringIO(), no_color=True)
    names = ["模型-Q8_0", "e\u0301te\u0301", "plain"]
    rows = [[Cell(name), Cell("llama"), Cell("1 B"), Cell("-")] for name in names]
    lines = list(lay_out(COLUMNS, rows, style))
    assert {width_of(line.partition("llama")[0]) for line in lines[1:]} == {11}
    assert lines[0].index("KIND") == 11
    style.width = 21
    _, cut, *_ = lay_out(COLUMNS, [[Cell("模" * 20), *rows[0][1:]]], style)
    assert cut == "模模…模模模模模   1 B"
