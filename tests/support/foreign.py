"""Stores of other programs, laid out as they lay them out, and machines that cannot link."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from reconciler.adapters.store import sharing
from reconciler.core.copies import Store
from reconciler.core.lock import PinnedFile
from reconciler.core.ports.copies import Candidate, ForeignStores
from tests.support.sandbox import Sandbox
from tests.support.small_disk import needs_root

REPO = "acme/chat-GGUF"
NAME = "chat-Q4_K_M.gguf"
COMMIT = "c" * 40


def sha256_of(data: bytes) -> str:
    """Give the digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def write(path: Path, data: bytes) -> Path:
    """Write a file and the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def ollama(host: Sandbox, data: bytes) -> Path:
    """Ollama: a blob by its digest, beside a manifest that names it."""
    models = host.home / ".ollama" / "models"
    digest = sha256_of(data)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    manifest = {"schemaVersion": 2, "layers": [{**layer, "size": len(data)}]}
    write(models / "manifests" / "hf.co" / REPO / "Q4_K_M", json.dumps(manifest).encode())
    write(models / "blobs" / f"sha256-{digest}", data)
    return models


def docker_models(host: Sandbox, data: bytes) -> Path:
    """Docker Model Runner, in a folder that its variable names."""
    models = host.home / "dmr"
    host.settings["MODELS_PATH"] = str(models)
    write(models / "blobs" / "sha256" / sha256_of(data), data)
    return models


def lm_studio(host: Sandbox, data: bytes) -> Path:
    """LM Studio, whose home a pointer names: publisher, repository, file, and no digest."""
    home = host.home / "studio"
    write(host.home / ".lmstudio-home-pointer", str(home).encode())
    write(home / "models" / REPO / NAME, data)
    return home


def llama_cpp(host: Sandbox, data: bytes) -> Path:
    """llama.cpp's own cache: flat names, and the hub's answer beside them."""
    cache = host.home / "cache" / "llama.cpp"
    told = {"ggufFile": {"rfilename": NAME, "size": len(data), "lfs": {"sha256": sha256_of(data)}}}
    owner, repo = REPO.split("/")
    write(cache / f"manifest={owner}={repo}=Q4_K_M.json", json.dumps(told).encode())
    write(cache / f"{owner}_{repo}_{NAME}", data)
    return cache


def llama_cpp_without_manifest(host: Sandbox, data: bytes) -> Path:
    """llama.cpp's own cache as an older version left it, in a folder that its variable names."""
    cache = host.home / "llama-cache"
    host.settings["LLAMA_CACHE"] = str(cache)
    write(cache / f"{REPO.replace('/', '_')}_{NAME}", data)
    return cache


def llama_cpp_as_hub_cache(host: Sandbox, data: bytes) -> Path:
    """llama.cpp's newer cache: the hub client's layout, in a folder that its variable names."""
    cache = host.home / "llama-cache"
    host.settings["LLAMA_CACHE"] = str(cache)
    return hub_cache(cache, data)


def hub_cache(cache: Path, data: bytes, *, repo: str = REPO) -> Path:
    """A hub cache with links: a blob by its digest, and a snapshot that links to it."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    blob = write(folder / "blobs" / sha256_of(data), data)
    snapshot = folder / "snapshots" / COMMIT / NAME
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(os.path.relpath(blob, snapshot.parent))
    write(folder / "refs" / "main", COMMIT.encode())
    return cache


def hub_cache_of_another_repository(host: Sandbox, data: bytes) -> Path:
    """The hub client's cache, with the same bytes under another repository."""
    cache = host.home / "hub"
    host.settings["HF_HUB_CACHE"] = "~/hub"
    return hub_cache(cache, data, repo="else/Where")


