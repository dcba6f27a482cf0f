"""A file uploaded again with another header and the same tensors: what of it is here already."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from reconciler.core.gguf.header import Header
from reconciler.core.ports.transfer import Piece, Stretch

_PROBE_BYTES: Final = 16 * 1024
_PROBES: Final = 3


def same_tensors(old: Header, new: Header, *, old_bytes: int, new_bytes: int) -> bool:
    """Whether names, shapes, types, order and places agree, and the data are equally long."""
    return (
        len(new.tensors) > 0
        and old.tensors == new.tensors
        and old_bytes - old.data_start == new_bytes - new.data_start > 0
    )


def probes(start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Give a few short ranges, as start and end, spread evenly between `start` and `end`.

    Weights that were quantized anew differ nearly everywhere: they show it here, before anything is
    copied.
    """
    if end - start < 2 * _PROBES * _PROBE_BYTES:
        return ()
    step = (end - start) // (_PROBES + 1)
    places = (start + number * step for number in range(1, _PROBES + 1))
    return tuple((place, place + _PROBE_BYTES) for place in places)


def with_stretches(
    pieces: Sequence[Piece], *, path: Path, shift: int, size_bytes: int
) -> tuple[Stretch | Piece, ...]:
    """Fill what lies between and after the pieces from the file at `path`.

    What stands at `start` of the new file stands at `start - shift` of that one. The pieces are in
    order, begin with the file and do not overlap.
    """
    parts: list[Stretch | Piece] = []
    end = Piece(start=size_bytes, data=b"")
    for piece, following in pairwise([*pieces, end]):
        parts.append(piece)
        start = piece.start + len(piece.data)
        if start < following.start:
            parts.append(
                Stretch(
                    start=start,
                    length_bytes=following.start - start,
                    path=path,
                    source_start=start - shift,
                )
            )
    return tuple(parts)
