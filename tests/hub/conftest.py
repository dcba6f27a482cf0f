"""What every test of this folder talks to, and talks with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.demo.hub_server import HubServer
from tests.support.fakes import FakeClock
from tests.support.hub import running_hub


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub on loopback without repositories, stopped after the test."""
    with running_hub() as server:
        yield server


@pytest.fixture
def http(clock: FakeClock) -> Iterator[HttpClient]:
    """A client, closed after the test."""
    with HttpClient(clock=clock, read_timeout_seconds=5) as client:
        yield client


@pytest.fixture
def clock() -> FakeClock:
    """A clock nobody waits for."""
    return FakeClock()
