"""The hub's metadata, as the engine asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.core.names import Commit, RelPath, RepoId, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a repository at a commit. `sha256` is None for small files kept in git itself."""

    path: RelPath
    size_bytes: int
    sha256: Sha256 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What a revision stands for now, and when its repository was last changed, in UTC.

    `modified_at` is None where the hub does not say.
    """

    commit: Commit
    modified_at: datetime | None


class Hub(Protocol):
    """The hub's metadata: what a name means, and which files there are."""

    def resolve_revision(self, repo: RepoId, revision: str | None, *, anew: bool = False) -> Commit:
        """Give the commit that `revision` (None: the default branch) stands for.

        With `anew` it is what the hub says now; else it may be what it said some hours ago.

        Raises:
            RepositoryMissing, RevisionMissing, RepositoryGated, TokenRejected: a person must act.
            Unreachable, RateLimited, Offline: it may work later.
        """

    def look_up(self, repo: RepoId, revision: str | None) -> Upstream:
        """Give what the hub says now of `revision`, in one request.

        Raises what `resolve_revision` raises.
        """

    def list_files(
        self, repo: RepoId, commit: Commit, *, anew: bool = False
    ) -> tuple[RemoteFile, ...]:
        """Give every file of the repository at `commit`, whole, however many pages it takes.

        With `anew` the hub says so now; else it may have said so at any time. Raises what
        `resolve_revision` raises.
        """
