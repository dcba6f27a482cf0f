"""A container that was started on a folder of configs: ours come into a file of our own there."""

from __future__ import annotations

import pytest

from tests.support.container_host import serve
from tests.support.engine import Engine
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.docker


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
