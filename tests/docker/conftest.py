"""What the tests against a real Docker engine share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine import engine

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
