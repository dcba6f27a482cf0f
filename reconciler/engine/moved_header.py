"""An update that only moved the header: what of the new file is here already.

Authors upload a model again with another chat template or other metadata, and the same tensors. The
new header is read from the origin; where its tensor table agrees with that of the file that is to
be replaced, the tensor data are taken from there. Nothing here is trusted: the digest of the whole
decides, and where it differs all is fetched.
"""

from __future__ import annotations

from typing import Final

from reconciler.core.actions import Download
from reconciler.core.gguf.header import read_header
from reconciler.core.gguf.moved import probes, same_tensors, with_stretches
from reconciler.core.gguf.window import WINDOW_BYTES, ByteSource
from reconciler.core.ledger import Ledger
from reconciler.core.ports.transfer import Piece, Stretch, Transfer
from reconciler.engine.host import Host
from reconciler.errors import Interrupted, ReconcilerError, TransferBroken

# Smaller files are here sooner than a header has been looked at.
_SMALLEST_FILE_BYTES: Final = 4 * 1024 * 1024
# What may be read of the new file in the hope that the rest is here: a tenth of it, and no more
# than memory holds with ease. Large vocabularies make headers of 5 to 30 MB.
_MOST_OF_FILE: Final = 10
_LONGEST_HEADER_BYTES: Final = 64 * 1024 * 1024
# The new header is about as long as the old one: a template more or less, and the reader's window.
_MORE_BYTES: Final = 2 * WINDOW_BYTES
_LONGEST_PIECE_BYTES: Final = 4 * 1024 * 1024


def known_parts(action: Download, ledger: Ledger, host: Host) -> tuple[Stretch | Piece, ...]:
    """Give what is known of the file that `action` brings, in order and without overlap.

    Whatever was read of it comes back as pieces, also where nothing came of it, so that no byte is
    asked for twice; their sum is what the origin had to send. Empty where there is no older file of
    ours at the path. Whatever goes wrong is left to the fetching that follows.

    Raises:
        Interrupted: the person, or the system, asked us to stop.
    """
    if action.have_bytes or action.size_bytes < _SMALLEST_FILE_BYTES:
        return ()
    new = _Beginning(action, host.transfer)
    try:
        if not _is_as_applied(action, ledger, host):
            return ()
        with host.folder.reading(action.path) as old:
            return _compare(action, old, new, host)
    except Interrupted:
        raise
    except ReconcilerError:
        return tuple(new.pieces)


def _is_as_applied(action: Download, ledger: Ledger, host: Host) -> bool:
    """Whether the bytes at the path are those that we last knew there."""
    owned, seen = ledger.files.get(action.path), host.folder.look(action.path)
    if owned is None or seen is None:
        return False
    known = host.digests.find(seen[0])
    return known is not None and known.sha256 == owned.sha256 != action.sha256


def _compare(
    action: Download, old: ByteSource, new: _Beginning, host: Host
) -> tuple[Stretch | Piece, ...]:
    old_header = read_header(old)
    if old_header.data_start > new.size_bytes:
        return ()
    new.expect(old_header.data_start + _MORE_BYTES)
    new_header = read_header(new)
    new.reach(new_header.data_start)
    if new.end < new_header.data_start or not same_tensors(
        old_header, new_header, old_bytes=old.size_bytes, new_bytes=action.size_bytes
    ):
        return tuple(new.pieces)
    shift = new_header.data_start - old_header.data_start
    # What was read past the header, and a little here and there, tells whether the data agree too.
    for start, end in ((new_header.data_start, new.end), *probes(new.end, action.size_bytes)):
        if new.read(start, end) != old.read_at(start - shift, end - start):
            return tuple(new.pieces)
    return with_stretches(
        new.pieces,
        path=host.folder.full(action.path),
        shift=shift,
        size_bytes=action.size_bytes,
    )


class _Beginning:
    """The first part of the file to be brought, read as far as somebody looks. A `ByteSource`.

    It ends where reading on would not be worth it, so that a longer header is an invalid one.
    """

    def __init__(self, action: Download, transfer: Transfer) -> None:
        self.size_bytes = min(action.size_bytes // _MOST_OF_FILE, _LONGEST_HEADER_BYTES)
        self.end = 0
        self.pieces: list[Piece] = []
        self._action = action
        self._transfer = transfer
        self._expected = 0

    def expect(self, length_bytes: int) -> None:
        """Say how much will be looked at, so that it comes in few pieces."""
        self._expected = min(length_bytes, self.size_bytes)

    def reach(self, offset: int) -> None:
        """Read on up to `offset`, or to the end of what is worth it."""
        wanted = min(offset, self.size_bytes)
        while self.end < wanted:
            aim = max(wanted, self._expected, min(self.end + _MORE_BYTES, self.size_bytes))
            self._fetch(self.end, min(aim, self.end + _LONGEST_PIECE_BYTES))
            self.end += len(self.pieces[-1].data)

    def read_at(self, offset: int, count_bytes: int) -> bytes:
        """Give bytes of the beginning, read from the origin where nobody looked before."""
        self.reach(offset + count_bytes)
        return self._joined(offset, min(offset + count_bytes, self.end))

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes from `start` to `end`, wherever: what is there, or a piece of its own."""
        if end > self.end:
            self._fetch(start, end)
        return self._joined(start, end)

    def _fetch(self, start: int, end: int) -> None:
        data = self._transfer.read(
            self._action.origin, start, end, size_bytes=self._action.size_bytes
        )
        if len(data) != end - start:
            raise TransferBroken(f"{self._action.path}: asked for bytes, and got others")
        self.pieces.append(Piece(start=start, data=data))

    def _joined(self, start: int, end: int) -> bytes:
        return b"".join(
            piece.data[max(0, start - piece.start) : max(0, end - piece.start)]
            for piece in self.pieces
        )
