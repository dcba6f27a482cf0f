"""Servers that are left alone: dead ones, and those that asked for it; all others are not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.adapters.base.breaker import Breaker, CircuitOpen
from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.base.urls import WebOrigin, origin_of
from reconciler.adapters.hub.transfer import HttpTransfer
from reconciler.demo.hub_faults import Fault, HangUp, Reply
from reconciler.demo.hub_server import HubServer
from reconciler.errors import RateLimited, ReconcilerError, Unreachable
from tests.support.fakes import FakeClock
from tests.support.hub import running_hub

DEAD = origin_of("https://dead.example")
GOOD = origin_of("https://good.example")


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    """A breaker that knows nothing yet."""
    return Breaker(clock)


@pytest.fixture
def dead_url() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def _fail(
    breaker: Breaker, clock: FakeClock, times: int, *, place: str | None = None, pause: float = 2
) -> None:
    for _ in range(times):
        breaker.failed(DEAD, probe=breaker.admit(DEAD, "x"), faulty_place=place)
        clock.sleep(pause)


def _rests(breaker: Breaker, origin: WebOrigin = DEAD) -> float:
    """For how long `origin` is left alone; 0: it is not."""
    try:
        breaker.admit(origin, "x")
    except CircuitOpen as error:
        return error.retry_after_seconds or 0
    return 0


def test_failures_in_a_row_have_a_server_left_alone(breaker: Breaker, clock: FakeClock) -> None:
    """Five without an answer between them; other servers are asked as before."""
    _fail(breaker, clock, 4)
    assert not _rests(breaker)
    _fail(breaker, clock, 1, pause=0)
    assert 5 <= _rests(breaker) <= 10
    assert not _rests(breaker, GOOD)


def test_answer_between_failures_starts_the_count_anew(breaker: Breaker, clock: FakeClock) -> None:
    """A server that stumbles now and then is not a dead one."""
    for _ in range(5):
        _fail(breaker, clock, 4)
        breaker.answered(DEAD)
    assert not _rests(breaker)


def test_many_connections_that_break_at_once_are_one_mishap(
    breaker: Breaker, clock: FakeClock
) -> None:
    """A server that drops sixteen connections and is back in a second is not left alone."""
    _fail(breaker, clock, 16, pause=0.25)
    assert not _rests(breaker)


def test_fault_at_one_place_is_not_a_faulty_server(breaker: Breaker, clock: FakeClock) -> None:
    """One repository whose page is broken does not close the hub to the others; three do."""
    _fail(breaker, clock, 20, place="/one")
    assert not _rests(breaker)
    _fail(breaker, clock, 1, place="/two")
    assert not _rests(breaker)
    _fail(breaker, clock, 1, place="/three", pause=0)
    assert _rests(breaker)


def test_one_request_finds_out_whether_it_is_back(breaker: Breaker, clock: FakeClock) -> None:
    """After the rest a single request goes through, and its answer opens the way for all."""
    _fail(breaker, clock, 5)
    clock.sleep(10)
    assert breaker.admit(DEAD, "x") is True
    assert _rests(breaker) > 0
    breaker.answered(DEAD)
    assert breaker.admit(DEAD, "x") is False


def test_probe_nobody_hears_of_is_followed_by_another(breaker: Breaker, clock: FakeClock) -> None:
    """A thread that ends in the middle of its probe does not close the server for ever."""
    _fail(breaker, clock, 5)
    clock.sleep(10)
    assert breaker.admit(DEAD, "x") is True
    clock.sleep(10)
    assert breaker.admit(DEAD, "x") is True


def test_rest_grows_up_to_a_bound(breaker: Breaker, clock: FakeClock) -> None:
    """Each probe in vain makes the rest longer, at random, and never longer than five minutes."""
    _fail(breaker, clock, 5, pause=2)
    rests = []
    for _ in range(8):
        clock.sleep(300)
        breaker.failed(DEAD, probe=breaker.admit(DEAD, "x"))
        rests.append(_rests(breaker))
    assert 10 <= rests[0] <= 20
    assert all(150 <= rest <= 300 for rest in rests[-3:])
    assert len(set(rests)) > 4


def test_requests_under_way_do_not_make_the_rest_longer(breaker: Breaker, clock: FakeClock) -> None:
    """What was sent before the rest began, and fails in it, says nothing new."""
    under_way = [breaker.admit(DEAD, "x") for _ in range(8)]
    _fail(breaker, clock, 5, pause=2)
    for probe in under_way:
        breaker.failed(DEAD, probe=probe)
    assert _rests(breaker) <= 10


def test_dead_server_does_not_stall_the_models_of_a_good_one(
    hub: HubServer, http: HttpClient, clock: FakeClock, dead_url: str
) -> None:
    """Forty files of a dead server cost the patience of a few; three of a good one come."""
    good = {hub.add_plain(f"/{name}", bytes(10 + name)): 10 + name for name in range(3)}
    dead = [f"{dead_url}/{name}" for name in range(40)]
    transfer = HttpTransfer(
        endpoint=hub.url, token=lambda: None, offline=False, http=http, clock=clock
    )
    found: dict[str, int] = {}
    failed: list[ReconcilerError] = []
    for url in [*dead[:20], *good, *dead[20:]]:
        try:
            found[url] = transfer.measure(url)
        except Unreachable as error:
            failed.append(error)
    assert found == good
    assert len(failed) == 40
    left_alone = [error for error in failed if isinstance(error, CircuitOpen)]
    assert len(left_alone) >= 35
    assert all(error.retry_after_seconds for error in left_alone)
    assert len(clock.slept_seconds) <= 20
    assert clock.seconds <= 60


@pytest.mark.parametrize("effect", [HangUp(), Reply(status=503)])
def test_server_that_fails_is_not_asked_by_any_thread(
    hub: HubServer, http: HttpClient, clock: FakeClock, effect: HangUp | Reply
) -> None:
    """What several threads meet counts together, and while it rests no request goes out."""
    urls = [hub.add_plain(f"/{name}", b"x") for name in range(3)]
    hub.faults.add(Fault(effect=effect, times=None))

    def ask() -> None:
        for url in urls:
            with suppress(Unreachable):
                http.get(url)
            clock.sleep(1)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hub.forget_requests()
    with pytest.raises(CircuitOpen, match="left alone"):
        http.get(urls[0])
    assert hub.requests == ()
    hub.faults.clear()
    clock.sleep(10)
    assert http.get(urls[0]).body == b"x"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416, 429])
def test_refusals_are_answers(
    hub: HubServer, http: HttpClient, clock: FakeClock, status: int
) -> None:
    """Whatever is said of a request, the server that says it is alive."""
    hub.faults.add(Fault(effect=Reply(status=status), times=None))
    for _ in range(12):
        assert http.get(f"{hub.url}/x").status == status
        clock.sleep(1)
    assert len(hub.requests) == 12


def test_server_that_asks_us_to_wait_is_asked_by_nobody(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """What one thread was told holds for all, for that server alone, and as long as it said."""
    url = hub.add_plain("/x", b"x")
    hub.faults.add(Fault(effect=Reply(status=429, headers={"Retry-After": "30"})))
    assert http.get(url).status == 429
    for waited_seconds in (0, 20):
        clock.sleep(waited_seconds)
        with pytest.raises(RateLimited) as error:
            http.get(url)
        assert error.value.retry_after_seconds == 30 - waited_seconds
    assert len(hub.requests) == 1
    with running_hub() as other:
        assert http.get(other.add_plain("/x", b"y")).body == b"y"
    clock.sleep(10)
    assert http.get(url).body == b"x"


def test_wait_that_is_a_mistake_does_not_last(breaker: Breaker, clock: FakeClock) -> None:
    """A server that asks for thirty years is asked again in an hour."""
    breaker.hold(DEAD, 10**9)
    clock.sleep(3601)
    assert breaker.admit(DEAD, "x") is False
