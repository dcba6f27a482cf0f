"""Partial files and their records: what a kill or a loss of power costs, and that it is no more."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.base import partial_record
from reconciler.adapters.base.partial_record import (
    Gathered,
    PartialRecord,
    record_path,
    recorded_extents,
)
from reconciler.adapters.hub import partial
from reconciler.adapters.hub.partial import PartialFile
from reconciler.core.extents import Extents
from reconciler.core.names import Sha256
from reconciler.errors import Interrupted, LockHeld, ReconcilerError
from tests.support.hub_client import CountedProgress
from tests.support.waiting import wait_for

MIB = 1 << 20
DATA = hashlib.shake_256(b"partial").digest(3 * MIB + 12345)
SHA256 = Sha256(hashlib.sha256(DATA).hexdigest())
GATHERED = Gathered(sha256=SHA256, size_bytes=len(DATA), origin="acme/models/model.gguf")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the partial file lies."""
    return tmp_path / "partial" / SHA256


def extents_of(path: Path) -> list[tuple[int, int]] | None:
    """What the record of `path` vouches for."""
    found = recorded_extents(path, sha256=SHA256, size_bytes=len(DATA))
    return None if found is None else list(found)


def test_threads_write_anywhere_and_the_digest_is_that_of_the_whole(path: Path) -> None:
    """Pieces in any order from several threads: both digests are those of the file's bytes."""
    pieces = [(start, DATA[start : start + 50_000]) for start in range(0, len(DATA), 50_000)]
    random.Random(1).shuffle(pieces)  # noqa: S311 - any order will do
    progress = CountedProgress()

    def write(mine: list[tuple[int, bytes]], file: PartialFile) -> None:
        for start, piece in mine:
            file.write(start, piece)

    with PartialFile(path, GATHERED, progress=progress) as file:
        threads = [threading.Thread(target=write, args=(pieces[one::4], file)) for one in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert file.gaps() == []
        assert file.finish().sha256 == SHA256
    assert path.read_bytes() == DATA
    assert not record_path(path).exists()
    assert (progress.total_bytes, progress.skipped_bytes) == (len(DATA), 0)


def test_what_was_written_is_taken_over_and_hashed_again(path: Path) -> None:
    """The next run finds the extents of the last, counts them as skipped, and trusts no digest."""
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA[:1000])
        file.write(2 * MIB, DATA[2 * MIB : 2 * MIB + 500])
    assert extents_of(path) == [(0, 1000), (2 * MIB, 2 * MIB + 500)]
    progress = CountedProgress()
    with PartialFile(path, GATHERED, progress=progress) as file:
        assert file.present_bytes == 1500
        file.write(0, bytes(1000))
        for start, end in file.gaps():
            file.write(start, DATA[start:end])
        assert file.finish().sha256 == SHA256
    assert progress.skipped_bytes == 1500
    assert progress.total_bytes == len(DATA)


def test_bytes_that_are_there_are_never_written_again(path: Path) -> None:
    """What may be hashed already keeps its bytes, whatever is offered later."""
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(1000, DATA[1000:3000])
        file.write(0, bytes(2000) + DATA[2000:4000])
        assert file.gaps() == [(4000, len(DATA))]
    assert path.read_bytes()[:4000] == bytes(1000) + DATA[1000:4000]


