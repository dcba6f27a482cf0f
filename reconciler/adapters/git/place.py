"""Where a checkout is, what it is of, and what it follows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.adapters.git.command import Git
from reconciler.errors import ReconcilerError, Refused

# What git leaves in its folder while somebody is in the middle of it, and how to get out.
_UNFINISHED: Final = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A checkout: its top folder, and git's own folder for it."""

    top: Path
    git_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What a branch follows: `ref` is what we know of `remote_ref` at `remote`, `name` its name."""

    ref: str
    name: str
    remote: str
    remote_ref: str


def find_place(git: Git) -> Place:
    """Give the checkout around git's folder. Raises `ReconcilerError`."""
    answer = git.run("rev-parse", "--show-toplevel", "--absolute-git-dir")
    if answer.code == 0:
        top, git_dir = answer.text.split("\n", 1)
        return Place(top=Path(top), git_dir=Path(git_dir))
    if "dubious ownership" in answer.said:
        raise ReconcilerError(
            f"{git.folder} lies in a repository that belongs to another user, and git will not "
            "work in it",
            hint="run as its owner; or let it be, as the user that reconcile runs as: "
            "git config --global --add safe.directory PATH",
        )
    if "not a git repository" in answer.said:
        raise ReconcilerError(
            f"{git.folder} does not lie in a git repository",
            hint="clone the repository of the manifest there",
        )
    raise ReconcilerError(
        f"{git.folder} is no checkout that git can use: {answer.said}", hint=git.try_it("status")
    )


def expect_nothing_unfinished(git: Git, place: Place) -> None:
    """See that nobody is in the middle of something. Raises `Refused`."""
    for name, doing in _UNFINISHED.items():
        if (place.git_dir / name).exists():
            raise Refused(
                f"a {doing} is under way in {place.top}",
                hint=f"finish it, or give it up: git -C {git.folder} {doing} "
                + ("reset" if doing == "bisect" else "--abort"),
            )


def checked_out_branch(git: Git) -> str:
    """Give the name of the branch that is checked out. Raises `Refused` where none is."""
    answer = git.run("symbolic-ref", "--quiet", "HEAD")
    if answer.code:
        raise Refused(
            f"no branch is checked out in {git.folder}",
            hint=f"check one out: git -C {git.folder} switch BRANCH",
        )
    return answer.text.removeprefix("refs/heads/")


def upstream_of(git: Git, branch: str) -> Upstream:
    """Give what a branch follows. Raises `Refused` where it follows nothing."""
    fields = "%(upstream)%00%(upstream:short)%00%(upstream:remotename)%00%(upstream:remoteref)"
    answer = git.ask("for-each-ref", f"--format={fields}", f"refs/heads/{branch}")
    ref, name, remote, remote_ref = (answer.text or "\0\0\0").split("\0")
    if not ref:
        raise Refused(
            f"branch {branch} in {git.folder} follows no other",
            hint=f"say which: git -C {git.folder} branch --set-upstream-to origin/{branch}",
        )
    return Upstream(ref=ref, name=name, remote=remote, remote_ref=remote_ref)


def commit_at(git: Git, revision: str) -> str | None:
    """Give the commit that a name stands for, None where there is none."""
    answer = git.run("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
    return None if answer.code else answer.text


def blob_at(git: Git, commit: str, path: str) -> str | None:
    """Give the object of the file at `path` in a commit, None where there is none."""
    answer = git.run("rev-parse", "--quiet", "--verify", f"{commit}:{path}")
    return None if answer.code else answer.text


def is_ancestor(git: Git, older: str, newer: str) -> bool:
    """Whether `newer` holds all that `older` does. Raises `ReconcilerError`."""
    answer = git.run("merge-base", "--is-ancestor", older, newer)
    if answer.code > 1:
        raise ReconcilerError(
            f"the history of {git.folder} cannot be read: {answer.said}", hint=git.try_it("fsck")
        )
    return answer.code == 0
