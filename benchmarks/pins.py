"""Pins as a lock holds them, made without asking a hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A file's size and digest."""

    size_bytes: int
    sha256: str


def pin(repo: str, commit: str, files: Mapping[str, Sized]) -> dict[str, Any]:
    """Give the pin of a model whose source is `repo:Q4_K_M`."""
    part = {
        "role": "model",
        "repo": repo,
        "commit": commit,
        "files": [
            {"path": path, "size": file.size_bytes, "sha256": file.sha256}
            for path, file in files.items()
        ],
    }
    asked: dict[str, Any] = {
        "source": f"{repo}:Q4_K_M",
        "revision": None,
        "mmproj": "none",
        "draft": None,
        "files": {},
    }
    return {"asked": asked, "parts": [part]}


def lock_text(pins: Mapping[str, Any]) -> str:
    """Give the text of a lock with these pins by model."""
    return json.dumps({"version": 1, "models": pins}, indent=2, sort_keys=True) + "\n"
