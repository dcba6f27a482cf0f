"""Headers made by hand, right and wrong ones, and sources to read them from."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from reconciler.core.gguf.window import ByteSource

UINT8, UINT32, STRING, ARRAY, UINT64 = 0, 4, 8, 9, 10


class InMemory(ByteSource):
    """Bytes at hand. Keeps how much was asked for; nobody may ask for what is not there."""

    def __init__(self, data: bytes, *, size_bytes: int | None = None) -> None:
        """`size_bytes` is what it says it has, where that is not the truth."""
        self._data = data
        self._size_bytes = len(data) if size_bytes is None else size_bytes
        self.read_bytes = 0
        self.most_at_once = 0

    @property
    def size_bytes(self) -> int:
        """What it says it has."""
        return self._size_bytes

    def read_at(self, offset: int, count_bytes: int) -> bytes:
        """Give what there is."""
        assert 0 <= offset <= offset + count_bytes <= self._size_bytes
        self.read_bytes += count_bytes
        self.most_at_once = max(self.most_at_once, count_bytes)
        return self._data[offset : offset + count_bytes]


def text(value: bytes | str) -> bytes:
    """Give a string: its length and its bytes."""
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: bytes | str, kind: int, value: bytes) -> bytes:
    """Give a key, the type of its value, and the value as it is."""
    return text(key) + struct.pack("<I", kind) + value


def number(key: bytes | str, value: int, *, kind: int = UINT32) -> bytes:
    """Give a key with a whole number."""
    return pair(key, kind, struct.pack({UINT8: "<B", UINT32: "<I", UINT64: "<Q"}[kind], value))


def string(key: bytes | str, value: bytes | str) -> bytes:
    """Give a key with a string."""
    return pair(key, STRING, text(value))


def array(key: bytes | str, kind: int, count: int, elements: bytes) -> bytes:
    """Give a key with an array that says it has `count` elements."""
    return pair(key, ARRAY, struct.pack("<IQ", kind, count) + elements)


def tensor(
    name: bytes | str = "t", *, dimensions: Sequence[int] = (32,), kind: int = 0, offset: int = 0
) -> bytes:
    """Give a row of the tensor table."""
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def header(
    *pairs: bytes,
    tensors: Sequence[bytes] = (),
    version: int = 3,
    key_count: int | None = None,
    tensor_count: int | None = None,
) -> bytes:
    """Give a header without padding; the counts are right unless others are given."""
    return b"".join(
        (
            b"GGUF",
            struct.pack("<I", version),
            struct.pack("<Q", len(tensors) if tensor_count is None else tensor_count),
            struct.pack("<Q", len(pairs) if key_count is None else key_count),
            *pairs,
            *tensors,
        )
    )


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Give `data` with a few bytes, lengths or pieces of it made wrong."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed)) if changed else 0
        match chance.randrange(6):
            case 0:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                # Lengths and counts are eight bytes, and go wrong at their bounds.
                bound = 2 ** chance.choice((0, 8, 16, 20, 31, 32, 63, 64))
                wrong = (bound + chance.choice((-1, 0, 1))) % 2**64
                changed[place : place + 8] = struct.pack("<Q", wrong)
            case 2:
                changed[place : place + 4] = struct.pack("<I", chance.randrange(14))
            case 3:
                del changed[place:]
            case 4:
                del changed[place : place + chance.randrange(1, 16)]
            case _:
                piece = changed[place : place + chance.randrange(1, 64)]
                changed[place:place] = piece
    return bytes(changed)


def whole_file(*pairs: bytes, data: bytes, name: str = "weights", alignment: int = 32) -> bytes:
    """Give a file with `data` as its one tensor."""
    front = header(
        *pairs,
        *([number("general.alignment", alignment)] if alignment != 32 else []),
        tensors=[tensor(name, dimensions=(len(data),), kind=24)],
    )
    return front + bytes(-len(front) % alignment) + data
