"""The connections at work on one file: begun, added, helped, retired, and all stopped at once."""

from __future__ import annotations

import threading
from typing import Final

from reconciler.adapters.hub.pace import Pace
from reconciler.adapters.hub.partial import PartialFile
from reconciler.adapters.hub.seats import Seats
from reconciler.adapters.hub.segments import Segment, Segments
from reconciler.adapters.hub.sources import Source
from reconciler.core.ports.clock import Clock
from reconciler.errors import Interrupted, Waiting

# How often it is looked whether one more connection would help.
_LOOK_SECONDS: Final = 0.05
# A crew that broke up after bringing something does not come together again in a tight circle.
_BREATH_SECONDS: Final = 1.0
# One that waits for an answer to begin cannot be broken off; it is left to end by itself, and what
# it may still bring is not taken.
_STOP_SECONDS: Final = 2.0


class Crew:
    """Brings what `file` lacks from `source`, a segment of at most `most_bytes` at a time.

    Every connection beyond the first needs one of `seats`, of which the caller holds one.

    The thread that calls `run` looks after the crew; each connection has a thread of its own, which
    asks `next_segment` for work until there is none for it, and then leaves.
    """

    def __init__(
        self, file: PartialFile, source: Source, *, seats: Seats, clock: Clock, most_bytes: int
    ) -> None:
        self._file = file
        self._source = source
        self._seats = seats
        self._clock = clock
        self._most_bytes = most_bytes
        self._pace = Pace(most=min(source.most_connections, seats.most))
        self._changed = threading.Condition()
        self._segments = Segments([], most_bytes=most_bytes)
        self._connections: set[_Connection] = set()
        self._received_bytes = 0
        self._problem: Waiting | None = None
        self._fatal: BaseException | None = None

    def run(self) -> None:
        """Fetch until the file is complete, or no connection is left.

        Returns as well where something came of it and asking again soon may bring the rest.

        Raises:
            Interrupted: `stop` was called.
            Waiting: nothing came of it, or the source itself names the time to come back.
            Stalled, DiskFull, Refused: at once, when the first connection finds out.
        """
        before_bytes = self._file.present_bytes
        try:
            self._bring()
        except BaseException as error:  # noqa: BLE001 - raised again below, when all have stopped
            self._fail(error)
        self._break_off()
        if self._fatal is not None:
            raise self._fatal
        if self._problem is None or self._file.is_complete:
            return
        if self._problem.retry_after_seconds or self._file.present_bytes <= before_bytes:
            raise self._problem
        self._clock.sleep(_BREATH_SECONDS)

    def stop(self) -> None:
        """Make `run` end with `Interrupted`; call it from another thread."""
        self._fail(Interrupted("stopped"))
        self._source.stop()

    def next_segment(self, connection: _Connection) -> Segment | None:
        """Give `connection` its next work; None: it is not needed any more, and has left."""
        with self._changed:
            spare = len(self._connections) > 1 and (
                len(self._connections) > self._pace.connections or self._seats.wanted
            )
            segment = None
            if not spare and not self._is_over:
                now = self._clock.monotonic()
                segment = self._segments.take(
                    now,
                    connections=self._pace.connections,
                    bytes_per_second=connection.bytes_per_second(now) or self._usual_rate(now),
                )
            if segment is None:
                self._remove(connection)
            return segment

    def give_back(self, segment: Segment) -> None:
        """Take back what a connection did not fetch."""
        with self._changed:
            self._segments.give_back(segment)

    def take(self, segment: Segment, chunk: bytes | memoryview) -> bool:
        """Write what arrived for `segment`; False where nothing more of it is wanted."""
        with self._changed:
            if self._is_over:
                return False
            # Its end may have been given to another connection meanwhile. What is about to be
            # written will not be, however long the disk takes for it.
            wanted = memoryview(chunk)[: segment.left_bytes]
            position = segment.position
            segment.advance(self._clock.monotonic(), len(wanted))
            self._received_bytes += len(wanted)
        try:
            self._file.write(position, wanted)
        except BaseException as error:
            # Whatever it says, no other connection gets past the disk.
            self._fail(error)
            raise
        with self._changed:
            return segment.left_bytes > 0

    def take_whole(self, segment: Segment) -> bool:
        """Make `segment` the whole file, for a source that gives nothing less."""
        with self._changed:
            self._pace.stay_alone()
            return self._segments.take_all(segment, self._file.size_bytes)

    def retire(self, connection: _Connection, problem: Waiting) -> None:
        """Take out a connection that broke; the others go on without it."""
        with self._changed:
            self._problem = problem
            self._pace.lower(self._clock.monotonic(), len(self._connections) - 1)
            self._remove(connection)

    def fail(self, connection: _Connection, error: BaseException) -> None:
        """Take out a connection that met what no other one will get past."""
        self._fail(error)
        with self._changed:
            self._remove(connection)

    @property
    def _is_over(self) -> bool:
        return self._fatal is not None or self._file.is_complete

    def _bring(self) -> None:
        """Look after the connections until all have left, or nothing is left for them to do."""
        with self._changed:
            self._problem = None
            self._segments = Segments(self._file.gaps(), most_bytes=self._most_bytes)
            self._begin()
            while self._connections and not self._is_over:
                self._changed.wait(_LOOK_SECONDS)
                self._adjust()

    def _break_off(self) -> None:
        """Be rid of those that are left: some may hang, though others have done their work."""
        with self._changed:
            if self._fatal is None:
                # They may be about to leave, and can be used again by the next file.
                self._changed.wait_for(lambda: not self._connections, timeout=_LOOK_SECONDS)
            if not self._connections:
                return
        self._source.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._connections, timeout=_STOP_SECONDS)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._fatal = self._fatal or error
            self._changed.notify_all()

    def _adjust(self) -> None:
        """Add a connection where the pace says so, and there is work and a seat for it."""
        now = self._clock.monotonic()
        flowing = [one for one in self._connections if one.received_bytes]
        wanted = self._pace.measure(now, self._received_bytes, flowing=len(flowing))
        while (
            self._connections
            and len(self._connections) < wanted
            and self._segments.has_work(now)
            and self._seats.try_more()
        ):
            self._begin()

    def _usual_rate(self, now: float) -> float | None:
        rates = sorted(rate for one in self._connections if (rate := one.bytes_per_second(now)))
        return rates[len(rates) // 2] if rates else None

    def _begin(self) -> None:
        connection = _Connection(self, self._source, self._clock)
        self._connections.add(connection)
        threading.Thread(target=connection.work, daemon=True).start()

    def _remove(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        # The last one leaves the seat that the caller holds.
        if self._connections:
            self._seats.leave()
        self._changed.notify_all()


class _Connection:
    """One connection, in a thread of its own."""

    def __init__(self, crew: Crew, source: Source, clock: Clock) -> None:
        self.received_bytes = 0
        self._crew = crew
        self._source = source
        self._clock = clock
        self._begun_at: float | None = None
        self._segment = Segment(0, 0)

    def bytes_per_second(self, now: float) -> float | None:
        """How fast it is, None where that cannot be told yet."""
        if self._begun_at is None or now <= self._begun_at:
            return None
        return self.received_bytes / (now - self._begun_at)

    def work(self) -> None:
        """Fetch one segment after the other until there is none for it."""
        try:
            while (segment := self._crew.next_segment(self)) is not None:
                self._segment = segment
                try:
                    self._source.read(segment.position, segment.end, self)
                finally:
                    self._crew.give_back(segment)
        except Waiting as problem:
            self._crew.retire(self, problem)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._crew.fail(self, error)

    def take(self, chunk: bytes | memoryview) -> bool:
        """Take the next bytes of its segment."""
        if self._begun_at is None:
            self._begun_at = self._clock.monotonic()
        wanted = self._crew.take(self._segment, chunk)
        self.received_bytes += len(chunk)
        return wanted

    def take_whole(self) -> bool:
        """Prepare for the whole file."""
        return self._crew.take_whole(self._segment)
