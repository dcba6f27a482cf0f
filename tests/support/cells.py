"""What edits of items should make of a config's values, worked out apart from the product.

A config becomes a tree of cells; every edit finds its cell before any is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.edits import AddItem, ItemEdit, RemoveItem, RenameKey, SetItem
from reconciler.core.llamaswap.shapes import Place
from reconciler.core.values import Json


@dataclass(slots=True)
class Cell:
    """One value; `kind` tells a mapping, a list and a leaf apart."""

    name: str
    kind: str
    leaf: Json = None
    inner: list[Cell] = field(default_factory=list)

    def find(self, place: Place) -> Cell:
        """Give the cell at a place below this one."""
        cell = self
        for part in place:
            numbers = enumerate(cell.inner)
            (cell,) = [
                inner
                for number, inner in numbers
                if (str(number) if cell.kind == "list" else inner.name) == part
            ]
        return cell

    def value(self) -> Json:
        """Give the value again."""
        if self.kind == "mapping":
            return {cell.name: cell.value() for cell in self.inner}
        return [cell.value() for cell in self.inner] if self.kind == "list" else self.leaf


def cells_of(value: Json, name: str = "") -> Cell:
    """Make cells of a value."""
    if isinstance(value, Mapping):
        inner = [cells_of(item, key) for key, item in value.items()]
        return Cell(name, "mapping", inner=inner)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Cell(name, "list", inner=[cells_of(item) for item in value])
    return Cell(name, "leaf", value)


def edited(value: Json, edits: Sequence[ItemEdit]) -> Json:
    """Give what the edits make of a value; where all of a holder goes, it stays empty."""
    root = cells_of(value)
    found = [
        (edit, root.find(edit.place[:-1]), None)
        if isinstance(edit, AddItem)
        else (edit, root.find(edit.place[:-1]), root.find(edit.place))
        for edit in edits
    ]
    for edit, holder, cell in found:
        match edit:
            case AddItem():
                if holder.leaf is None and holder.kind == "leaf":
                    holder.kind = "list" if edit.place[-1] == "0" else "mapping"
                holder.inner.append(cells_of(edit.value, edit.place[-1]))
            case SetItem() if cell is not None:
                cell.kind, cell.leaf = "leaf", edit.value
            case RenameKey() if cell is not None:
                cell.name = edit.key
            case RemoveItem() if cell is not None:
                holder.inner = [inner for inner in holder.inner if inner is not cell]
    return root.value()


def places_in(value: Json, place: Place = ()) -> Iterator[tuple[Place, Json]]:
    """Give every place in a value with what stands there, the value itself first."""
    yield place, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from places_in(inner, (*place, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, inner in enumerate(value):
            yield from places_in(inner, (*place, str(number)))
