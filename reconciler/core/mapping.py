"""How llama-swap sees our paths: through the mounts of its container."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from reconciler.core.observed import PathMapping


def to_container(path: str, mappings: Sequence[PathMapping]) -> str | None:
    """Translate an absolute host path by the deepest mount that holds it; None if none does."""
    return _translate(path, [(mapping.host, mapping.container) for mapping in mappings])


def to_host(path: str, mappings: Sequence[PathMapping]) -> str | None:
    """Translate an absolute container path back to the host; None where no mount holds it."""
    return _translate(path, [(mapping.container, mapping.host) for mapping in mappings])


def _translate(path: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    wanted = PurePosixPath(path)
    holding = [(src, dst) for src, dst in pairs if wanted.is_relative_to(src)]
    if not holding:
        return None
    source, target = max(holding, key=lambda pair: len(PurePosixPath(pair[0]).parts))
    return str(PurePosixPath(target) / wanted.relative_to(source))
