"""Moves a checkout forward to a newer commit, and loses nothing that lies in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.adapters.git.command import Git
from reconciler.adapters.git.place import Place, blob_at
from reconciler.errors import Refused

_MISSING: Final = "000000"
_SUBMODULE: Final = "160000"
_FILE: Final = "100"
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What a commit does to one path; a mode of zeros is for one that is not there."""

    path: str
    old_mode: str
    new_mode: str
    old: str
    new: str


def fast_forward(
    git: Git, place: Place, *, before: str, after: str, upstream: str, kept_on: str | None
) -> None:
    """Check `after` out on the branch that is at `before`, which it descends from.

    `git` runs in the top folder of the checkout.

    Raises:
        Refused: something here is in the way, and stays as it is.
        ReconcilerError: git failed.
    """
    lock = place.git_dir / "index.lock"
    if lock.exists():
        raise Refused(
            f"{lock} is there: another git works here, or one was cut short",
            hint=f"if none runs, see `git -C {place.top} status`, and remove {lock}",
        )
    changes = [
        change
        for change in _changes(git, before, after)
        if _SUBMODULE not in (change.old_mode, change.new_mode)
    ]
    in_the_way = _in_the_way(git, place.top, changes)
    yielding = _yielding(git, place.top, in_the_way, kept_on=kept_on)
    if blocking := [change.path for change in in_the_way if change not in yielding]:
        more = f" and {rest} more" if (rest := len(blocking) - _MOST_NAMED) > 0 else ""
        raise Refused(
            f"{upstream} changes {', '.join(blocking[:_MOST_NAMED])}{more}, "
            f"edited in {place.top} and not committed",
            hint=f"look at `git -C {place.top} status`; commit the edits on a branch of their own, "
            "or put them away with `git stash -u`",
        )
    _take_theirs(git, yielding)
    answer = git.run(
        *("merge", "--ff-only", "--quiet", "--no-stat", "--no-autostash", "--no-overwrite-ignore"),
        after,
        # A partial clone fetches only now what it lacks.
        asks_remote=True,
        finishes=True,
    )
    if answer.code:
        raise Refused(
            f"{place.top} cannot be moved forward to {after[:12]}: {answer.said}",
            hint=git.try_it("merge", "--ff-only", upstream),
        )


def _changes(git: Git, before: str, after: str) -> Iterator[_Change]:
    fields = git.ask("diff-tree", "-r", "-z", "--no-renames", before, after).text.split("\0")
    for head, path in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, new_mode, old, new, _ = head.removeprefix(":").split(" ")
        yield _Change(path=path, old_mode=old_mode, new_mode=new_mode, old=old, new=new)


def _in_the_way(git: Git, top: Path, changes: Sequence[_Change]) -> list[_Change]:
    """Find the changed paths that hold something here that is not committed."""
    edited = git.ask(
        *("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=all"),
        "HEAD",
    ).text.split("\0")
    names = frozenset(edited)
    return [
        change
        for change in changes
        # A file that is ignored is one that somebody may need, all the same; one that is gone holds
        # nothing, and git brings it back.
        if (change.path in names or change.old_mode == _MISSING) and _mode(top / change.path)
    ]


def _yielding(
    git: Git, top: Path, in_the_way: Sequence[_Change], *, kept_on: str | None
) -> list[_Change]:
    """Find those whose bytes here are not lost: upstream brings the same, or a branch has them."""
    files = [
        change
        for change in in_the_way
        if change.new_mode.startswith(_FILE) and stat.S_ISREG(_mode(top / change.path))
    ]
    if not files:
        return []
    staged = _staged(git, files)
    yielding = []
    for change in files:
        ours = git.ask("hash-object", "--", change.path).text
        kept = kept_on and blob_at(git, f"refs/heads/{kept_on}", change.path)
        # What was added to the index, and edited again, would be lost from there.
        in_index = staged.get(change.path, set())
        if ours in (change.new, kept) and in_index <= {change.old, change.new, ours}:
            yielding.append(change)
    return yielding


def _staged(git: Git, changes: Sequence[_Change]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    listed = git.ask("ls-files", "--stage", "-z", "--", *(change.path for change in changes))
    for entry in filter(None, listed.text.split("\0")):
        head, _, path = entry.partition("\t")
        found.setdefault(path, set()).add(head.split(" ")[1])
    return found


def _take_theirs(git: Git, changes: Sequence[_Change]) -> None:
    if not changes:
        return
    entries = "".join(f"{change.new_mode} {change.new}\t{change.path}\0" for change in changes)
    git.ask("update-index", "-z", "--index-info", feed=os.fsencode(entries))
    paths = "".join(f"{change.path}\0" for change in changes)
    git.ask("checkout-index", "--force", "-z", "--stdin", feed=os.fsencode(paths))


def _mode(path: Path) -> int:
    """Give the mode of what lies at a path; 0 where nothing does."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
