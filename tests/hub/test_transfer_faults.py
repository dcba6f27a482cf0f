"""What can go wrong between a server and the disk: the right bytes in the end, or a clear error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.demo.hub_faults import (
    Cut,
    Effect,
    ExpiredLink,
    Fault,
    FlipByte,
    HangUp,
    IgnoreRange,
    Oversize,
    RedirectTo,
    Reply,
    SetHeaders,
    Stall,
    Unannounced,
)
from reconciler.demo.hub_messages import OriginName
from reconciler.demo.hub_server import HubServer
from reconciler.errors import (
    DigestMismatch,
    FileMissing,
    RateLimited,
    ReconcilerError,
    Stalled,
    TransferBroken,
    Unreachable,
)
from tests.support.fakes import FakeClock
from tests.support.hub_client import (
    BEARER,
    DATA,
    SHA256,
    TransferSetup,
    asked_of,
)

TRIES = 5


@pytest.fixture
def setup(hub: HubServer, clock: FakeClock, tmp_path: Path) -> Iterator[TransferSetup]:
    """A hub with one file and a client, closed after the test."""
    with HttpClient(clock=clock, read_timeout_seconds=5) as http:
        yield TransferSetup(hub, http, tmp_path, clock)


@pytest.mark.parametrize("reset", [False, True])
def test_cut_connection_is_continued(setup: TransferSetup, *, reset: bool) -> None:
    """As long as each try brings something, any number of cuts only costs their requests."""
    setup.spoil(Cut(after_bytes=20_000, reset=reset), times=10)
    setup.fetch()
    setup.assert_fetched()
    starts = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in setup.ranges]
    assert len(starts) == 11
    assert starts == sorted(starts)
    if not reset:
        assert starts == [20_000 * cut for cut in range(11)]
        assert setup.clock.slept_seconds == [1] * 10
        assert sum(request.sent_bytes for request in asked_of(setup.hub, "cdn")) == len(DATA)


@pytest.mark.parametrize("effect", [Cut(after_bytes=0), Unannounced(send_bytes=0)])
def test_connection_that_brings_nothing_is_given_up(setup: TransferSetup, effect: Effect) -> None:
    """Five tries without one more byte, then an error that may pass; what came before is kept."""
    setup.leave(DATA[:5000])
    setup.spoil(effect, times=None)
    with pytest.raises(TransferBroken, match=r"deep er/model|127\.0\.0\.1"):
        setup.fetch()
    assert setup.kept() == DATA[:5000]
    assert len(setup.ranges) == TRIES
    assert len(setup.clock.slept_seconds) == TRIES - 1


def test_server_that_ends_early_without_saying_is_continued(setup: TransferSetup) -> None:
    """A short body whose end nothing announced is noticed, and the rest is asked for."""
    setup.spoil(Unannounced(send_bytes=70_000), times=2)
    setup.fetch()
    setup.assert_fetched()
    assert setup.ranges[1] == f"bytes=70000-{len(DATA) - 1}"


def test_stalled_connection_is_given_up_and_continued(setup: TransferSetup) -> None:
    """Silence in the middle of a body ends by a timeout, and the transfer goes on."""
    setup.spoil(Stall(after_bytes=50_000))
    with HttpClient(clock=setup.clock, read_timeout_seconds=0.2) as http:
        setup.http = http
        setup.fetch()
    setup.hub.release_stalled()
    setup.assert_fetched()


def test_answer_that_never_begins_is_unreachable(setup: TransferSetup) -> None:
    """A host that takes the request and says nothing ends as an error that may pass."""
    setup.hub.faults.add(Fault(effect=Stall(after_bytes=None), times=None))
    with HttpClient(clock=setup.clock, read_timeout_seconds=0.05) as http:
        setup.http = http
        with pytest.raises(Unreachable, match="no answer in time"):
            setup.fetch()
    setup.hub.release_stalled()


def test_ignored_range_is_taken_from_the_start(setup: TransferSetup) -> None:
    """A server that sends the whole instead of a part is believed, from byte 0."""
    setup.spoil(IgnoreRange())
    setup.fetch(transfer=setup.transfer(segment_bytes=1000))
    setup.assert_fetched()
    assert len(setup.ranges) == 1


def test_ignored_range_leaves_what_is_there(setup: TransferSetup) -> None:
    """Of the whole after a part only what is missing is written: the part is hashed already."""
    setup.leave(DATA[:1234])
    setup.spoil(IgnoreRange())
    setup.hub.faults.add(Fault(effect=FlipByte(at_byte=7), origin="cdn"))
    assert setup.fetch().sha256 == SHA256
    setup.assert_fetched()
    assert setup.progress.skipped_bytes == 1234


@pytest.mark.parametrize(
    "given",
    [
        "bytes 1-299999/300000",
        "bytes 0-299998/300000",
        "bytes 0-299999/*",
        "bytes */300000",
        "items 0-299999/300000",
        "",
        None,
    ],
)
def test_other_bytes_than_asked_are_not_written(setup: TransferSetup, given: str | None) -> None:
    """A 206 that is not of exactly the range asked for is refused; once may be a mistake."""
    setup.spoil(SetHeaders(headers={"Content-Range": given}))
    setup.fetch()
    setup.assert_fetched()
    assert len(setup.ranges) == 2
    setup.partial.unlink()
    setup.spoil(SetHeaders(headers={"Content-Range": given}), times=None)
    with pytest.raises(TransferBroken, match="other bytes than those asked"):
        setup.fetch()
    assert setup.kept() == b""


@pytest.mark.parametrize(
    ("effect", "size"),
    [
        (SetHeaders(headers={"Content-Range": "bytes 0-299999/300001"}), 300_001),
        (Reply(status=416, headers={"Content-Range": "bytes */299999"}), 299_999),
        (Reply(status=200, body=b"replaced"), 8),
    ],
)
def test_file_of_another_size_upstream_differs_from_the_lock(
    setup: TransferSetup, effect: Effect, size: int
) -> None:
    """Said once it is doubted, said twice it is believed, and the empty partial file goes."""
    setup.spoil(effect)
    setup.fetch()
    setup.assert_fetched()
    setup.partial.unlink()
    setup.spoil(effect, times=None)
    with pytest.raises(DigestMismatch, match="upstream differs from the lock") as error:
        setup.fetch()
    assert f"{size} bytes" in error.value.message
    assert not setup.partial.exists()


def test_wall_between_takes_nothing_away(setup: TransferSetup) -> None:
    """A login page in place of the file looks like another file; what has arrived is kept."""
    setup.leave(DATA[:1000])
    setup.spoil(Reply(status=200, body=b"please log in"), times=None)
    with pytest.raises(DigestMismatch, match="13 bytes"):
        setup.fetch()
    assert setup.kept() == DATA[:1000]


def test_unsatisfiable_range_of_the_right_size_may_pass(setup: TransferSetup) -> None:
    """A 416 for bytes that must be there is the server's fault, not the file's."""
    effect = Reply(status=416, headers={"Content-Range": f"bytes */{len(DATA)}"})
    setup.spoil(effect, times=2)
    setup.fetch()
    setup.assert_fetched()


def test_more_bytes_than_asked_are_not_written(setup: TransferSetup) -> None:
    """A body that goes on past its range is cut off; the file never outgrows the lock."""
    setup.spoil(Oversize(extra_bytes=50_000), times=None)
    setup.fetch(transfer=setup.transfer(segment_bytes=100_000))
    setup.assert_fetched()
    assert setup.ranges == ["bytes=0-99999", "bytes=100000-199999", "bytes=200000-299999"]


def test_body_without_end_is_not_read_to_its_end(setup: TransferSetup) -> None:
    """What goes on far past its range is cut off there, and not drained."""
    setup.spoil(Oversize(extra_bytes=64 << 20))
    setup.fetch(transfer=setup.transfer(segment_bytes=100_000))
    setup.assert_fetched()
    assert sum(request.sent_bytes for request in asked_of(setup.hub, "cdn")) < 48 << 20


def test_compressed_answer_is_refused(setup: TransferSetup) -> None:
    """Bytes a proxy has packed are not written as if they were the file's."""
    setup.spoil(SetHeaders(headers={"Content-Encoding": "gzip"}), times=None)
    with pytest.raises(TransferBroken, match="compressed"):
        setup.fetch()
    assert setup.kept() == b""


