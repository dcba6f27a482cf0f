"""A partial file: written at any place by several threads, hashed from its start as it grows."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from reconciler.adapters.base.files import translated
from reconciler.adapters.base.partial_record import (
    Gathered,
    PartialRecord,
    recorded_extents,
    remove_record,
)
from reconciler.adapters.hub.hashing import FrontHasher
from reconciler.core.extents import Extents
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Progress
from reconciler.errors import LockHeld, ReconcilerError, Stalled

# After a kill this much may have to be fetched again; half of what is promised, for what other
# threads have written and not yet told of.
_UNRECORDED_BYTES: Final = 2 * 1024 * 1024
# A slow line brings less than that in this time, and would lose minutes by it.
_UNRECORDED_SECONDS: Final = 0.5
# After a loss of power this much; syncing begins at half of it, so that writing goes on meanwhile.
_UNSYNCED_BYTES: Final = 64 * 1024 * 1024
_WORTH_SYNCING_BYTES: Final = _UNSYNCED_BYTES // 2
_WRITING: Final = "writing"


class PartialFile:
    """The file at `path` and its record, open for writing; made with its parents where missing.

    What an earlier run left is taken over where its record vouches for it; a file without a record
    counts from its start to its end. All of it is hashed again. Memory does not grow with the file.

    No byte is written twice, and none is hashed before it is written: so the digests are those of
    what lies on the disk, whatever several threads do.

    Safe to use from several threads. Use it as a context manager; leaving it keeps what is there.

    Raises, on entering and in every method: `DiskFull` where there is no room, `Refused` where we
    may not write, `Stalled` where something that is no regular file stands there, `LockHeld` where
    another process is writing it; each names the path.
    """

    def __init__(self, path: Path, gathered: Gathered, *, progress: Progress) -> None:
        self.path = path
        self.size_bytes = gathered.size_bytes
        self._gathered = gathered
        self._progress = progress
        self._changed = threading.Condition()
        # What is there; what is there or being written; what is there and not in the record yet.
        self._present, self._begun, self._unrecorded = Extents(), Extents(), Extents()
        self._unsynced_bytes = 0
        self._writers = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._syncing = threading.Thread(target=self._sync_behind, daemon=True)

    def __enter__(self) -> Self:
        with translated(self.path, _WRITING):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            self._descriptor = _open_locked(self.path)
            undo.callback(os.close, self._descriptor)
            self._take_over()
            undo.callback(self._record_file.close)
            with translated(self.path, _WRITING):
                _allocate(self._descriptor, self.size_bytes)
            self._hasher = FrontHasher(
                self._descriptor, self.size_bytes, trusted=self._present, progress=self._progress
            )
            undo.callback(self._hasher.stop)
            self._syncing.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it; every byte written is recorded, unless the record itself cannot be written."""
        # Should this be interrupted, the descriptor stays open: threads may be writing to it, and
        # its number would be given to another file.
        self._end_writing()
        with self._undo, suppress(ReconcilerError):
            self._record()

    @property
    def is_complete(self) -> bool:
        """Whether every byte is there."""
        return self.present_bytes == self.size_bytes

    @property
    def present_bytes(self) -> int:
        """How many bytes are there."""
        with self._changed:
            return self._present.total_bytes

    def gaps(self) -> list[tuple[int, int]]:
        """Give the extents that are missing, in order."""
        with self._changed:
            return self._present.missing(0, self.size_bytes)

    def write(self, start: int, chunk: bytes | memoryview) -> None:
        """Write what is missing of `chunk` at `start`; waits while too much is not synced yet.

        What is there is never written again: it may have been hashed already. Nor is what another
        thread is writing. Once writing has ended, this does nothing.
        """
        view = memoryview(chunk)
        with self._changed:
            while self._unsynced_bytes >= _UNSYNCED_BYTES and not (self._closed or self._failure):
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            if self._closed:
                return
            missing = self._begun.missing(start, start + len(view))
            self._begun.add(start, start + len(view))
            self._writers += 1
        try:
            for first, last in missing:
                self._write(first, view[first - start : last - start])
        finally:
            with self._changed:
                self._writers -= 1
                if self._closed:
                    self._changed.notify_all()

    def _write(self, start: int, left: memoryview) -> None:
        at = start
        try:
            with translated(self.path, _WRITING):
                while left:
                    count = os.pwrite(self._descriptor, left, at)
                    at, left = at + count, left[count:]
        finally:
            with self._changed:
                self._note(start, at)
        self._progress.advance(at - start)

    def finish(self) -> Digests:
        """Sync the complete file, forget its record, and give the digests of all its bytes.

        Nothing can be written any more.
        """
        self._end_writing()
        if self._failure is not None:
            raise self._failure
        self._sync()
        digests = self._hasher.digests()
        remove_record(self.path)
        return digests

    def _end_writing(self) -> None:
        """Let no write begin, and wait for those under way and for the syncing thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._writers:
                self._changed.wait()
        self._syncing.join()

    def _take_over(self) -> None:
        """Find what is there, and begin the new record with it."""
        with translated(self.path, _WRITING):
            length = os.fstat(self._descriptor).st_size
            recorded = recorded_extents(
                self.path, sha256=self._gathered.sha256, size_bytes=self.size_bytes
            )
            if recorded is not None:
                self._present = Extents((start, min(end, length)) for start, end in recorded)
            elif length <= self.size_bytes:
                self._present = Extents([(0, length)])
            if self._present.total_bytes:
                # The new record vouches for it whatever becomes of the machine.
                os.fdatasync(self._descriptor)
            self._begun = Extents(self._present)
            # Before the file gets its length: with that and no record it would count as complete.
            self._record_file = PartialRecord(self.path, self._gathered, self._present)

    def _note(self, start: int, end: int) -> None:
        """Take note of bytes written."""
        self._present.add(start, end)
        self._hasher.reach(self._present.front)
        self._unrecorded.add(start, end)
        before_bytes = self._unsynced_bytes
        self._unsynced_bytes += end - start
        if before_bytes < _WORTH_SYNCING_BYTES <= self._unsynced_bytes:
            self._changed.notify_all()
        if self._unrecorded.total_bytes >= _UNRECORDED_BYTES:
            self._record()

    def _record(self) -> None:
        extents, self._unrecorded = self._unrecorded, Extents()
        if extents.total_bytes:
            self._record_file.add(extents)

    def _sync_behind(self) -> None:
        """Bring what was written to the disk, as soon as it is worth it; a thread of its own."""
        try:
            while self._sync_once():
                pass
        except BaseException as error:  # noqa: BLE001 - raised in the threads that write
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _sync_once(self) -> bool:
        """Wait until there is something to do, and do it; False: writing has ended."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._unsynced_bytes >= _WORTH_SYNCING_BYTES,
                timeout=_UNRECORDED_SECONDS,
            )
            if self._closed:
                return False
            self._record()
            count, unsynced = self._record_file.count, self._unsynced_bytes
        if unsynced < _WORTH_SYNCING_BYTES:
            return True
        self._sync()
        with self._changed:
            self._record_file.mark_synced(count)
        # Writing goes on meanwhile.
        self._record_file.sync()
        with self._changed:
            self._unsynced_bytes -= unsynced
            self._changed.notify_all()
        return True

    def _sync(self) -> None:
        """Bring what was written to the disk."""
        try:
            with translated(self.path, "syncing"):
                os.fdatasync(self._descriptor)
        except ReconcilerError:
            # The system tells of it once. After that it gives back from memory what the disk never
            # got, and the next run would find the right digest.
            with self._changed, suppress(ReconcilerError):
                self._record_file.mark_lost()
            raise


