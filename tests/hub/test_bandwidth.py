"""The limit on the rate: as fast as it says, for any number of connections, and shared fairly."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from reconciler.adapters.base.bandwidth import Bandwidth
from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.system_clock import SystemClock
from reconciler.demo.hub_server import HubServer
from tests.support.fakes import FakeClock


class StandingClock(FakeClock):
    """A clock that stands still, so that each wait tells how far ahead of it a taker was."""

    def monotonic(self) -> float:
        """Always the start."""
        return 0.0


def _in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_rate_holds_for_one_connection() -> None:
    """Ten seconds at the limit bring ten seconds' worth of bytes, from the first read on."""
    clock = FakeClock()
    bandwidth = Bandwidth(1_000_000, clock=clock)
    for _ in range(160):
        bandwidth.take(62_500)
    assert clock.seconds == pytest.approx(10)


def test_rate_holds_for_all_connections_together() -> None:
    """Eight threads share one limit: each read has a stretch of time of its own, none twice."""
    clock = StandingClock()
    bandwidth = Bandwidth(1_000_000, clock=clock)

    def take() -> None:
        for _ in range(25):
            bandwidth.take(10_000)

    _in_threads(8, take)
    expected = [0.01 * place for place in range(1, 201)]
    assert sorted(clock.slept_seconds) == pytest.approx(expected)


def test_pause_is_not_made_up_for_by_a_flood() -> None:
    """After a minute of silence at most a tenth of a second's bytes come at once."""
    clock = FakeClock()
    bandwidth = Bandwidth(1_000_000, clock=clock)
    clock.sleep(60)
    clock.slept_seconds[:] = [60]
    for _ in range(20):
        bandwidth.take(50_000)
    assert clock.seconds - 60 == pytest.approx(1.0 - 0.1)


def test_without_a_limit_nobody_waits() -> None:
    """No limit is no wait, however much comes."""
    clock = FakeClock()
    Bandwidth(None, clock=clock).take(10**12)
    assert clock.slept_seconds == []


@pytest.mark.parametrize("connections", [1, 8])
def test_real_transfers_keep_the_limit(hub: HubServer, connections: int) -> None:
    """Bodies from a real server come at the limit's rate, and all connections move on together."""
    rate, each_bytes = 2_000_000, 1_600_000 // connections
    url = hub.add_plain("/file", bytes(each_bytes))
    got: Counter[int] = Counter()
    spread: list[int] = []
    all_open = threading.Barrier(connections)

    with HttpClient(clock=SystemClock(), limit_bytes_per_second=rate) as http:

        def fetch() -> None:
            me = threading.get_ident()
            with http.open(url) as answer:
                all_open.wait(timeout=20)
                for chunk in answer.chunks():
                    got[me] += len(chunk)
            spread.append(min(got.values()))

        begun = time.monotonic()
        _in_threads(connections, fetch)
        seconds = time.monotonic() - begun

    assert sum(got.values()) == each_bytes * connections
    # Never faster; how much slower is the machine's affair.
    assert 0.72 <= seconds <= 8
    assert len(got) == connections
    # When the first was done, the others had their share.
    assert spread[0] >= each_bytes / 4