def test_wrong_byte_is_fetched_again(setup: TransferSetup) -> None:
    """One damaged transfer is noticed by the digest, and mended by another."""
    setup.spoil(FlipByte(at_byte=77))
    assert setup.fetch().sha256 == SHA256
    setup.assert_fetched()
    assert setup.ranges == [f"bytes=0-{len(DATA) - 1}"] * 2


def test_same_wrong_digest_twice_means_upstream_differs(setup: TransferSetup) -> None:
    """Two whole transfers that agree with each other blame the lock; nothing wrong stays."""
    setup.spoil(FlipByte(at_byte=77), times=None)
    with pytest.raises(DigestMismatch, match="upstream differs from the lock") as error:
        setup.fetch()
    assert SHA256 in error.value.message
    assert not setup.partial.exists()
    assert len(setup.ranges) == 2
    assert setup.progress.total_bytes == 0


def test_two_wrong_digests_mean_corruption_between(setup: TransferSetup) -> None:
    """Two whole transfers that disagree blame the way, not the lock."""
    setup.spoil(FlipByte(at_byte=77))
    setup.spoil(FlipByte(at_byte=78))
    with pytest.raises(DigestMismatch, match="corrupted in transfer"):
        setup.fetch()
    assert not setup.partial.exists()


def test_expired_link_is_resolved_again(setup: TransferSetup) -> None:
    """A 403 from the host of the bytes is about its link: the hub gives another."""
    setup.hub.faults.add(Fault(effect=ExpiredLink(), origin="hub"))
    setup.fetch()
    setup.assert_fetched()
    assert [request.status for request in asked_of(setup.hub, "cdn")] == [403, 206]