def remove_partial(path: Path) -> None:
    """Delete the partial file at `path` and its record; raises `Refused` if we may not."""
    with translated(path, "removing"):
        path.unlink(missing_ok=True)
    remove_record(path)


def _open_locked(path: Path) -> int:
    """Open the regular file at `path`, which no other process has open here."""
    while True:
        with translated(path, _WRITING):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(path, flags, 0o644)
            try:
                status = os.fstat(descriptor)
                _refuse_special(path, status)
                _lock(descriptor, path)
                with suppress(FileNotFoundError):
                    # Until we held it, who did may have put it in its place.
                    if os.path.samestat(status, path.stat(follow_symlinks=False)):
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _refuse_special(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Stalled(
            f"{path}: something that is no regular file stands there", hint="move it away"
        )


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockHeld(
            f"{path}: another process is fetching it", hint="wait until it is done"
        ) from None
    except OSError as error:
        # A network filesystem without locks; the lock on the whole run has to do.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise


def _allocate(descriptor: int, size_bytes: int) -> None:
    """Give the file its length and its room on the disk, so that a full disk is told of now.

    Not through the C library's own fallback: where the filesystem cannot do it, that writes zeros
    to the whole file. There the file gets its length alone.
    """
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if size_bytes and function is not None:
        length = os.fstat(descriptor).st_size
        while function(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size_bytes)) != 0:
            number = ctypes.get_errno()
            if number in (errno.EOPNOTSUPP, errno.ENOSYS):
                break
            if number != errno.EINTR:
                os.ftruncate(descriptor, length)
                raise OSError(number, os.strerror(number))
    os.ftruncate(descriptor, size_bytes)
