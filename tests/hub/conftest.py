"""The hub every test of this folder talks to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.demo.hub_server import HubServer
from tests.support.hub import running_hub


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub on loopback without repositories, stopped after the test."""
    with running_hub() as server:
        yield server
