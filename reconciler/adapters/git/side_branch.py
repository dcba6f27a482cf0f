"""Commits a file to a branch that is not checked out, by plumbing alone, and pushes it.

The checkout, its index and its branch stay as they are. The branch holds all that HEAD holds, and
the file; it only ever grows, so that nothing has to be pushed by force.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reconciler.adapters.base.files import translated
from reconciler.adapters.git.command import Git
from reconciler.adapters.git.place import blob_at, commit_at, is_ancestor
from reconciler.core.ports.repository import Saved
from reconciler.errors import Refused, Unreachable

_NAME = "reconciler"


def expect_side_branch(git: Git, branch: str) -> None:
    """See that `branch` is one that may be moved behind everybody's back. Raises `Refused`."""
    if git.run("check-ref-format", f"refs/heads/{branch}").code:
        raise Refused(f"{branch!r} is no name of a branch", hint="such as reconciler/lock")
    head = git.run("symbolic-ref", "--quiet", "HEAD").text
    ref = f"refs/heads/{branch}"
    where = git.ask("for-each-ref", "--format=%(worktreepath)", ref).text
    if head == ref or where:
        raise Refused(
            f"branch {branch} is checked out in {where or git.folder}, and a commit to it would "
            "change what is there",
            hint="name a branch for the lock alone, such as reconciler/lock",
        )


def save_on_branch(
    git: Git,
    path: str,
    branch: str,
    *,
    message: Callable[[bytes | None, bytes], str],
    remote_more: Mapping[str, str],
) -> Saved | None:
    """Commit the file at `path` as it is now, and push that; see the port `Repository`."""
    expect_side_branch(git, branch)
    file = git.folder / path
    head = commit_at(git, "HEAD")
    if head is None or not file.is_file():
        return None
    blob = git.ask("hash-object", "-w", "--", path).text
    if blob_at(git, head, path) == blob:
        return None
    ref, pushed_ref = f"refs/heads/{branch}", f"refs/{_NAME}/pushed/{branch}"
    remote = _remote(git)
    tip, pushed = commit_at(git, ref), commit_at(git, pushed_ref)
    if tip and blob_at(git, tip, path) == blob and (not remote or tip == pushed):
        return None
    late = _fetch(git, remote, f"+{ref}:{pushed_ref}", remote_more) if remote else None
    pushed = commit_at(git, pushed_ref)
    new = _commit(git, path, blob, head=head, tips=[tip, pushed], message=message)
    if new != tip:
        git.ask("update-ref", "-m", f"{_NAME}: save {path}", ref, new, tip or "")
    if late is not None:
        raise _cannot_push(git, remote, branch, late.message) from late
    if remote and new != pushed:
        _push(git, remote, branch, remote_more)
        git.ask("update-ref", pushed_ref, new)
    return Saved(commit=new, branch=branch, pushed_to=remote)


def _commit(
    git: Git,
    path: str,
    blob: str,
    *,
    head: str,
    tips: Sequence[str | None],
    message: Callable[[bytes | None, bytes], str],
) -> str:
    """Give a commit that has the file, and all that `head` and the tips hold in its history."""
    known = [head, *(tip for tip in tips if tip)]
    parents = git.ask("merge-base", "--independent", *known).text.split("\n")
    base = head
    if head not in parents:
        base = next(each for each in parents if is_ancestor(git, head, each))
    before = blob_at(git, base, path)
    if before == blob and parents == [base]:
        return base
    with translated("temporary files", "writing"), tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.ask("read-tree", base, more=index)
        git.ask("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", more=index)
        tree = git.ask("write-tree", more=index).text
    old = git.ask("cat-file", "blob", before).out if before else None
    text = message(old, git.ask("cat-file", "blob", blob).out)
    return git.ask(
        *("commit-tree", tree, *(word for parent in parents for word in ("-p", parent))),
        *(["-S"] if git.run("config", "--type=bool", "commit.gpgSign").text == "true" else []),
        feed=text.encode(),
        more=_author(git),
    ).text


def _author(git: Git) -> dict[str, str]:
    """Give our own name where nobody is named."""
    own = {"NAME": _NAME, "EMAIL": f"{_NAME}@{socket.gethostname()}"}
    if all(git.run("config", f"user.{key.lower()}").code == 0 for key in own):
        return {}
    names = {f"GIT_{who}_{key}": own[key] for who in ("AUTHOR", "COMMITTER") for key in own}
    return {name: value for name, value in names.items() if name not in git.environ}


def _remote(git: Git) -> str:
    """Give the remote that the branch which is checked out follows, else the only one, else ""."""
    head = git.run("symbolic-ref", "--quiet", "HEAD").text
    named = git.run("for-each-ref", "--format=%(upstream:remotename)", head).text if head else ""
    if named and named != ".":
        return named
    remotes = git.ask("remote").text.split("\n")
    return remotes[0] if len(remotes) == 1 else ""


def _fetch(git: Git, remote: str, refspec: str, more: Mapping[str, str]) -> Unreachable | None:
    """Ask what the branch is there: another clone may have moved it. Gives what took too long.

    That there is none yet is usual, and whatever else is wrong, the push will tell.
    """
    try:
        git.run(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *(remote, refspec),
            more=more,
            asks_remote=True,
        )
    except Unreachable as error:
        return error
    return None


def _push(git: Git, remote: str, branch: str, more: Mapping[str, str]) -> None:
    ref = f"refs/heads/{branch}"
    try:
        answer = git.run(
            *("push", "--quiet", "--no-follow-tags", "--no-signed", "--recurse-submodules=no"),
            *(remote, f"{ref}:{ref}"),
            more=more,
            asks_remote=True,
        )
    except Unreachable as error:
        raise _cannot_push(git, remote, branch, error.message) from error
    if answer.code:
        raise _cannot_push(git, remote, branch, answer.said)


def _cannot_push(git: Git, remote: str, branch: str, why: str) -> Unreachable:
    return Unreachable(
        f"{branch} cannot be pushed to {remote}: {why}", hint=git.try_it("push", remote, branch)
    )