def test_links_that_are_never_good_are_given_up(setup: TransferSetup) -> None:
    """A host that refuses every link ends as an error that may pass, not as "forbidden"."""
    setup.hub.faults.add(Fault(effect=ExpiredLink(), origin="hub", times=None))
    with pytest.raises(TransferBroken, match="its own link") as error:
        setup.fetch()
    assert "Signature" not in error.value.message
    assert "?" not in error.value.message
    assert len(setup.ranges) == TRIES


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_link_whose_time_is_over_is_replaced_at_once(setup: TransferSetup, status: int) -> None:
    """A link that was good and is refused is no error: the hub gives the next, without a wait."""
    setup.hub.faults.add(Fault(effect=Reply(status=status), origin="cdn", skip=1))
    setup.fetch(transfer=setup.transfer(segment_bytes=100_000))
    setup.assert_fetched()
    assert [request.status for request in asked_of(setup.hub, "cdn")] == [206, status, 206, 206]
    to_hub = asked_of(setup.hub, "hub")
    assert [request.headers.get("authorization") for request in to_hub] == [f"Bearer {BEARER}"] * 2
    assert all("authorization" not in request.headers for request in asked_of(setup.hub, "cdn"))
    assert setup.clock.slept_seconds == []


@pytest.mark.parametrize(("status", "error"), [(403, TransferBroken), (404, FileMissing)])
def test_new_link_that_is_refused_too_is_an_error(
    setup: TransferSetup, status: int, error: type[ReconcilerError]
) -> None:
    """After the first link's end the next one is believed: it is not asked for again for ever."""
    setup.hub.faults.add(Fault(effect=Reply(status=status), origin="cdn", skip=1, times=None))
    with pytest.raises(error):
        setup.fetch(transfer=setup.transfer(segment_bytes=100_000))
    assert setup.kept() == DATA[:100_000]
    requests = 3 if error is FileMissing else 3 + TRIES
    assert len(asked_of(setup.hub, "cdn")) == requests
    assert len(asked_of(setup.hub, "hub")) == requests - 1


@pytest.mark.parametrize(
    ("effect", "asked"), [(Reply(status=503), 2), (HangUp(), 2), (Cut(after_bytes=9), 1)]
)
def test_host_that_fails_by_itself_costs_its_link(
    setup: TransferSetup, effect: Effect, asked: int
) -> None:
    """The hub may name a host that is well; a mere cut is continued by the same link."""
    setup.hub.faults.add(Fault(effect=effect, origin="cdn", skip=1))
    setup.fetch(transfer=setup.transfer(segment_bytes=100_000))
    setup.assert_fetched()
    assert len(asked_of(setup.hub, "hub")) == asked


def test_file_replaced_between_two_tries_is_named_as_possible(setup: TransferSetup) -> None:
    """Two different digests may come from a new file upstream, and the hint says so first."""
    setup.spoil(FlipByte(at_byte=77))
    setup.spoil(FlipByte(at_byte=78))
    with pytest.raises(DigestMismatch) as error:
        setup.fetch()
    assert "replaced upstream" in error.value.hint


def test_rate_limit_is_waited_out_in_the_middle(setup: TransferSetup) -> None:
    """A 429 between two ranges is waited out as told, and the rest is fetched."""
    effect = Reply(status=429, headers={"RateLimit": '"resolvers";r=0;t=7'})
    setup.hub.faults.add(Fault(effect=effect, origin="cdn", skip=1))
    setup.fetch(transfer=setup.transfer(segment_bytes=200_000))
    setup.assert_fetched()
    assert setup.clock.slept_seconds == [8]
    assert len(asked_of(setup.hub, "hub")) == 1


def test_long_rate_limit_is_passed_on_and_the_partial_kept(setup: TransferSetup) -> None:
    """Told to wait for an hour, the transfer ends, keeps its bytes and says when to come back."""
    effect = Reply(status=429, headers={"Retry-After": "3600"})
    setup.hub.faults.add(Fault(effect=effect, origin="cdn", skip=1, times=None))
    with pytest.raises(RateLimited) as error:
        setup.fetch(transfer=setup.transfer(segment_bytes=200_000))
    assert error.value.retry_after_seconds == 3600
    assert setup.kept() == DATA[:200_000]


@pytest.mark.parametrize("effect", [HangUp(), Reply(status=503), Reply(status=502)])
@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_passing_trouble_on_either_host_is_passed_over(
    setup: TransferSetup, effect: Effect, origin: OriginName
) -> None:
    """Three stumbles of the hub or of the other host only cost time."""
    setup.hub.faults.add(Fault(effect=effect, origin=origin, times=3))
    setup.fetch()
    setup.assert_fetched()
    assert len(setup.clock.slept_seconds) == 3


def test_redirects_in_a_circle_end(setup: TransferSetup) -> None:
    """A host that redirects to itself for ever is an error after a bounded number of hops."""
    setup.hub.faults.add(Fault(effect=RedirectTo(url=None), times=None))
    with pytest.raises(Stalled, match="redirects more than"):
        setup.fetch()
    assert len(setup.hub.requests) < 20