def test_after_a_loss_of_power_only_what_was_synced_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another start of the machine believes the record up to its last mark, and no further."""
    path.parent.mkdir()
    record = PartialRecord(path, GATHERED, [(0, 10)])
    record.add([(10, 20), (50, 60)])
    record.mark_synced(2)
    record.add([(20, 30)])
    record.close()
    assert extents_of(path) == [(0, 30), (50, 60)]
    boot = tmp_path / "boot"
    boot.write_text("another start\n")
    monkeypatch.setattr(partial_record, "_BOOT_ID", boot)
    assert extents_of(path) == [(0, 20)]
    monkeypatch.setattr(partial_record, "_BOOT_ID", tmp_path / "no such system")
    assert extents_of(path) == [(0, 20)]


def test_record_is_synced_behind_the_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 64 MiB at most the bytes are synced, then the record that says so, in this order."""
    calls: list[tuple[str, int]] = []
    lines: list[int] = []
    real = os.fdatasync

    def noted(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        calls.append((name, written[0]))
        if name.endswith(".record"):
            lines.append(record_path(path).read_text().count("synced"))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", noted)
    gathered = Gathered(sha256=SHA256, size_bytes=200 * MIB, origin="x")
    written = [0]
    chunk = bytes(MIB)
    with PartialFile(path, gathered, progress=CountedProgress()) as file:
        for start in range(0, 200 * MIB, MIB):
            file.write(start, chunk)
            written[0] = start + MIB
    synced = [at for name, at in calls if name == SHA256]
    assert len(synced) >= 3
    gaps = [after - before for before, after in pairwise(synced)]
    assert max(gaps) <= 64 * MIB
    names = [name for name, _ in calls]
    assert names[0] == SHA256
    assert names[1::2] == [f"{SHA256}.record"] * len(names[1::2])
    assert lines == list(range(2, len(lines) + 2))
    assert record_path(path).read_text().count("synced") >= 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-4],
        lambda text: text + b"12 \xff\n",
        lambda text: text + b"40 50",
        lambda text: text + b"12 \xff\n40 50\n",
        lambda text: text + b"synced 99999999999999999999999\n",
    ],
)
def test_line_cut_off_in_its_middle_is_as_if_it_were_not_there(path: Path, damage: object) -> None:
    """A record that ends in the middle of a line, or in garbage, vouches for the rest of it."""
    path.parent.mkdir()
    record = PartialRecord(path, GATHERED, [(0, 10)])
    record.add([(20, 30)])
    record.close()
    assert callable(damage)
    record_path(path).write_bytes(damage(record_path(path).read_bytes()))
    assert extents_of(path) in ([(0, 10), (20, 30)], [(0, 10)])


def test_system_that_does_not_name_its_starts_is_believed_only_what_was_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where two starts of the machine cannot be told apart, each run may be after another one."""
    monkeypatch.setattr(partial_record, "_BOOT_ID", tmp_path / "no such system")
    path.parent.mkdir()
    record = PartialRecord(path, GATHERED, [(0, 10)])
    record.add([(10, 20)])
    record.close()
    assert extents_of(path) == [(0, 10)]


def test_new_record_vouches_only_for_what_the_disk_has(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier run left is synced before the record is begun anew that calls it safe."""
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA[:5000])
    calls: list[str] = []
    sync, replace = os.fdatasync, os.replace

    def synced(descriptor: int) -> None:
        calls.append("sync")
        sync(descriptor)

    def replaced(*arguments: Any, **named: Any) -> None:
        calls.append("replace")
        replace(*arguments, **named)

    monkeypatch.setattr(os, "fdatasync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with PartialFile(path, GATHERED, progress=CountedProgress()):
        assert calls == ["sync", "replace"]


@pytest.mark.parametrize("text", [b"", b"\n", b"{}\n0 5\n", b"[[[\n", b"\xff\xfe", b"0 5\n"])
def test_record_of_something_else_vouches_for_nothing(path: Path, text: bytes) -> None:
    """Without a head that names these very bytes a record counts as none, and is replaced."""
    path.parent.mkdir()
    path.write_bytes(DATA[:700])
    record_path(path).write_bytes(text)
    assert extents_of(path) is None
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        assert file.present_bytes == 700
    assert extents_of(path) == [(0, 700)]


def test_record_that_outlived_its_file_vouches_for_nothing(path: Path) -> None:
    """Where the file itself is gone, or shorter, what it lacks is missing whatever was recorded."""
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA[:5000])
    path.unlink()
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        assert file.present_bytes == 0
        file.write(0, DATA[:5000])
    os.truncate(path, 1200)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        assert file.gaps() == [(1200, len(DATA))]


def test_two_processes_never_write_one_partial(path: Path) -> None:
    """While one process fetches a file another is told so at once, and touches nothing."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.unit.test_partial_file import *\n"
        "with PartialFile(Path(sys.argv[1]), GATHERED, progress=CountedProgress()) as file:\n"
        "    file.write(0, DATA[:100])\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        before = record_path(path).read_bytes()
        with (
            pytest.raises(LockHeld, match="another process"),
            PartialFile(path, GATHERED, progress=CountedProgress()),
        ):
            pytest.fail("both write it")
        assert record_path(path).read_bytes() == before
        child.communicate()
        assert child.returncode == 0
    assert extents_of(path) == [(0, 100)]


def test_file_has_its_room_from_the_start(path: Path) -> None:
    """The disk's blocks are taken before the first byte comes, so none can be missing later."""
    with PartialFile(path, GATHERED, progress=CountedProgress()):
        status = path.stat()
        assert status.st_size == len(DATA)
        assert status.st_blocks * 512 >= len(DATA)


