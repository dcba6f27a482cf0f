"""Real llama-swap configs, where they are at hand: never changed, only read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = Path(
    os.environ.get("RECONCILER_CORPUS") or _ROOT.parent / "shared" / "corpus" / "llama-swap"
)

# As published it gives a top-level key twice, which no strict reader accepts.
UNREADABLE = "synw__goinfer.yaml"


def corpus_files() -> tuple[Path, ...]:
    """Give every config of the corpus, by name; none where there is no corpus."""
    return tuple(sorted(_FOLDER.glob("*.yaml")))


def each_config(*, readable: bool = True) -> pytest.MarkDecorator:
    """Run a test once for each config, as argument `config`; skipped where there is no corpus."""
    files = [path for path in corpus_files() if not readable or path.name != UNREADABLE]
    if not files:
        absent = pytest.param(None, marks=pytest.mark.skip(reason=f"no configs in {_FOLDER}"))
        return pytest.mark.parametrize("config", [absent])
    return pytest.mark.parametrize("config", files, ids=[path.stem for path in files])


needs_corpus = pytest.mark.skipif(not corpus_files(), reason=f"no configs in {_FOLDER}")


def inserted(old: bytes, new: bytes) -> bytes:
    """Give the one run of bytes that `new` has more than `old`; fails on any other change."""
    start = 0
    while start < len(old) and old[start] == new[start]:
        start += 1
    extra = len(new) - len(old)
    assert extra > 0
    assert new[start + extra :] == old[start:]
    return new[start : start + extra]
