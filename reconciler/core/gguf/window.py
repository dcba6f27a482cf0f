"""Reading a header forward, a window at a time, whatever its bytes lie in."""

from __future__ import annotations

import struct
from typing import Final, Protocol

from reconciler.errors import GgufInvalid

WINDOW_BYTES: Final = 64 * 1024
LONGEST_HEADER_BYTES: Final = 512 * 1024 * 1024
_UINT32: Final = struct.Struct("<I")
_UINT64: Final = struct.Struct("<Q")


class ByteSource(Protocol):
    """Bytes that can be read at any place: a file, or what lies behind an address."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""

    def read_at(self, offset: int, count_bytes: int) -> bytes:
        """Give the bytes from `offset` on: `count_bytes` of them, fewer only at the end.

        Raises `ReconcilerError` where they cannot be had.
        """


class Window:
    """A place in a header, moving forward alone. Nothing is read that was not measured first.

    Every method raises `GgufInvalid` where the header goes on past the end of its source, or past
    `LONGEST_HEADER_BYTES`, and lets through what the source raises.
    """

    def __init__(self, source: ByteSource) -> None:
        """Stand at the first byte of `source`; nothing is read yet."""
        self._source = source
        self._end = min(source.size_bytes, LONGEST_HEADER_BYTES)
        self._buffer = b""
        self._start = 0  # where the buffer lies in the source
        self._place = 0  # where we stand in the buffer; past its end after a long skip

    @property
    def offset(self) -> int:
        """Where we stand, in bytes from the start of the source."""
        return self._start + self._place

    @property
    def left_bytes(self) -> int:
        """How many bytes the header may still have."""
        return self._end - self.offset

    def invalid(self, reason: str) -> GgufInvalid:
        """Give the error that says what is wrong here."""
        return GgufInvalid(reason, offset=self.offset)

    def take(self, count_bytes: int) -> bytes:
        """Give the next bytes; the caller has bounded how many."""
        self._need(count_bytes)
        before = self._place
        self._place += count_bytes
        return self._buffer[before : self._place]

    def uint32(self) -> int:
        """Give the next four bytes as a number."""
        value: int = _UINT32.unpack(self.take(4))[0]
        return value

    def uint64(self) -> int:
        """Give the next eight bytes as a number."""
        value: int = _UINT64.unpack(self.take(8))[0]
        return value

    def skip(self, count_bytes: int) -> None:
        """Go forward without reading."""
        if count_bytes > self.left_bytes:
            raise self._past_the_end()
        self._place += count_bytes

    def skip_strings(self, count: int) -> None:
        """Go past `count` strings. Vocabularies have hundreds of thousands: the loop is bare."""
        length_at = _UINT64.unpack_from
        while count:
            self._need(8)
            buffer, place, last = self._buffer, self._place, len(self._buffer) - 8
            while count and place <= last:
                before = place
                place += 8 + length_at(buffer, place)[0]
                count -= 1
            # Only the last of them can lead out of the buffer, and so out of the source.
            if self._start + place > self._end:
                self._place = before
                raise self._past_the_end()
            self._place = place

    def _need(self, count_bytes: int) -> None:
        """See to it that the next `count_bytes` bytes are in the buffer."""
        if self._place + count_bytes <= len(self._buffer):
            return
        if count_bytes > self.left_bytes:
            raise self._past_the_end()
        self._start, self._place = self.offset, 0
        self._buffer = self._source.read_at(
            self._start, min(max(count_bytes, WINDOW_BYTES), self.left_bytes)
        )
        if len(self._buffer) < count_bytes:
            raise self._past_the_end()

    def _past_the_end(self) -> GgufInvalid:
        if self._end == LONGEST_HEADER_BYTES:
            return self.invalid(f"the header goes on past {LONGEST_HEADER_BYTES} bytes")
        return self.invalid("the header goes on past the end of the file")
