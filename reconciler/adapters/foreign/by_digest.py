"""Stores in which a file's name, or a note of the program's own, tells its digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from reconciler.adapters.foreign.reading import names_in, read_text
from reconciler.core.lock import PinnedFile
from reconciler.core.names import InvalidName, RelPath, Sha256
from reconciler.core.source import HubOrigin


def in_hub_cache(cache: Path, file: PinnedFile) -> Iterator[Path]:
    """Give where a hub cache would have `file`: its own repository first, then any other."""
    own = ""
    if isinstance(file.origin, HubOrigin):
        own = f"models--{file.origin.repo.replace('/', '--')}"
        yield from _in_repository(cache / own, file.origin, file.sha256)
    for name in names_in(cache):
        if name.startswith("models--") and name != own:
            yield cache / name / "blobs" / file.sha256


def in_ollama(models: Path, file: PinnedFile) -> Iterator[Path]:
    """Give where Ollama would have it; its unfinished files have longer names."""
    yield models / "blobs" / f"sha256-{file.sha256}"


def in_docker_models(models: Path, file: PinnedFile) -> Iterator[Path]:
    """Give where Docker Model Runner would have it."""
    yield models / "blobs" / "sha256" / file.sha256


def in_llama_cpp(cache: Path, file: PinnedFile) -> Iterator[Path]:
    """Give where llama.cpp's own cache has it, by the manifests it keeps of what the hub told."""
    for name in names_in(cache):
        if not (name.startswith("manifest=") and name.endswith(".json")):
            continue
        owner, _, rest = name.removeprefix("manifest=").partition("=")
        repo = rest.partition("=")[0]
        manifest = _json(cache / name)
        for key in ("ggufFile", "mmprojFile"):
            path, digest = _at(manifest, key, "rfilename"), _at(manifest, key, "lfs", "sha256")
            if isinstance(path, str) and digest == file.sha256:
                yield cache / llama_cpp_name(f"{owner}/{repo}", path)


def llama_cpp_name(repo: str, path: str) -> str:
    """Give the name under which llama.cpp's own cache has a file of a repository."""
    return f"{repo}/{path}".replace("/", "_")


def _in_repository(folder: Path, origin: HubOrigin, sha256: Sha256) -> Iterator[Path]:
    """Where links cannot be made a snapshot holds the files themselves; its tree tells which."""
    yield folder / "blobs" / sha256
    yield folder / "snapshots" / origin.commit / origin.path
    for name in names_in(folder / "trees"):
        files = _at(_json(folder / "trees" / name), "files")
        for path in files if isinstance(files, dict) else ():
            if _at(files, path, "lfs_sha256") == sha256 and _stays_below(path):
                yield folder / "snapshots" / PurePosixPath(name).stem / path


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None


def _at(document: Any, *keys: str) -> Any:
    """Give what stands in `document` below these keys, None where it has no such place."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _stays_below(path: str) -> bool:
    try:
        RelPath(path)
    except InvalidName:
        return False
    return True
