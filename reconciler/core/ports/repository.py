"""The git repository that a manifest lives in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull brought: the commit that is checked out now, on which branch, from where."""

    commit: str
    branch: str
    upstream: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A commit of the lock on its branch. `pushed_to` is the remote that has it; empty: none is."""

    commit: str
    branch: str
    pushed_to: str


class Repository(Protocol):
    """A checkout of a branch, with the manifest in it.

    Every method raises `ReconcilerError` where git is missing, where there is no repository, or
    where git refuses to work in it.
    """

    def commit_of(self, files: Sequence[PurePath]) -> str:
        """Give the commit that `files` are of, with `+edits` where one was edited since.

        Empty where none of them is in the repository, or nothing was committed yet.
        """

    def pull(self, *, verify: bool, kept_on: str | None) -> Pulled | None:
        """Fetch the upstream of the branch that is checked out, and fast-forward to it.

        With `verify` only to a commit with a good signature. Nothing is merged, rebased or lost:
        an edit that is in the way makes it fail, unless its bytes are those that upstream brings,
        or those that are committed on the branch `kept_on`. None: there was nothing new.

        Raises:
            Unreachable: upstream does not answer, or refuses us.
            Refused: it cannot be done without losing or merging something; nothing was changed.
        """

    def save(
        self, file: PurePath, branch: str, *, message: Callable[[bytes | None, bytes], str]
    ) -> Saved | None:
        """Commit `file` as it is now to `branch`, and push that to the remote there is.

        What is checked out stays as it is. `message` is made from the bytes before (None: none)
        and after. None: it is committed and pushed already, or HEAD has it.

        Raises:
            Unreachable: the remote does not take it; it is committed here, and pushed next time.
            Refused: the branch is checked out, or the file is not in the repository.
        """
