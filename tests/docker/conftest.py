"""What the tests against a real Docker engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import engine
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox

__all__ = ["engine"]

CONFIG = """\
macros:
  serve: /app/llama-server --port ${PORT}
models:
  "first":
    cmd: ${serve} -m /models/first.gguf
    aliases: [one]
  "second":
    cmd: ${serve} -m /models/second.gguf
  "hidden":
    cmd: ${serve} -m /models/first.gguf
    unlisted: true
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Give a models folder with one model that loads and one that does not."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "first.gguf").write_bytes(b"GGUF and more")
    (folder / "second.gguf").write_bytes(b"no model at all")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give llama-swap's config, in a folder of its own."""
    folder = tmp_path / "config"
    folder.mkdir()
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host with one model to serve; where things lie is left to the container to say."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest("  chat:\n    source: acme/chat-GGUF:Q4_K_M\n")
        yield host