def test_two_threads_never_write_the_same_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that another thread is writing are left to it: they may be hashed at any moment."""
    writing, go_on = threading.Event(), threading.Event()
    real = os.pwrite

    def held(descriptor: int, data: memoryview, start: int) -> int:
        if not writing.is_set():
            writing.set()
            assert go_on.wait(20)
        return real(descriptor, data, start)

    monkeypatch.setattr(os, "pwrite", held)
    progress = CountedProgress()
    with PartialFile(path, GATHERED, progress=progress) as file:
        first = threading.Thread(target=file.write, args=(0, DATA[: 2 * MIB]))
        first.start()
        assert writing.wait(20)
        file.write(MIB, bytes(MIB) + DATA[2 * MIB :])
        go_on.set()
        first.join(20)
        assert file.is_complete
        assert file.finish().sha256 == SHA256
    assert path.read_bytes() == DATA
    assert progress.total_bytes == len(DATA)


def test_finished_file_takes_no_more_bytes(path: Path) -> None:
    """What a connection brings late, when the file is proven or left, goes nowhere."""
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA[:1000])
    file.write(1000, DATA[1000:])
    assert file.present_bytes == 1000
    assert extents_of(path) == [(0, 1000)]


def disk_that_fails(monkeypatch: pytest.MonkeyPatch, path: Path, *, at: int) -> threading.Event:
    """Let the `at`th syncing of the partial file itself fail, as the system says it: once."""
    failed = threading.Event()
    count = 0
    real = os.fdatasync

    def sync(descriptor: int) -> None:
        nonlocal count
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == path.name:
            count += 1
            if count == at:
                failed.set()
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    return failed


def test_bytes_the_disk_did_not_take_are_not_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync is told, and what it was about is fetched again, though memory still has it."""
    monkeypatch.setattr(partial, "_WORTH_SYNCING_BYTES", 1000)
    failed = disk_that_fails(monkeypatch, path, at=2)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA[:MIB])
        wait_for(lambda: b"synced 1" in record_path(path).read_bytes(), "the first sync")
        file.write(MIB, DATA[MIB:])
        assert failed.wait(20)
        with pytest.raises(ReconcilerError, match="syncing"):
            file.finish()
    assert extents_of(path) == [(0, MIB)]


def test_failed_last_sync_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose bytes did not reach the disk in the end is not given as complete."""
    failed = disk_that_fails(monkeypatch, path, at=1)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA)
        with pytest.raises(ReconcilerError, match="syncing"):
            file.finish()
    assert failed.is_set()
    assert extents_of(path) == []


def test_writers_never_wait_for_a_syncing_thread_that_is_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the syncing thread is raised where the bytes are written."""

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(partial, "_WORTH_SYNCING_BYTES", 500)
    monkeypatch.setattr(partial, "_UNSYNCED_BYTES", 1000)
    monkeypatch.setattr(PartialRecord, "mark_synced", broken)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA[:1000])
        with pytest.raises(MemoryError):
            file.write(1000, DATA[1000:])


def test_leaving_frees_who_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread held back because too much is not synced ends with the file, and writes nothing."""
    syncing, go_on = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        syncing.set()
        assert go_on.wait(20)

    monkeypatch.setattr(partial, "_WORTH_SYNCING_BYTES", 500)
    monkeypatch.setattr(partial, "_UNSYNCED_BYTES", 1000)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        monkeypatch.setattr(os, "fdatasync", slow)
        file.write(0, DATA[:1000])
        assert syncing.wait(20)
        writer = threading.Thread(target=file.write, args=(1000, DATA[1000:]))
        writer.start()
        leaving = threading.Thread(target=file.__exit__)
        leaving.start()
        writer.join(20)
        assert not writer.is_alive()
        go_on.set()
        leaving.join(20)
        assert not leaving.is_alive()
        assert file.present_bytes == 1000


def test_leaving_waits_for_who_is_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is closed only when the last write has ended, and that one is recorded."""
    writing, go_on = threading.Event(), threading.Event()
    real = os.pwrite

    def held(descriptor: int, data: memoryview, start: int) -> int:
        writing.set()
        assert go_on.wait(20)
        return real(descriptor, data, start)

    monkeypatch.setattr(os, "pwrite", held)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        writer = threading.Thread(target=file.write, args=(0, DATA[:5000]))
        writer.start()
        assert writing.wait(20)
        leaving = threading.Thread(target=file.__exit__)
        leaving.start()
        wait_for(lambda: file._closed, "the leaving")
        assert leaving.is_alive()
        go_on.set()
        writer.join(20)
        leaving.join(20)
        assert not leaving.is_alive()
    assert extents_of(path) == [(0, 5000)]


