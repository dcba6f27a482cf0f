"""Repositories, commits and files in the words of the hub's JSON interface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from reconciler.demo.hub_repositories import Repository, StoredCommit, StoredFile

Entry = dict[str, object]


def repository_info(
    repository: Repository, commit: StoredCommit, *, blobs: bool, only: Iterable[str]
) -> Entry:
    """Describe the repository at `commit`.

    `blobs` adds each file's size and digests; `only` names the fields wanted, none meaning all.
    """
    info: Entry = {
        "_id": repository.id,
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.partition("/")[0],
        "sha": commit.id,
        "lastModified": commit.date,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "disabled": repository.disabled,
        "downloads": 0,
        "likes": 0,
        "library_name": "gguf",
        "tags": ["gguf"],
        "siblings": [_sibling(file, blobs=blobs) for file in commit.files.values()],
    }
    wanted = {"_id", "id", *only}
    return {key: value for key, value in info.items() if not only or key in wanted}


def file_entry(file: StoredFile, commit: StoredCommit, *, expand: bool) -> Entry:
    """Describe a file the way the tree does; `expand` adds its last commit and its scan."""
    entry: Entry = {
        "type": "file",
        "oid": file.git_oid,
        "size": file.size_bytes,
        "path": file.path,
    }
    if file.sha256 is not None:
        entry["lfs"] = {
            "oid": file.sha256,
            "size": file.size_bytes,
            "pointerSize": file.pointer_bytes,
        }
        entry["xetHash"] = file.xet_hash
    if expand:
        entry["lastCommit"] = _last_commit(commit)
        entry["securityFileStatus"] = {
            "status": "safe",
            "avScan": {"status": "safe"},
            "pickleImportScan": None,
        }
    return entry


def tree_entries(
    commit: StoredCommit, folder: str, *, recursive: bool, expand: bool
) -> list[tuple[str, Entry]]:
    """Describe what lies in `folder` (empty: the top), by path and in the order of paths."""
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, Entry] = {}
    for path, file in commit.files.items():
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            inner = prefix + "/".join(parts[:depth])
            entries.setdefault(inner, _folder_entry(inner, commit, expand=expand))
        if recursive or len(parts) == 1:
            entries[path] = file_entry(file, commit, expand=expand)
    return sorted(entries.items())


def refs(repository: Repository) -> Entry:
    """Describe the branches and tags."""
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in repository.branches.items()
        ],
        "converts": [],
        "tags": [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
            for name, commit in repository.tags.items()
        ],
    }


def _folder_entry(path: str, commit: StoredCommit, *, expand: bool) -> Entry:
    oid = hashlib.sha1(f"{commit.id} {path}".encode(), usedforsecurity=False).hexdigest()
    entry: Entry = {"type": "directory", "oid": oid, "size": 0, "path": path}
    if expand:
        entry["lastCommit"] = _last_commit(commit)
    return entry


def _last_commit(commit: StoredCommit) -> Entry:
    return {"id": commit.id, "title": commit.title, "date": commit.date}


def _sibling(file: StoredFile, *, blobs: bool) -> Entry:
    sibling: Entry = {"rfilename": file.path}
    if blobs:
        sibling["size"] = file.size_bytes
        sibling["blobId"] = file.git_oid
        if file.sha256 is not None:
            sibling["lfs"] = {
                "sha256": file.sha256,
                "size": file.size_bytes,
                "pointerSize": file.pointer_bytes,
            }
    return sibling
