"""Several connections on one file: more where they help, none too many, and no byte asked twice."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.base.partial_record import Gathered, recorded_extents
from reconciler.adapters.hub.crew import Crew
from reconciler.adapters.hub.partial import PartialFile
from reconciler.adapters.hub.seats import Seats
from reconciler.adapters.hub.segments import Segment
from reconciler.adapters.hub.sources import HttpSource, Sink
from reconciler.adapters.hub.transfer import HttpTransfer
from reconciler.adapters.system_clock import SystemClock
from reconciler.core.names import Sha256
from reconciler.core.ports.clock import Clock
from reconciler.core.source import UrlOrigin
from reconciler.demo.hub_faults import Cut, Fault, FlipByte, IgnoreRange, Reply, Slow, Stall
from reconciler.demo.hub_server import HubServer
from reconciler.errors import (
    DigestMismatch,
    FileMissing,
    Interrupted,
    ReconcilerError,
    TransferBroken,
)
from tests.support.hub_client import CountedProgress
from tests.support.waiting import wait_for

DATA = hashlib.shake_256(b"crew").digest(4 << 20)
SHA256 = Sha256(hashlib.sha256(DATA).hexdigest())
HALF = len(DATA) // 2
SEGMENT_BYTES = 100_000


class AtWork:
    """Counts how many connections are at work at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = 0
        self.most = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one while the block runs."""
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1


class Watched(HttpSource):
    """A source whose connections are counted."""

    def __init__(
        self, url: str, http: HttpClient, at_work: AtWork, *, most_connections: int, clock: Clock
    ) -> None:
        super().__init__(
            url,
            about="the file",
            size_bytes=len(DATA),
            most_connections=most_connections,
            http=http,
            clock=clock,
            token=lambda: None,
            failure=lambda answer: FileMissing(f"answer {answer.status}"),
        )
        self._at_work = at_work

    def read(self, start: int, end: int, into: Sink) -> None:
        """Count it."""
        with self._at_work.one():
            super().read(start, end, into)


class Stage:
    """A hub with one plain file, and what is needed to fetch it."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub = hub
        self.partial = folder / "partial"
        self.url = hub.add_plain("/model.gguf", DATA)
        self.http = HttpClient(clock=SystemClock(), read_timeout_seconds=5)
        self.progress = CountedProgress()
        self.at_work = AtWork()
        self.seats = Seats(8)

    def source(self, *, most_connections: int = 8, clock: Clock | None = None) -> Watched:
        """Give the file's source."""
        return Watched(
            self.url,
            self.http,
            self.at_work,
            most_connections=most_connections,
            clock=clock or SystemClock(),
        )

    def run(
        self, source: Watched, name: str = "partial", *, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Let one crew bring the file, and prove it."""
        gathered = Gathered(sha256=SHA256, size_bytes=len(DATA), origin="the file")
        path, clock = self.partial.with_name(name), SystemClock()
        with (
            PartialFile(path, gathered, progress=self.progress) as file,
            self.seats.first(),
        ):
            crew = Crew(file, source, seats=self.seats, clock=clock, most_bytes=segment_bytes)
            while file.gaps():
                crew.run()
            assert file.finish().sha256 == SHA256
        assert path.read_bytes() == DATA

    def transfer(self) -> HttpTransfer:
        """Give a transfer in real time."""
        return HttpTransfer(
            endpoint=self.hub.url,
            token=lambda: None,
            offline=False,
            http=self.http,
            clock=SystemClock(),
            segment_bytes=SEGMENT_BYTES,
        )

    def fetch(self, transfer: HttpTransfer) -> None:
        """Fetch the file whole."""
        transfer.fetch(
            UrlOrigin(url=self.url),
            self.partial,
            size_bytes=len(DATA),
            sha256=SHA256,
            progress=self.progress,
        )

    @property
    def sent_bytes(self) -> int:
        """What the hub has sent."""
        return sum(request.sent_bytes for request in self.hub.requests)


@pytest.fixture
def stage(hub: HubServer, tmp_path: Path) -> Iterator[Stage]:
    """Everything, closed after the test."""
    stage = Stage(hub, tmp_path)
    with stage.http:
        yield stage


@contextmanager
def in_thread(work: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Do `work` beside the block, and wait for it; gives what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except ReconcilerError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        thread.join(20)
        assert not thread.is_alive()


def slow(stage: Stage, bytes_per_second: float, *, times: int | None = None) -> None:
    """Hold every answer back."""
    stage.hub.faults.add(Fault(effect=Slow(bytes_per_second=bytes_per_second), times=times))


def test_source_that_holds_each_connection_back_gets_eight(stage: Stage) -> None:
    """Where each connection is throttled all of them are used, and every byte is sent once."""
    slow(stage, 600_000)
    source = stage.source()
    stage.run(source)
    assert stage.at_work.most == 8
    assert stage.seats.free == 8
    assert stage.sent_bytes == len(DATA)
    assert source.sent_bytes == len(DATA)
    assert stage.progress.total_bytes == len(DATA)


def test_source_may_ask_for_fewer(stage: Stage) -> None:
    """The most that a source allows is never passed."""
    slow(stage, 1_500_000)
    stage.run(stage.source(most_connections=2))
    assert stage.at_work.most == 2


def test_two_files_share_the_seats_of_their_host(stage: Stage) -> None:
    """The cap counts over all files of a host, and each of them moves on."""
    slow(stage, 3_000_000)
    stage.seats = Seats(3)
    with in_thread(lambda: stage.run(stage.source(), "other")) as raised:
        stage.run(stage.source())
    assert not raised
    assert stage.at_work.most == 3


def test_file_with_several_connections_makes_room_for_one_that_waits(stage: Stage) -> None:
    """A file without a seat gets one as soon as a segment ends, not when another file does."""
    slow(stage, 300_000)
    stage.seats = Seats(2)
    with in_thread(lambda: stage.run(stage.source())) as raised:
        wait_for(lambda: stage.at_work.now == 2, "both at work")
        with stage.seats.first():
            assert stage.progress.total_bytes < len(DATA)
        stage.hub.faults.clear()
    assert not raised


def test_connection_that_hangs_is_helped_out(stage: Stage) -> None:
    """One connection that all but stops does not hold the file up: the others take its work."""
    slow(stage, 2_000, times=1)
    stage.run(stage.source(), segment_bytes=1 << 28)
    assert stage.at_work.most >= 2


def test_one_broken_connection_leaves_the_others_at_work(stage: Stage) -> None:
    """Cuts in the middle of several connections cost requests, and not one byte twice."""
    slow(stage, 4_000_000, times=3)
    stage.hub.faults.add(Fault(effect=Cut(after_bytes=30_000), times=6))
    slow(stage, 4_000_000)
    stage.run(stage.source())
    assert stage.sent_bytes == len(DATA)


def test_what_no_connection_gets_past_ends_all_at_once(stage: Stage) -> None:
    """The first answer that says it can never work ends the file, though others are at work."""
    slow(stage, 300_000, times=4)
    stage.hub.faults.add(Fault(effect=Reply(status=404), times=None))
    with pytest.raises(FileMissing):
        stage.run(stage.source())
    assert stage.sent_bytes < len(DATA)


def test_whole_file_is_not_taken_from_several_connections(stage: Stage) -> None:
    """A server that ignores the range of the second connection is read by one alone from then."""
    slow(stage, 400_000, times=1)
    stage.hub.faults.add(Fault(effect=IgnoreRange(), times=None))
    stage.run(stage.source())


def test_stop_ends_every_file_and_keeps_what_arrived(stage: Stage) -> None:
    """Told to stop, a transfer ends even what waits for its next byte, and keeps the rest."""
    stage.hub.faults.add(Fault(effect=Stall(after_bytes=50_000), times=None))
    transfer = stage.transfer()
    with in_thread(lambda: stage.fetch(transfer)) as raised:
        wait_for(lambda: stage.progress.total_bytes >= 50_000, "the first bytes")
        transfer.stop()
    assert isinstance(raised[0], Interrupted)
    with pytest.raises(Interrupted):
        stage.fetch(transfer)
    stage.hub.release_stalled()
    stage.hub.faults.clear()
    stage.progress = CountedProgress()
    stage.fetch(stage.transfer())
    assert stage.partial.read_bytes() == DATA
    assert stage.progress.skipped_bytes >= 50_000


def test_file_replaced_in_the_middle_never_passes(stage: Stage) -> None:
    """Other bytes of the same length at the same address: right bytes or an error, no mixture."""
    stage.hub.faults.add(Fault(effect=FlipByte(at_byte=3 << 20), times=None))
    with pytest.raises(DigestMismatch, match="upstream differs"):
        stage.fetch(stage.transfer())
    assert not stage.partial.exists()


def test_connection_that_hangs_for_good_does_not_hold_the_file_up(stage: Stage) -> None:
    """Once the others have brought all bytes, a silent one is broken off, and its seat is free."""
    stage.hub.faults.add(Fault(effect=Stall(after_bytes=3 << 20)))
    with HttpClient(clock=SystemClock(), read_timeout_seconds=60) as http:
        stage.http = http
        with in_thread(lambda: stage.run(stage.source(), segment_bytes=1 << 28)) as raised:
            pass
        wait_for(lambda: stage.at_work.now == 0, "the silent one")
    assert not raised
    assert_seats_are_free(stage)
    stage.hub.release_stalled()


def test_what_comes_after_the_end_is_not_taken(stage: Stage) -> None:
    """An answer that begins only when the crew has been stopped is sent away."""
    gathered = Gathered(sha256=SHA256, size_bytes=len(DATA), origin="the file")
    with PartialFile(stage.partial, gathered, progress=stage.progress) as file:
        crew = Crew(
            file, stage.source(), seats=stage.seats, clock=SystemClock(), most_bytes=SEGMENT_BYTES
        )
        crew.stop()
        assert not crew.take(Segment(0, 1000), DATA[:500])
        with pytest.raises(Interrupted):
            crew.run()
        assert file.present_bytes == 0
    assert stage.hub.requests == ()


class Ending(CountedProgress):
    """A progress that ends the work after some bytes, by `error`."""

    def __init__(self, error: ReconcilerError) -> None:
        super().__init__()
        self._error = error

    def advance(self, count_bytes: int) -> None:
        """Count, and end it."""
        super().advance(count_bytes)
        if self.total_bytes > 1 << 20:
            raise self._error


@pytest.mark.parametrize("error", [Interrupted("enough"), TransferBroken("enough")])
def test_progress_that_ends_the_work_ends_all_connections(
    stage: Stage, error: ReconcilerError
) -> None:
    """Told to end while it writes, the crew ends at once, all seats are free, all bytes kept."""
    slow(stage, 600_000)
    stage.progress = Ending(error)
    with pytest.raises(type(error), match="enough"):
        stage.run(stage.source())
    assert_seats_are_free(stage)
    kept = recorded_extents(stage.partial, sha256=SHA256, size_bytes=len(DATA))
    assert kept is not None
    assert kept.total_bytes == stage.progress.total_bytes
    there = stage.partial.read_bytes()
    assert all(there[start:end] == DATA[start:end] for start, end in kept)


@pytest.mark.parametrize("number", [1, 2])
def test_thread_that_cannot_be_started_ends_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where the system gives no further thread, those at work stop, and no seat is lost."""
    slow(stage, 600_000)
    started: list[str] = []
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if "work" in thread.name:
            started.append(thread.name)
            if len(started) == number:
                raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        stage.run(stage.source())
    wait_for(lambda: stage.at_work.now == 0, "the other")
    assert stage.sent_bytes < len(DATA)
    assert_seats_are_free(stage)


def assert_seats_are_free(stage: Stage) -> None:
    """Every seat was given back, each once."""
    wait_for(lambda: stage.seats.free == 8, "all seats")


class Handed(Clock):
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The same day for ever."""
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        """What it was put to."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Put it forward."""
        self.seconds += seconds


def test_bytes_on_their_way_to_a_slow_disk_are_not_fetched_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who helps a connection that waits for the disk begins behind what that one has in hand."""
    clock, reads = Handed(), list[tuple[int, int]]()
    writing, go_on = threading.Event(), threading.Event()
    real = os.pwrite

    class Pieces:
        """Gives 1000 bytes, with two connections at work 500 000 more, and then the rest."""

        most_connections = 2
        sent_bytes = 0

        def read(self, start: int, end: int, into: Sink) -> None:
            reads.append((start, end))
            if start == 0:
                into.take(DATA[:1000])
                clock.seconds += 0.1
                wait_for(lambda: len(reads) == 2, "the second")
                into.take(DATA[1000:500_000])
                return
            if start >= HALF:
                assert writing.wait(20)
                clock.seconds += 10
            else:
                go_on.set()
            into.take(DATA[start:end])

        def stop(self) -> None:
            """Nothing waits."""

    def held(descriptor: int, data: memoryview, start: int) -> int:
        if start == 1000:
            writing.set()
            assert go_on.wait(20)
        return real(descriptor, data, start)

    monkeypatch.setattr(os, "pwrite", held)

    class Ticking(Handed):
        def monotonic(self) -> float:
            clock.seconds += 0.02
            return clock.seconds

    gathered = Gathered(sha256=SHA256, size_bytes=len(DATA), origin="the file")
    seats = Seats(2)
    with (
        PartialFile(tmp_path / "partial", gathered, progress=CountedProgress()) as file,
        seats.first(),
    ):
        crew = Crew(file, Pieces(), seats=seats, clock=Ticking(), most_bytes=HALF)
        while not file.is_complete:
            crew.run()
        assert file.finish().sha256 == SHA256
    assert reads[0] == (0, HALF)
    helped = [start for start, _ in reads[1:] if start < HALF]
    assert helped
    assert min(helped) >= 500_000


class Looked(Handed):
    """A clock that goes on by `seconds_per_look` whenever it is looked at."""

    def __init__(self, *, seconds_per_look: float) -> None:
        super().__init__()
        self._step = seconds_per_look

    def monotonic(self) -> float:
        """Put it forward."""
        self.seconds += self._step
        return self.seconds

    def wait_for_looks(self, count: int) -> None:
        """Wait until it was looked at so many times more."""
        until = self.seconds + count * self._step
        wait_for(lambda: self.seconds > until, "the crew")


def test_source_that_refuses_a_second_connection_is_not_pressed(tmp_path: Path) -> None:
    """After a refusal some seconds go by before another connection is tried."""
    clock, reads = Looked(seconds_per_look=0.05), list[int]()

    class Refusing:
        most_connections = 8
        sent_bytes = 0

        def read(self, start: int, end: int, into: Sink) -> None:
            reads.append(start)
            if start:
                raise TransferBroken("no more than one")
            for at in range(0, end, end // 16):
                into.take(DATA[at : at + end // 16])
                clock.wait_for_looks(1)

        def stop(self) -> None:
            """Nothing waits."""

    seats = Seats(8)
    gathered = Gathered(sha256=SHA256, size_bytes=len(DATA), origin="the file")
    with (
        PartialFile(tmp_path / "partial", gathered, progress=CountedProgress()) as file,
        seats.first(),
    ):
        Crew(file, Refusing(), seats=seats, clock=clock, most_bytes=HALF).run()
        assert file.gaps() == [(HALF, len(DATA))]
    # The second one's try, and what the first went on with.
    assert reads == [0, HALF, HALF]


def test_source_that_gives_only_the_whole_is_read_by_one(tmp_path: Path) -> None:
    """Where every answer is the whole file no second one is asked for, however slow the first."""
    clock = Looked(seconds_per_look=1)

    class Whole:
        """Gives a quarter whenever the clock was looked at some times more."""

        most_connections = 8
        sent_bytes = 0
        reads = 0

        def read(self, start: int, end: int, into: Sink) -> None:
            assert end - start == SEGMENT_BYTES
            self.reads += 1
            assert into.take_whole()
            for at in range(0, len(DATA), HALF // 2):
                into.take(DATA[at : at + HALF // 2])
                clock.wait_for_looks(5)

        def stop(self) -> None:
            """Nothing waits."""

    source, seats = Whole(), Seats(8)
    gathered = Gathered(sha256=SHA256, size_bytes=len(DATA), origin="the file")
    with (
        PartialFile(tmp_path / "partial", gathered, progress=CountedProgress()) as file,
        seats.first(),
    ):
        Crew(file, source, seats=seats, clock=clock, most_bytes=SEGMENT_BYTES).run()
        assert file.finish().sha256 == SHA256
    assert source.reads == 1


class Taking:
    """A sink that takes everything; each piece costs it `seconds`."""

    def __init__(self, clock: Handed, seconds: float) -> None:
        self.got_bytes = 0
        self._clock = clock
        self._seconds = seconds

    def take(self, chunk: bytes | memoryview) -> bool:
        """Take it."""
        self._clock.seconds += self._seconds
        self.got_bytes += len(chunk)
        return True

    def take_whole(self) -> bool:
        """Nobody asks."""
        return False


def test_slow_disk_is_no_stall_of_the_network(stage: Stage) -> None:
    """Time that goes by while bytes are written is not counted against the connection."""
    slow(stage, 40_000)
    clock = Handed()
    sink = Taking(clock, seconds=30)
    stage.source(clock=clock).read(0, 30_000, sink)
    assert sink.got_bytes == 30_000


def test_trickle_is_a_stall(stage: Stage) -> None:
    """A connection that is never silent and hardly brings anything is given up."""

    class Hurried(SystemClock):
        """A clock by which every look is ten seconds after the last."""

        looks = 0

        def monotonic(self) -> float:
            Hurried.looks += 10
            return float(Hurried.looks)

    class Nowhere:
        def take(self, chunk: bytes | memoryview) -> bool:
            return bool(chunk)

        def take_whole(self) -> bool:
            return False

    slow(stage, 40_000)
    with pytest.raises(TransferBroken, match="hardly anything"):
        stage.source(clock=Hurried()).read(0, len(DATA), Nowhere())