def test_progress_that_fails_while_hashing_is_no_wrong_digest(path: Path) -> None:
    """Whatever ends the hashing thread is raised, and never taken for the digest of the file."""

    class Failing(CountedProgress):
        def skip(self, count_bytes: int) -> None:
            super().skip(count_bytes)
            raise Interrupted("enough")

    path.parent.mkdir()
    path.write_bytes(DATA)
    with (
        PartialFile(path, GATHERED, progress=Failing()) as file,
        pytest.raises(Interrupted, match="enough"),
    ):
        file.finish()
    assert path.read_bytes() == DATA


def test_disk_that_does_not_give_back_what_it_took_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that were written and cannot be read are an error of the disk's, and stay."""

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", broken)
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        file.write(0, DATA)
        with pytest.raises(ReconcilerError, match="cannot be read back"):
            file.finish()
    assert path.read_bytes() == DATA


def test_record_stays_small_however_small_the_pieces(path: Path) -> None:
    """Many small pieces at several places are few lines: they are joined before they are noted."""
    places = [(start, start + 200_000) for start in (0, MIB, 2 * MIB)]
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        for offset in range(0, 200_000, 200):
            for start, _ in places:
                file.write(start + offset, DATA[start + offset : start + offset + 200])
    assert extents_of(path) == places
    assert len(record_path(path).read_bytes().splitlines()) < 300


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Ends the process right before or after its `number`th call that changes the disk."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.burnt = False
        self._left = number
        self._after = after
        self._lock = threading.Lock()

    def guard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Count the calls of one function of the system."""

        def guarded(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self._left -= 1
                if self.burnt:
                    raise Killed
                if self._left == 0:
                    self.burnt = True
                    if self._after:
                        call(*arguments, **named)
                    raise Killed
                return call(*arguments, **named)

        return guarded


CHANGES = ("open", "write", "pwrite", "ftruncate", "fdatasync", "fsync", "replace", "unlink")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("left", ["nothing", "beginning", "recorded"])
def test_killed_between_any_two_calls_nothing_recorded_is_lost(
    path: Path, left: str, *, after: bool
) -> None:
    """Whenever the process ends, the next one believes only bytes that are right, and all that were
    there before.
    """
    number = 0
    burnt = True
    while burnt:
        number += 1
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        there = _leave(path, left)
        fuse = Fuse(number, after=after)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            for name in CHANGES:
                patch.setattr(os, name, fuse.guard(getattr(os, name)))
            with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
                for start, end in file.gaps():
                    file.write(start, DATA[start:end])
                file.finish()
        burnt = fuse.burnt
        believed = _believed(path)
        assert all(path.read_bytes()[a:b] == DATA[a:b] for a, b in believed), number
        assert sum(b - a for a, b in believed) >= there, number
        with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
            for start, end in file.gaps():
                file.write(start, DATA[start:end])
            assert file.finish().sha256 == SHA256, number
    assert number > 10
    assert path.read_bytes() == DATA


def _leave(path: Path, left: str) -> int:
    """Leave what an earlier run may have left; gives how many bytes of it can be used."""
    if left == "beginning":
        path.write_bytes(DATA[:70_000])
        return 70_000
    if left == "recorded":
        with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
            file.write(0, DATA[:50_000])
            file.write(MIB, DATA[MIB : MIB + 9])
        return 50_009
    return 0


def _believed(path: Path) -> list[tuple[int, int]]:
    """Give what the next run takes over."""
    if not path.exists():
        return []
    with PartialFile(path, GATHERED, progress=CountedProgress()) as file:
        gaps = file.gaps()
    return Extents(gaps).missing(0, len(DATA))
