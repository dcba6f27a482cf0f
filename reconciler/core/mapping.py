"""How llama-swap sees our paths: through the mounts of its container."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from reconciler.core.names import RelPath
from reconciler.core.observed import Observed, PathMapping
from reconciler.errors import Refused


def to_container(path: str, mappings: Sequence[PathMapping]) -> str | None:
    """Translate an absolute host path by the deepest mount that holds it; None if none does."""
    return _translate(path, [(mapping.host, mapping.container) for mapping in mappings])


def to_host(path: str, mappings: Sequence[PathMapping]) -> str | None:
    """Translate an absolute container path back to the host; None where no mount holds it."""
    return _translate(path, [(mapping.container, mapping.host) for mapping in mappings])


def as_served(path: RelPath, observed: Observed) -> str:
    """Give the absolute path of a file below the models folder as llama-swap sees it.

    Raises:
        Refused: llama-swap's container does not see the models folder.
    """
    host = f"{observed.models_dir}/{path}"
    runtime = observed.runtime
    if not runtime.is_container and not runtime.mappings:
        # llama-swap runs on this host as we do, and sees what we see.
        return host
    inside = to_container(host, runtime.mappings)
    if inside is None:
        container = f" in container {runtime.name}" if runtime.name else ""
        raise Refused(
            f"llama-swap{container} does not see {observed.models_dir}",
            hint="mount the models folder into it, or say how with --path-map HOST=CONTAINER",
        )
    return inside


def _translate(path: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    wanted = str(PurePosixPath(path)).rstrip("/") + "/"
    holding = [pair for pair in map(_as_folders, pairs) if wanted.startswith(pair[0])]
    if not holding:
        return None
    source, target = max(holding, key=lambda pair: len(pair[0]))
    return (target + wanted.removeprefix(source)).rstrip("/") or "/"


# Every model of a config asks for the same few.
@lru_cache(maxsize=64)
def _as_folders(pair: tuple[str, str]) -> tuple[str, str]:
    """Give two paths as they begin the paths below them."""
    source, target = (str(PurePosixPath(path)).rstrip("/") + "/" for path in pair)
    return source, target
