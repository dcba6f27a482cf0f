"""A repository on disk: incompressible files, and what a hub's interface says of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pins import Sized

COMMIT = "c0ffee" * 6 + "beef"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One repository; its files lie in `folder` / `repo`."""

    repo: str
    folder: Path
    files: Mapping[str, Sized]

    @property
    def size_bytes(self) -> int:
        """All its bytes."""
        return sum(file.size_bytes for file in self.files.values())


def make_source(folder: Path, repo: str, *, count: int, size_bytes: int) -> Source:
    """Write `count` files of random bytes that pass for the shards of one model."""
    name = repo.split("/")[1].removesuffix("-GGUF")
    (folder / repo).mkdir(parents=True)
    files: dict[str, Sized] = {}
    for number in range(1, count + 1):
        path = (
            f"{name}-Q4_K_M-{number:05}-of-{count:05}.gguf" if count > 1 else f"{name}-Q4_K_M.gguf"
        )
        files[path] = _write(folder / repo / path, size_bytes)
    return Source(repo=repo, folder=folder, files=files)


def make_interface(root: Path, source: Source) -> None:
    """Write the answers of the hub's interface that downloaders ask for, as files below `root`."""
    siblings = [{"rfilename": path} for path in source.files]
    info = {"id": source.repo, "sha": COMMIT, "private": False, "siblings": siblings}
    tree = [
        {
            "type": "file",
            "path": path,
            "size": file.size_bytes,
            "oid": file.sha256[:40],
            "lfs": {"oid": file.sha256, "size": file.size_bytes, "pointerSize": 135},
        }
        for path, file in source.files.items()
    ]
    base = root / "api" / "models" / source.repo
    for kind, answer in (("revision", info), ("tree", tree)):
        (base / kind).mkdir(parents=True)
        for revision in ("main", COMMIT):
            (base / kind / revision).write_text(json.dumps(answer))


def _write(path: Path, size_bytes: int) -> Sized:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size_bytes, _CHUNK_BYTES):
            chunk = os.urandom(min(_CHUNK_BYTES, size_bytes - start))
            digest.update(chunk)
            file.write(chunk)
    return Sized(size_bytes=size_bytes, sha256=digest.hexdigest())
