"""A host that serves one large model, made without a network."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from benchmarks.applied import applied
from benchmarks.pins import Sized, lock_text, pin

_BLOCK_BYTES = 16 * 1024 * 1024
_REPO = "acme/large-GGUF"
_NAME = "large-Q4_K_M.gguf"


def applied_host(home: Path, size_bytes: int) -> tuple[dict[str, str], Path]:
    """Make a host in sync with a model of `size_bytes`; give its settings, and the model's path."""
    model = home / "models" / _REPO / _NAME
    model.parent.mkdir(parents=True)
    sha256 = _write(model, size_bytes)
    manifests = home / "manifests"
    manifests.mkdir()
    (manifests / "home.yaml").write_text(
        f"version: 1\nmodels:\n  large:\n    source: {_REPO}:Q4_K_M\n"
    )
    file = Sized(size_bytes=size_bytes, sha256=sha256)
    (manifests / "home.yaml.lock").write_text(
        lock_text({"large": pin(_REPO, "0" * 40, {_NAME: file})})
    )
    return applied(home), model


def _write(path: Path, size_bytes: int) -> str:
    """Write bytes of which no two blocks are the same; gives their sha256."""
    running, block = hashlib.sha256(), random.Random(1).randbytes(_BLOCK_BYTES)  # noqa: S311
    with path.open("wb") as file:
        for number in range(-(-size_bytes // _BLOCK_BYTES)):
            part = number.to_bytes(8, "little") + block[8:]
            part = part[: size_bytes - number * _BLOCK_BYTES]
            running.update(part)
            file.write(part)
    return running.hexdigest()
