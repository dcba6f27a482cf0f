"""The host that every story plays on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host with a hand-made config and a hub without repositories."""
    with running_hub() as hub:
        yield Sandbox(home=tmp_path / "host", hub=hub)