def hub_cache_without_links(host: Sandbox, data: bytes) -> Path:
    """The hub client's cache where links cannot be made: files in the snapshot, told by a tree."""
    home = host.home / "hf"
    host.settings["HF_HOME"] = "$HOME/hf"
    folder = home / "hub" / f"models--{REPO.replace('/', '--')}"
    entry = {"size": 130, "blob_id": "0" * 40, "lfs_sha256": sha256_of(data), "lfs_size": len(data)}
    tree = {"format_version": 1, "files": {NAME: entry}}
    write(folder / "trees" / f"{COMMIT}.json", json.dumps(tree).encode())
    write(folder / "snapshots" / COMMIT / NAME, data)
    return home


def named_folder(host: Sandbox, data: bytes) -> Path:
    """A folder that a setting names, with a file of any name."""
    folder = host.home / "old-disk"
    host.settings["RECONCILER_ADOPT_FROM"] = str(folder)
    write(folder / "deep" / "er" / "renamed.bin", data)
    return folder


def own_layout(host: Sandbox, data: bytes) -> Path:
    """The models folder itself, with a file in a layout of somebody's own."""
    folder = host.models / "by-hand"
    write(folder / "my-chat.gguf", data)
    return folder


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one store is laid out, and by what name a plan calls it."""

    make: Callable[[Sandbox, bytes], Path]
    store: Store


LAYOUTS = [
    Layout(make=ollama, store=Store.OLLAMA),
    Layout(make=docker_models, store=Store.DOCKER_MODELS),
    Layout(make=lm_studio, store=Store.LM_STUDIO),
    Layout(make=llama_cpp, store=Store.LLAMA_CPP),
    Layout(make=llama_cpp_without_manifest, store=Store.LLAMA_CPP),
    Layout(make=llama_cpp_as_hub_cache, store=Store.HUGGING_FACE),
    Layout(make=hub_cache_of_another_repository, store=Store.HUGGING_FACE),
    Layout(make=hub_cache_without_links, store=Store.HUGGING_FACE),
    Layout(make=named_folder, store=Store.FOLDER),
    Layout(make=own_layout, store=Store.MODELS_FOLDER),
]


def as_it_is(folder: Path) -> Mapping[str, tuple[object, ...]]:
    """Give what its owner can see of a folder: names, bytes, times, modes and owners."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        content: object = path.is_dir()
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        seen[str(path.relative_to(folder))] = (
            content,
            found.st_mtime_ns,
            found.st_mode,
            (found.st_uid, found.st_gid),
        )
    return seen


class NoStores(ForeignStores):
    """A machine on which nobody keeps models."""

    def claiming(self, file: PinnedFile) -> Iterator[Candidate]:  # noqa: ARG002 - the port's
        """Nothing."""
        return iter(())

    def of_size(self, sizes_bytes: Collection[int]) -> Sequence[Candidate]:  # noqa: ARG002
        """Nothing."""
        return ()


@contextmanager
def without_clones() -> Iterator[None]:
    """Let no blocks be shared, wherever the tests' folder lies."""
    with mock.patch.object(sharing, "clone", return_value=False):
        yield


@contextmanager
def without_links() -> Iterator[None]:
    """Let the machine make neither hard links nor shared blocks, as on a stick with FAT."""
    refused = OSError(errno.EPERM, os.strerror(errno.EPERM))
    with without_clones(), mock.patch.object(os, "link", side_effect=refused):
        yield


@contextmanager
def mounted(folder: Path, kind: str) -> Iterator[Path]:
    """Mount a new filesystem of this kind from a file; skipped where that cannot be done."""
    image = folder / f"{kind}.img"
    with image.open("wb") as handle:
        handle.truncate(350 << 20)
    disk = folder / kind
    disk.mkdir()
    with suppress(FileNotFoundError):
        subprocess.run(["modprobe", "-q", kind], check=False)
    try:
        subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True, capture_output=True)
    except FileNotFoundError:
        if os.environ.get("CI"):
            pytest.fail(f"mkfs.{kind} is not installed, and CI must not skip")
        pytest.skip(f"mkfs.{kind} is not installed")
    made = subprocess.run(
        ["mount", "-o", "loop", str(image), str(disk)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no {kind} can be mounted here: {made.stderr.decode()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


sharing_filesystems = [pytest.param(kind, marks=needs_root) for kind in ("xfs", "btrfs")]
