"""What the embedded hub holds: repositories with commits, branches, tags, and who may see them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from reconciler.core.names import Commit, RelPath, RepoId, Sha256
from reconciler.errors import UsageError

DEFAULT_BRANCH: Final = "main"

# Bytes in memory, or a file on disk that must not change while the hub serves it.
Data = bytes | Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file as a commit holds it.

    `git_oid` is the git blob's sha1: of the content for small files, of the pointer that stands for
    it for large ones. `sha256` is None for the former, as the hub tells it for the latter alone.
    """

    path: RelPath
    data: Data
    size_bytes: int
    git_oid: str
    sha256: Sha256 | None
    pointer_bytes: int

    @property
    def xet_hash(self) -> str:
        """The hub's other digest of large files: as long as a sha256, and never equal to it."""
        return hashlib.sha256(f"xet {self.sha256}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCommit:
    """One commit: its name, its message and every file of it by path, in the order of paths."""

    id: Commit
    title: str
    number: int
    files: Mapping[str, StoredFile]

    @property
    def date(self) -> str:
        """A made-up moment: the n-th commit of a repository is made n minutes into 2026."""
        hours, minutes = divmod(self.number, 60)
        return f"2026-01-{1 + hours // 24:02}T{hours % 24:02}:{minutes:02}:00.000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One repository now. Every change makes a new value, so that an answer sees one state."""

    id: RepoId
    commits: Mapping[str, StoredCommit] = field(default_factory=dict)
    branches: Mapping[str, Commit] = field(default_factory=dict)
    tags: Mapping[str, Commit] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    disabled: bool = False
    readers: frozenset[str] = frozenset()

    def find_commit(self, revision: str) -> StoredCommit | None:
        """Give the commit that a branch, a tag or a full commit names; None where none does."""
        name = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(name)


class Repositories:
    """Every repository of the hub. Safe to use from several threads.

    Files of at least `large_file_bytes`, and every GGUF file, are kept as large files (LFS).
    """

    def __init__(self, *, large_file_bytes: int) -> None:
        self._large_file_bytes = large_file_bytes
        self._lock = threading.Lock()
        self._repositories: dict[str, Repository] = {}
        self._renamed: dict[str, RepoId] = {}
        self._tokens: set[str] = set()

    def find(self, repo: str) -> Repository | None:
        """Give the repository as it is now, by its present name."""
        return self._repositories.get(repo)

    def new_name(self, repo: str) -> RepoId | None:
        """Give the name a repository that was once called `repo` has now."""
        return self._renamed.get(repo)

    def knows_token(self, token: str) -> bool:
        """Whether `token` is one that was given out."""
        return token in self._tokens

    def add_token(self, token: str) -> None:
        """Make `token` valid, with no access to anything private or gated."""
        self._tokens.add(token)

    def add_commit(
        self, repo: str, files: Mapping[str, Data | None], *, branch: str, title: str
    ) -> Commit:
        """Commit `files` on top of `branch`, and create repository and branch where missing.

        A new branch starts from the default branch. A path given as None is removed.
        """
        stored = {
            path: None if data is None else self._store(RelPath(path), data)
            for path, data in files.items()
        }
        with self._lock:
            old = self._repositories.get(repo) or Repository(id=RepoId(repo))
            base = old.find_commit(branch) or old.find_commit(DEFAULT_BRANCH)
            parent = base.id if base else ""
            kept: dict[str, StoredFile | None] = {**(base.files if base else {}), **stored}
            content = {path: file for path, file in sorted(kept.items()) if file is not None}
            number = len(old.commits)
            tree = "".join(f"{path}\0{file.git_oid}\n" for path, file in content.items())
            name = f"{old.id}\0{parent}\0{number}\0{branch}\0{title}\0{tree}"
            commit = StoredCommit(
                id=Commit(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()),
                title=title,
                number=number,
                files=MappingProxyType(content),
            )
            self._repositories[repo] = replace(
                old,
                commits={**old.commits, commit.id: commit},
                branches={**old.branches, branch: commit.id},
            )
            self._renamed.pop(repo, None)
        return commit.id

    def add_tag(self, repo: str, tag: str, commit: str) -> None:
        """Point `tag` at `commit`."""
        self.change(repo, lambda old: replace(old, tags={**old.tags, tag: Commit(commit)}))

    def rename(self, repo: str, new: str) -> None:
        """Give the repository another name; the old one leads there from now on."""
        target = RepoId(new)
        self.change(repo, lambda old: replace(old, id=target))
        with self._lock:
            self._repositories[new] = self._repositories.pop(repo)
            self._renamed[repo] = target

    def change(self, repo: str, change: Callable[[Repository], Repository]) -> None:
        """Replace the repository by what `change` makes of it; `UsageError` if there is none."""
        with self._lock:
            old = self._repositories.get(repo)
            if old is None:
                raise UsageError(f"the embedded hub has no repository {repo}")
            self._repositories[repo] = change(old)

    def _store(self, path: RelPath, data: Data) -> StoredFile:
        size = data_size_bytes(data)
        if size < self._large_file_bytes and not path.endswith(".gguf"):
            content = data if isinstance(data, bytes) else data.read_bytes()
            return StoredFile(
                path=path,
                data=content,
                size_bytes=size,
                git_oid=_git_oid(content),
                sha256=None,
                pointer_bytes=0,
            )
        digest = _sha256(data)
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n"
        ).encode()
        return StoredFile(
            path=path,
            data=data,
            size_bytes=size,
            git_oid=_git_oid(pointer),
            sha256=digest,
            pointer_bytes=len(pointer),
        )


def data_size_bytes(data: Data) -> int:
    """Give the size of bytes or of a file."""
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sha256(data: Data) -> Sha256:
    if isinstance(data, bytes):
        return Sha256(hashlib.sha256(data).hexdigest())
    with data.open("rb") as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())
