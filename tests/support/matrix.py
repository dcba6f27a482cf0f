"""The kinds of containers that llama-swap runs in, and how many of them a test takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import product
from typing import Any

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of container; the fields are what `start_llama_swap` takes."""

    behave: str
    watch: bool
    single_file_mount: bool
    user: str | None

    def __str__(self) -> str:
        watch = "watching" if self.watch else "blind"
        mount = "file" if self.single_file_mount else "folder"
        return f"{self.behave}-{watch}-{mount}-{'user' if self.user else 'root'}"

    @property
    def restarts(self) -> bool:
        """Whether nothing but a restart makes it take another config."""
        return self.behave == "2025" and (self.single_file_mount or not self.watch)


KINDS = tuple(
    Kind(behave=behave, watch=watch, single_file_mount=single_file_mount, user=user)
    for behave in ("2025", "2026")
    for watch in (False, True)
    for single_file_mount in (False, True)
    for user in (None, "10001:10001")
)
Cell = tuple[Any, ...]


def kinds(*, begin: int = 0, **axes: Sequence[object]) -> pytest.MarkDecorator:
    """Run a test on each `kind` of container, and with each value of further axes by their names.

    Each takes many seconds, so there are only so many that every value comes up; with
    RECONCILER_WHOLE_MATRIX=1 there are all. `begin` is the number of the first, so that tests take
    different ones.
    """
    cells: list[Cell] = list(product(KINDS, *axes.values()))
    if not os.environ.get("RECONCILER_WHOLE_MATRIX"):
        cells = _covering(cells[begin:] + cells[:begin])
    values = [pytest.param(*cell, id="-".join(map(str, cell))) for cell in cells]
    return pytest.mark.parametrize(("kind", *axes), values)


def _covering(cells: list[Cell]) -> list[Cell]:
    """Give few cells in which every value comes up, each time the one that adds most."""
    holds = {cell: set(enumerate((*astuple(cell[0]), *cell[1:]))) for cell in cells}
    left = set().union(*holds.values())
    chosen = []
    while left:
        chosen.append(max(cells, key=lambda cell: len(left & holds[cell])))
        left -= holds[chosen[-1]]
    return chosen
