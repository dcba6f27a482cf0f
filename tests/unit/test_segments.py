"""Who fetches what, how many fetch at once, and how many may: decisions without any network."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.adapters.hub.pace import Pace
from reconciler.adapters.hub.seats import Seats
from reconciler.adapters.hub.segments import Segment, Segments

MIB = 1 << 20


@given(st.data())
def test_every_byte_is_handed_out_exactly_once(data: st.DataObject) -> None:
    """Connections come, advance, break, help and leave as they like: no byte twice, none left."""
    size = data.draw(st.integers(1, 300 * MIB))
    segments = Segments([(0, size)], most_bytes=data.draw(st.integers(16, 256)) * MIB)
    at_work: list[Segment] = []
    done: list[tuple[int, int]] = []
    now = 0.0
    for _ in range(40):
        now += data.draw(st.sampled_from([0.0, 0.1, 5.0]))
        rate = data.draw(st.sampled_from([None, 1e3, 1e7, 1e9]))
        if not at_work or (len(at_work) < 8 and data.draw(st.booleans())):
            taken = segments.take(now, connections=len(at_work) + 1, bytes_per_second=rate)
            if taken is None:
                assert at_work or not segments.has_work(now)
                if not at_work:
                    break
            else:
                assert taken.left_bytes > 0
                at_work.append(taken)
                continue
        one = data.draw(st.sampled_from(at_work))
        step = min(one.left_bytes, data.draw(st.sampled_from([0, 65536, 1 << 62])))
        done.append((one.position, one.position + step))
        one.position += step
        if one.left_bytes <= 0 or data.draw(st.booleans()):
            at_work.remove(one)
            segments.give_back(one)
    done += [(one.position, one.end) for one in at_work]
    for one in at_work:
        one.position = one.end
        segments.give_back(one)
    while rest := segments.take(now, connections=1, bytes_per_second=None):
        done.append((rest.position, rest.end))
        rest.position = rest.end
        segments.give_back(rest)
    done = sorted(pair for pair in done if pair[0] < pair[1])
    assert done[0][0] == 0
    assert done[-1][1] == size
    assert all(before[1] == after[0] for before, after in pairwise(done))


def test_whole_file_is_given_to_one_alone() -> None:
    """Where others are at work the whole is refused; alone one begins anew with all of it."""
    segments = Segments([(10, 20 * MIB)], most_bytes=16 * MIB)
    first = segments.take(0.0, connections=1, bytes_per_second=None)
    second = segments.take(0.0, connections=2, bytes_per_second=None)
    assert first is not None
    assert second is not None
    assert not segments.take_all(second, 20 * MIB)
    assert (second.position, second.end) == (16 * MIB + 10, 20 * MIB)
    segments.give_back(second)
    assert segments.take_all(first, 20 * MIB)
    assert (first.position, first.end) == (0, 20 * MIB)
    assert not segments.has_work(0.0)


def test_segments_are_some_seconds_of_work_and_get_smaller_towards_the_end() -> None:
    """A request is worth its round trip, and at the end eight connections finish together."""
    segments = Segments([(0, 1024 * MIB)], most_bytes=256 * MIB)
    sizes = []
    while one := segments.take(0.0, connections=8, bytes_per_second=20 * MIB):
        sizes.append(one.left_bytes)
        one.position = one.end
        segments.give_back(one)
    assert sizes[0] == 64 * MIB
    assert max(sizes) <= 80 * MIB
    assert max(sizes[-8:]) <= 5 * MIB
    assert sizes == sorted(sizes, reverse=True)


def test_one_connection_alone_asks_as_seldom_as_it_may() -> None:
    """Without others there is nobody to finish together with: each request is of full length."""
    segments = Segments([(0, 1000 * MIB)], most_bytes=256 * MIB)
    sizes = []
    while one := segments.take(0.0, connections=1, bytes_per_second=1000 * MIB):
        sizes.append(one.left_bytes // MIB)
        one.position = one.end
        segments.give_back(one)
    assert sizes == [256, 256, 256, 232]


def test_slow_one_is_helped_so_that_both_end_together() -> None:
    """Who needs too long keeps what it can do in the time the helper needs for the rest."""
    segments = Segments([(0, 100 * MIB)], most_bytes=256 * MIB)
    slow = segments.take(0.0, connections=1, bytes_per_second=None)
    assert slow is not None
    slow.end = 64 * MIB
    rest = segments.take(0.0, connections=2, bytes_per_second=None)
    assert rest is not None
    slow.advance(3.5, 4 * MIB)
    assert segments.take(1.0, connections=2, bytes_per_second=9 * MIB) is None
    assert not segments.has_work(1.0)
    assert segments.has_work(4.0)
    helper = segments.take(4.0, connections=2, bytes_per_second=9 * MIB)
    assert helper is not None
    assert slow.end == helper.position
    assert slow.end // 1000 == 10 * MIB // 1000
    assert helper.end == 64 * MIB


def test_one_that_was_fast_and_hangs_is_not_judged_by_its_past() -> None:
    """However much a connection brought before: silent for some seconds, it loses what is left."""
    segments = Segments([(0, 100 * MIB)], most_bytes=256 * MIB)
    hung = segments.take(0.0, connections=1, bytes_per_second=100 * MIB)
    assert hung is not None
    hung.advance(1.0, 99 * MIB)
    assert not segments.has_work(2.9)
    helper = segments.take(3.0, connections=2, bytes_per_second=5.0)
    assert helper is not None
    assert (hung.left_bytes, helper.position, helper.end) == (0, 99 * MIB, 100 * MIB)


def test_one_that_hangs_loses_all_it_has_left() -> None:
    """Of a connection that has brought nothing for some seconds nothing more is expected."""
    segments = Segments([(0, 10 * MIB)], most_bytes=256 * MIB)
    hung = segments.take(0.0, connections=1, bytes_per_second=None)
    helper = segments.take(3.0, connections=2, bytes_per_second=5.0)
    assert hung is not None
    assert helper is not None
    assert (hung.left_bytes, helper.position, helper.end) == (0, 0, 10 * MIB)


def run_pace(pace: Pace, *, each: float, line: float, seconds: float) -> list[int]:
    """Let `pace` see a source that gives `each` per connection over a line of `line` bytes/s."""
    seen, received, now = [pace.connections], 0.0, 0.0
    while now < seconds:
        now += 0.05
        received += 0.05 * min(each * pace.connections, line)
        count = pace.measure(now, int(received), flowing=pace.connections)
        if count != seen[-1]:
            seen.append(count)
    return seen


def test_throttled_source_gets_all_connections_at_once() -> None:
    """Where each connection is held back, eight of them are at work within a second."""
    assert run_pace(Pace(most=8), each=20e6, line=1e9, seconds=0.8) == [1, 2, 4, 8]


def test_full_line_is_left_to_one_connection() -> None:
    """Where one connection fills the line, the second is soon taken back, and seldom tried."""
    tried = run_pace(Pace(most=8), each=100e6, line=100e6, seconds=60)
    assert tried[:3] == [1, 2, 1]
    assert len(tried) <= 11
    assert set(tried) == {1, 2}


def test_line_that_is_full_with_three_gets_two_or_four() -> None:
    """The last doubling that brought something is kept, the first that did not is undone."""
    assert run_pace(Pace(most=8), each=30e6, line=90e6, seconds=4) == [1, 2, 4, 8, 4]


def test_pace_waits_until_all_have_brought_something() -> None:
    """Connections still being opened are not taken for ones that do not help."""
    pace = Pace(most=8)
    assert [pace.measure(at / 10, at * 1000, flowing=0) for at in range(50)] == [1] * 50


def test_pace_leaves_a_source_alone_for_a_while_after_a_failure() -> None:
    """Where a connection was refused, the next is tried after seconds, not at once."""
    pace = Pace(most=8)
    pace.lower(10.0, 2)
    counts = [(at / 20, pace.measure(at / 20, at * 10**7, flowing=8)) for at in range(200, 400)]
    assert {count for now, count in counts if now < 15} == {1}
    assert max(count for _, count in counts) == 2


def test_pace_asks_for_no_more_than_are_left_after_a_failure() -> None:
    """One that broke is not replaced; the others stay, and never is there less than one."""
    pace = Pace(most=8)
    for at in range(40):
        pace.measure(at / 20, int(4e8 * at * pace.connections), flowing=8)
    assert pace.connections == 8
    pace.lower(2.0, 7)
    assert pace.measure(2.1, 0, flowing=7) == 7
    pace.lower(2.2, 0)
    assert pace.connections == 1


def test_pace_that_shall_stay_alone_does_so() -> None:
    """Where a second connection is of no use, none is ever tried again."""
    pace = Pace(most=8)
    pace.stay_alone()
    assert run_pace(pace, each=20e6, line=1e9, seconds=200) == [1]


def test_seat_that_is_no_longer_waited_for_holds_nobody_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is interrupted while waiting for a seat does not wait for ever in the books."""
    seats = Seats(1)

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with seats.first():
        monkeypatch.setattr(threading.Condition, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt), seats.first():
            pytest.fail("there was none")
    assert not seats.wanted
    assert seats.try_more()


def test_seat_that_was_left_is_the_waiting_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the file that waits has woken up, the seat it will get is nobody else's."""
    seats = Seats(1)
    got: list[bool] = []

    def left_meanwhile(*_: object) -> bool:
        seats.leave()
        got.append(seats.try_more())
        return True

    with monkeypatch.context() as patch:
        assert seats.try_more()
        patch.setattr(threading.Condition, "wait", left_meanwhile)
        with seats.first():
            assert got == [False]
    assert seats.free == 1


def test_seats_are_never_more_and_a_waiting_file_gets_one() -> None:
    """Nobody takes a further seat while a file waits for its first."""
    seats = Seats(2)
    got = threading.Event()

    def wait_for_one() -> None:
        with seats.first():
            got.set()

    with seats.first():
        assert seats.try_more()
        assert not seats.try_more()
        waiting = threading.Thread(target=wait_for_one)
        waiting.start()
        while not seats.wanted:
            got.wait(0.01)
        assert not got.is_set()
        seats.leave()
        waiting.join(10)
        assert got.is_set()
        assert not seats.wanted
        assert seats.try_more()
        seats.leave()
