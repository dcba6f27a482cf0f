"""The hub's own public client, told to keep to itself."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def public_client(home: Path) -> Iterator[Any]:
    """Give the client's package, with `home` for its own; it reads its settings when imported."""
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("HF_HOME", str(home))
        for name in ("XET", "TELEMETRY", "PROGRESS_BARS", "IMPLICIT_TOKEN", "UPDATE_CHECK"):
            settings.setenv(f"HF_HUB_DISABLE_{name}", "1")
        package = importlib.import_module("huggingface_hub")
        yield package
        package.close_session()
