"""Where a model comes from: what people write (`Source`), and where its bytes lie (`Origin`)."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.names import Commit, RelPath, RepoId


@dataclass(frozen=True, slots=True, kw_only=True)
class HubQuant:
    """`org/repo:QUANT`: the one file set of a repository that has this quant."""

    repo: RepoId
    quant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPath:
    """`hf://org/repo/path[@revision]` or a hub URL: one file (and its shards) by name."""

    repo: RepoId
    path: RelPath
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainUrl:
    """`https://…`: one file, whose sha256 the manifest must give."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPath:
    """`file:///…` or `./…`: one file (and its shards) on this machine, as an absolute path."""

    path: str


Source = HubQuant | HubPath | PlainUrl | LocalPath


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOrigin:
    """One file of a repository at a commit: immutable, so a URL built from it never changes."""

    repo: RepoId
    commit: Commit
    path: RelPath


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlOrigin:
    """One file at a URL."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOrigin:
    """One file on this machine, by absolute path."""

    path: str


Origin = HubOrigin | UrlOrigin | LocalOrigin
