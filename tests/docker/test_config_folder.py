"""A container that was started on a folder of configs: ours come into a file of our own there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.container_host import serve
from tests.support.engine import Engine
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.docker


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host with one model to serve; where things lie is left to the container to say."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest("  chat:\n    source: acme/chat-GGUF:Q4_K_M\n")
        yield host


def test_home_is_read_off_the_container(host: Sandbox, engine: Engine) -> None:
    """Nothing is named, the other config stays as it is, and the models of both are served."""
    swap = serve(host, engine, whole_folder=True)
    before = host.config.read_bytes(), host.config.stat().st_mtime_ns
    host.apply()
    assert "chat" in (host.config.parent / "reconciler.yaml").read_text()
    assert swap.model_ids() == {"mine", "chat"}
    assert (host.config.read_bytes(), host.config.stat().st_mtime_ns) == before
    host.write_manifest("")
    host.apply("--allow-prune")
    assert swap.model_ids() == {"mine"}
