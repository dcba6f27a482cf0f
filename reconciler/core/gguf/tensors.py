"""The tensor table: names, shapes, types and places, and where the data of them all must end."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from reconciler.core.gguf.window import Window

_MOST_TENSORS: Final = 1_048_576
_LONGEST_NAME_BYTES: Final = 63
_MOST_DIMENSIONS: Final = 4
_MOST_ELEMENTS: Final = 2**63 - 1
# A row behind its name and number of dimensions: that many lengths, the type, the offset.
_ROWS: Final = tuple(struct.Struct(f"<{count}QIQ") for count in range(_MOST_DIMENSIONS + 1))

# For each type's number how many elements make a block, and its bytes. What is not here (types that
# were taken back, and those from 42 on, whose numbers forks use otherwise) is of unknown size.
_BLOCKS: Final = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 40),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the table tells it. `offset` counts bytes from the start of the data.

    `name` is text of the file, and unfit to be printed as it is.
    """

    name: str
    dimensions: tuple[int, ...]
    type: int
    offset: int

    @property
    def size_bytes(self) -> int | None:
        """How long its data are, without padding; None where its type's blocks are not known."""
        elements_in_block, bytes_in_block = _BLOCKS.get(self.type, (0, 0))
        row = self.dimensions[0] if self.dimensions else 1
        if elements_in_block == 0 or row % elements_in_block:
            return None
        return prod(self.dimensions) // elements_in_block * bytes_in_block


def check_count(window: Window, count: int) -> None:
    """Refuse a table that says it has more tensors than any model; raises `GgufInvalid`."""
    if count > _MOST_TENSORS:
        raise window.invalid(f"it says it has {count} tensors, more than {_MOST_TENSORS}")


def read_tensors(window: Window, count: int) -> tuple[Tensor, ...]:
    """Read the table of `count` tensors that begins here. Raises `GgufInvalid`."""
    tensors: list[Tensor] = []
    names: set[str] = set()
    for _ in range(count):
        tensor = _read_tensor(window)
        if tensor.name in names:
            raise window.invalid("two tensors have one name")
        names.add(tensor.name)
        tensors.append(tensor)
    return tuple(tensors)


def padded(count_bytes: int, alignment_bytes: int) -> int:
    """Give `count_bytes`, up to the next multiple of the alignment."""
    return -(-count_bytes // alignment_bytes) * alignment_bytes


def data_bytes(tensors: Sequence[Tensor]) -> int | None:
    """Give how long the data of them all are, from their start to the end of the last.

    None where the size of a type is not known.
    """
    end = 0
    for tensor in tensors:
        size_bytes = tensor.size_bytes
        if size_bytes is None:
            return None
        end = max(end, tensor.offset + size_bytes)
    return end


def _read_tensor(window: Window) -> Tensor:
    length = window.uint64()
    if length > _LONGEST_NAME_BYTES:
        raise window.invalid(f"a tensor's name has {length} bytes, more than {_LONGEST_NAME_BYTES}")
    try:
        name = window.take(length).decode()
    except UnicodeDecodeError:
        raise window.invalid("a tensor's name is not UTF-8") from None
    count = window.uint32()
    if count > _MOST_DIMENSIONS:
        raise window.invalid(f"a tensor has {count} dimensions, more than {_MOST_DIMENSIONS}")
    form = _ROWS[count]
    *dimensions, kind, offset = form.unpack(window.take(form.size))
    if max(dimensions, default=0) > _MOST_ELEMENTS or prod(dimensions) > _MOST_ELEMENTS:
        raise window.invalid("a tensor has more elements than can be counted")
    return Tensor(name, tuple(dimensions), kind, offset)
