"""A checkout of the manifest's repository; implements the port `Repository`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Self

from reconciler.adapters.base.urls import legible
from reconciler.adapters.git.command import REMOTE_SECONDS, Git
from reconciler.adapters.git.forward import fast_forward
from reconciler.adapters.git.place import (
    Place,
    Upstream,
    checked_out_branch,
    commit_at,
    expect_nothing_unfinished,
    find_place,
    is_ancestor,
    upstream_of,
)
from reconciler.adapters.git.side_branch import expect_side_branch, save_on_branch
from reconciler.core.ports.repository import Pulled, Saved
from reconciler.errors import ReconcilerError, Refused, Unreachable

_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15"


class Checkout:
    """The checkout that `open` found; implements the port `Repository`."""

    def __init__(self, git: Git, place: Place) -> None:
        self._git = git
        self._place = place

    @classmethod
    def open(
        cls, folder: Path, *, environ: Mapping[str, str], remote_seconds: float = REMOTE_SECONDS
    ) -> Self:
        """Find the checkout around a folder; `remote_seconds` is what asking a server may take.

        Raises:
            ReconcilerError: git is missing, there is no checkout, or git refuses to work in it.
        """
        place = find_place(Git(folder, environ=environ))
        git = Git(place.top, environ=environ, remote_seconds=remote_seconds)
        return cls(git, place)

    @property
    def top(self) -> Path:
        """Its top folder."""
        return self._place.top

    def stop(self) -> None:
        """End what is under way in another thread, and do nothing more."""
        self._git.stop()

    def commit_of(self, files: Sequence[PurePath]) -> str:
        """Give the commit that `files` are of; see the port."""
        names = [self._inside(file) for file in files]
        if not names:
            return ""
        answer = self._git.ask(
            *("status", "--porcelain=v2", "--branch", "-z", "--ignored=matching"),
            *("--untracked-files=all", "--no-renames", "--ignore-submodules=all", "--", *names),
        )
        lines = answer.text.split("\0")
        commit = next(line for line in lines if line.startswith("# branch.oid ")).split(" ")[2]
        edits = [line for line in lines if line and not line.startswith("# ")]
        if commit == "(initial)":
            return ""
        if not edits:
            return commit
        is_here = self._git.ask("ls-files", "-z", "--", *names).out
        return f"{commit}+edits" if is_here else ""

    def pull(self, *, verify: bool, kept_on: str | None) -> Pulled | None:
        """Fetch, and fast-forward to what is new; see the port."""
        git = self._git
        expect_nothing_unfinished(git, self._place)
        branch = checked_out_branch(git)
        upstream = upstream_of(git, branch)
        before = commit_at(git, "HEAD")
        self._fetch(upstream)
        after = commit_at(git, upstream.ref)
        if before is None or after is None:
            raise Refused(
                f"{upstream.name if before else branch} in {self.top} has no commit",
                hint=git.try_it("status"),
            )
        if is_ancestor(git, after, before):
            return None
        if not is_ancestor(git, before, after):
            raise self._gone_apart(branch, upstream)
        if verify:
            self._expect_signature(after, upstream)
        fast_forward(
            git,
            self._place,
            before=before,
            after=after,
            upstream=upstream.name,
            kept_on=kept_on,
        )
        subject = git.ask("log", "-1", "--no-show-signature", "--format=%s", after).out
        told = legible(subject.decode("utf-8", "replace"))
        return Pulled(commit=after, branch=branch, upstream=upstream.name, subject=told)

    def save(
        self, file: PurePath, branch: str, *, message: Callable[[bytes | None, bytes], str]
    ) -> Saved | None:
        """Commit `file` to `branch`, and push it; see the port."""
        return save_on_branch(
            self._git, self._inside(file), branch, message=message, remote_more=self._remote_more()
        )

    def expect_side_branch(self, branch: str, file: PurePath) -> None:
        """See that `file` can be committed to `branch`, as far as that is known beforehand.

        Raises:
            Refused: it is checked out, or no name of a branch; or the file lies elsewhere.
        """
        expect_side_branch(self._git, branch)
        self._inside(file)

    def _inside(self, file: PurePath) -> str:
        try:
            return str(file.relative_to(self.top))
        except ValueError:
            raise Refused(
                f"{file} does not lie in the repository {self.top}",
                hint="keep the manifest and its lock in one repository",
            ) from None

    def _fetch(self, upstream: Upstream) -> None:
        if upstream.remote == ".":
            return
        answer = self._git.run(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *(upstream.remote, upstream.remote_ref),
            more=self._remote_more(),
            asks_remote=True,
        )
        if answer.code:
            raise Unreachable(
                f"{upstream.name} cannot be fetched: {answer.said}",
                hint=self._git.try_it("fetch", upstream.remote),
            )

    def _remote_more(self) -> Mapping[str, str]:
        """Give what keeps ssh from asking anybody; one that a person has set up stays as it is."""
        named = {"GIT_SSH_COMMAND", "GIT_SSH"} & self._git.environ.keys()
        if named or self._git.run("config", "--get", "core.sshCommand").code == 0:
            return {}
        return {"GIT_SSH_COMMAND": _SSH}

    def _gone_apart(self, branch: str, upstream: Upstream) -> ReconcilerError:
        return Refused(
            f"{branch} in {self.top} has commits that {upstream.name} has not: made here, or taken "
            "away there by force",
            hint=f"see both: git -C {self.top} log --oneline --left-right HEAD...{upstream.name}; "
            f"to give up those here: git -C {self.top} reset --keep {upstream.name}",
        )

    def _expect_signature(self, commit: str, upstream: Upstream) -> None:
        answer = self._git.run("verify-commit", commit)
        if answer.code:
            raise Refused(
                f"{upstream.name} is at {commit[:12]}, which has no good signature: "
                f"{answer.said or 'it is not signed'}",
                hint="see that its author signs it and git here knows the key: "
                f"git -C {self.top} verify-commit -v {commit[:12]}",
            )
