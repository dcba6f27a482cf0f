"""The host that every story plays on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.adapters.store import mounts
from tests.support.hub import running_hub
from tests.support.mounts import ORDINARY
from tests.support.sandbox import Sandbox


@pytest.fixture
def mount_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's table of mounts: an ordinary disk, whatever this machine has."""
    table = tmp_path / "mountinfo"
    table.write_text(ORDINARY)
    monkeypatch.setattr(mounts, "MOUNT_TABLE", table)
    return table


@pytest.fixture
def host(tmp_path: Path, mount_table: Path) -> Iterator[Sandbox]:
    """A host with a hand-made config and a hub without repositories."""
    assert mount_table.exists()
    with running_hub() as hub:
        yield Sandbox(home=tmp_path / "host", hub=hub)
