"""Models as they are listed: a line for each, in columns that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.cli.columns import Cell, Column, lay_out
from reconciler.cli.terminal import Style
from reconciler.core.sizes import human_bytes

if TYPE_CHECKING:
    # A search must be quick, and does not need what a list is made with.
    from reconciler.core.catalogue import Listed
    from reconciler.core.matches import Match

NOTHING_APPLIED: Final = "No model was applied here yet: see `reconcile --plan`."
# An ID is what people type next, so it is cut only where nothing else can go.
_NAME: Final = Column(head="MODEL", least=10, wanted=40)
_COLUMNS: Final = (
    _NAME,
    Column(head="ARCH", rank=2),
    Column(head="QUANT", rank=1),
    Column(head="CONTEXT", rank=3, right=True),
    Column(head="SIZE", right=True),
    Column(head="FILES", rank=4, right=True),
    Column(head="SOURCE", rank=5, least=24),
)


def listed_lines(
    models: Sequence[Listed | Match], style: Style, *, declared: bool = True
) -> Iterator[str]:
    """Give the head and a line for each. Files that are not `declared` come from nowhere known."""
    columns = _COLUMNS if declared else (replace(_NAME, head="FILE"), *_COLUMNS[1:-1])
    yield from lay_out(columns, [_row(model)[: len(columns)] for model in models], style)


def _row(model: Listed | Match) -> Sequence[Cell]:
    return (
        Cell(model.model),
        Cell(model.architecture or "-"),
        Cell(model.quant or "-"),
        Cell(str(model.context_length) if model.context_length else "-"),
        Cell(human_bytes(model.size_bytes) if model.files else "-"),
        Cell(str(model.files) if model.files else "-"),
        Cell(model.source or "-"),
    )
