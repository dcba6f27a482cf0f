"""Sends bodies at full speed and bounded memory, or as badly as ordered."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from reconciler.demo.hub_messages import Body, LoggedRequest

# One piece is one call into the system, and the grain at which progress is logged.
_PIECE_BYTES: Final = 1 << 20
# How often a throttled answer sends a piece.
_PIECES_PER_SECOND: Final = 20


class Holds:
    """Where stalled answers wait, until they are released or the server stops."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = 0
        self._releases = 0
        self._closed = False

    def hold(self) -> None:
        """Wait for the next `release`, or for the end."""
        with self._changed:
            releases = self._releases
            self._held += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._releases > releases)
            self._held -= 1

    def pause(self, seconds: float) -> None:
        """Wait for so long, or for the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=seconds)

    def release(self) -> None:
        """Let every answer go on that is stalled now."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def wait_until_held(self, count: int, *, timeout_seconds: float) -> bool:
        """Wait until `count` answers are stalled at once; False: they were not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._held >= count, timeout=timeout_seconds)

    def close(self) -> None:
        """Hold nobody any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def send_body(connection: socket.socket, body: Body, holds: Holds, entry: LoggedRequest) -> bool:
    """Send the body the way it says, and count what is sent into `entry`.

    Returns whether the connection can carry another answer. Raises `OSError` when the client has
    gone.
    """
    with contextlib.ExitStack() as stack:
        source: bytes | BinaryIO = (
            body.data
            if isinstance(body.data, bytes)
            else stack.enter_context(body.data.open("rb", buffering=0))
        )
        sender = _Sender(connection=connection, body=body, source=source, holds=holds, entry=entry)
        return sender.send()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    connection: socket.socket
    body: Body
    source: bytes | BinaryIO
    holds: Holds
    entry: LoggedRequest

    def send(self) -> bool:
        body = self.body
        at, end = body.start, body.stop
        if body.cut_after_bytes is not None:
            end = min(end, body.start + body.cut_after_bytes)
        if body.stall_after_bytes is not None:
            stall_at = min(end, body.start + body.stall_after_bytes)
            self._send_span(at, stall_at)
            self.holds.hold()
            at = stall_at
        self._send_span(at, end)
        if body.cut_after_bytes is not None:
            return False
        for start in range(0, body.extra_bytes, _PIECE_BYTES):
            self._send_bytes(bytes(min(_PIECE_BYTES, body.extra_bytes - start)))
        if body.framing == "chunks":
            self.connection.sendall(b"0\r\n\r\n")
        return True

    def _send_span(self, start: int, stop: int) -> None:
        flip_at = self.body.flip_at
        if flip_at is None or not start <= flip_at < stop:
            self._send_pieces(start, stop)
            return
        self._send_pieces(start, flip_at)
        self._send_bytes(bytes([self._byte(flip_at) ^ 0xFF]))
        self._send_pieces(flip_at + 1, stop)

    def _send_pieces(self, start: int, stop: int) -> None:
        pace = self.body.bytes_per_second
        size = max(1, int(pace / _PIECES_PER_SECOND)) if pace else _PIECE_BYTES
        for at in range(start, stop, size):
            end = min(at + size, stop)
            if isinstance(self.source, bytes):
                self._send_bytes(memoryview(self.source)[at:end])
            else:
                self._send_from_file(self.source, at, end)
            if pace:
                self.holds.pause((end - at) / pace)

    def _send_bytes(self, data: bytes | memoryview) -> None:
        with self._piece(len(data)):
            self.connection.sendall(data)

    def _send_from_file(self, file: BinaryIO, start: int, stop: int) -> None:
        with self._piece(stop - start):
            sent = self.connection.sendfile(file, start, stop - start)
            if sent != stop - start:
                raise OSError(f"{file.name} has become shorter while it was served")

    @contextlib.contextmanager
    def _piece(self, length: int) -> Iterator[None]:
        # Counted before it is sent, so that a client that has read it finds it in the log.
        self.entry.sent_bytes += length
        in_chunks = self.body.framing == "chunks"
        if in_chunks:
            self.connection.sendall(b"%x\r\n" % length)
        yield
        if in_chunks:
            self.connection.sendall(b"\r\n")

    def _byte(self, at: int) -> int:
        if isinstance(self.source, bytes):
            return self.source[at]
        return os.pread(self.source.fileno(), 1, at)[0]
