"""The lock on a branch of its own: nothing that is checked out in a real repository is touched."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.adapters.git.checkout import Checkout
from reconciler.core.lock import Asked, Lock, Pin
from reconciler.core.lock_message import lock_message
from reconciler.core.names import ModelId
from reconciler.core.ports.repository import Saved
from reconciler.errors import Refused, Unreachable
from tests.support.git_host import GitHost, cloned, environment

BRANCH = "reconciler/home"


@pytest.fixture
def git(tmp_path: Path) -> GitHost:
    """A repository of one commit, cloned to the host."""
    return cloned(tmp_path)


def save(git: GitHost, text: str, *, more: Mapping[str, str] | None = None) -> Saved | None:
    """Write the lock, and keep it as the watch does; nothing that is checked out may change."""
    lock = git.checkout / "home.yaml.lock"
    lock.write_text(text)
    before = (git.here("rev-parse", "HEAD"), git.here("status", "--porcelain=v2", "--branch"))
    checkout = Checkout.open(git.checkout, environ=environment(git.home) | dict(more or {}))
    try:
        return checkout.save(lock, BRANCH, message=lambda old, new: f"{old!r} {new!r}\n")
    finally:
        head = git.here("rev-parse", "HEAD"), git.here("status", "--porcelain=v2", "--branch")
        assert head == before


def pushed(git: GitHost, what: str = "home.yaml.lock") -> str:
    """Give a file of the branch as the origin has it."""
    return git.there("show", f"{BRANCH}:{what}")


def test_lock_is_committed_and_pushed_once(git: GitHost) -> None:
    """It lies on top of what is checked out; the same lock makes no second commit."""
    saved = save(git, "a\n")
    assert saved is not None
    assert saved.pushed_to == "origin"
    assert git.there("rev-parse", BRANCH) == saved.commit
    assert git.there("rev-parse", f"{BRANCH}^") == git.here("rev-parse", "HEAD")
    assert (pushed(git), pushed(git, "home.yaml")) == ("a", "one")
    assert git.there("log", "-1", "--format=%s", BRANCH) == "None b'a\\n'"
    assert save(git, "a\n") is None
    assert save(git, "b\n") is not None
    assert git.there("log", "-1", "--format=%s", BRANCH) == "b'a\\n' b'b\\n'"
    assert git.there("rev-list", "--count", BRANCH) == "3"


def test_lock_that_was_merged_is_not_committed_again(git: GitHost) -> None:
    """Once the branch that is checked out has it there is nothing to do; the next starts there."""
    save(git, "a\n")
    git.at_desk("pull", "--quiet", "--no-rebase", "origin", BRANCH)
    git.at_desk("push", "--quiet", "origin", "HEAD:main", f":{BRANCH}")
    (git.checkout / "home.yaml.lock").unlink()
    git.here("pull", "--quiet", "--ff-only")
    assert save(git, "a\n") is None
    saved = save(git, "b\n")
    assert saved is not None
    assert git.there("rev-parse", f"{BRANCH}^") == git.here("rev-parse", "HEAD")


def test_lock_branch_takes_in_what_is_checked_out(git: GitHost) -> None:
    """Where both went on, the next commit holds both, so that it can be pushed without force."""
    save(git, "a\n")
    git.push("two\n")
    git.here("pull", "--quiet", "--ff-only")
    assert save(git, "b\n") is not None
    assert (pushed(git), pushed(git, "home.yaml")) == ("b", "two")
    assert git.there("merge-base", "--is-ancestor", "main", BRANCH) == ""


def test_lock_branch_keeps_what_others_commit_to_it(git: GitHost) -> None:
    """A commit that somebody pushed to the branch stays in its history and its files."""
    save(git, "a\n")
    git.at_desk("fetch", "--quiet", "origin")
    git.at_desk("switch", "--quiet", "--detach", f"origin/{BRANCH}")
    (git.desk / "review.txt").write_text("looks good\n")
    git.at_desk("add", "-A")
    git.at_desk("commit", "--quiet", "-m", "review")
    git.at_desk("push", "--quiet", "origin", f"HEAD:{BRANCH}")
    assert save(git, "b\n") is not None
    assert (pushed(git), pushed(git, "review.txt")) == ("b", "looks good")


def test_lock_branch_survives_a_new_clone(git: GitHost) -> None:
    """A host that was set up anew goes on where the branch is at the origin."""
    save(git, "a\n")
    shutil.rmtree(git.checkout)
    git.clone("--single-branch")
    assert save(git, "b\n") is not None
    assert git.there("rev-list", "--count", BRANCH) == "3"
    assert save(git, "b\n") is None


def test_push_that_failed_is_made_up_for(git: GitHost) -> None:
    """What could not be pushed is committed here, told, and pushed the next time."""
    elsewhere = git.home / "elsewhere.git"
    git.origin.rename(elsewhere)
    with pytest.raises(Unreachable, match="cannot be pushed to origin"):
        save(git, "a\n")
    assert git.here("show", f"{BRANCH}:home.yaml.lock") == "a"
    elsewhere.rename(git.origin)
    saved = save(git, "a\n")
    assert saved is not None
    assert git.there("rev-parse", BRANCH) == saved.commit == git.here("rev-parse", BRANCH)
    assert save(git, "a\n") is None


def test_push_that_is_refused_tells_the_servers_reason(git: GitHost) -> None:
    """What the server says is told, without a login that stands in it; nothing is forced."""
    hook = git.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\necho 'protected: see https://ada:s3cret@example.org/why' >&2\nexit 1\n"
    )
    hook.chmod(0o755)
    with pytest.raises(Unreachable, match=r"protected: see https://example\.org/why") as caught:
        save(git, "a\n")
    assert "s3cret" not in str(caught.value)
    assert BRANCH not in git.there("branch", "--list", BRANCH)


def test_push_that_hangs_is_given_up(git: GitHost) -> None:
    """A remote that never answers costs the time that was allowed, and says where."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"git://127.0.0.1:{server.getsockname()[1]}/manifests"
        git.here("remote", "set-url", "origin", url)
        (git.checkout / "home.yaml.lock").write_text("a\n")
        checkout = Checkout.open(git.checkout, environ=environment(git.home), remote_seconds=0.3)
        with pytest.raises(Unreachable, match="cannot be pushed to origin") as caught:
            checkout.save(git.checkout / "home.yaml.lock", BRANCH, message=lambda *_: "lock\n")
    assert "push" in caught.value.hint
    assert git.here("show", f"{BRANCH}:home.yaml.lock") == "a"


def test_lock_without_a_remote_stays_here(git: GitHost) -> None:
    """A repository of the host alone gets the branch, and nothing is pushed."""
    git.here("remote", "remove", "origin")
    saved = save(git, "a\n")
    assert saved is not None
    assert saved.pushed_to == ""
    assert save(git, "a\n") is None


def test_branch_that_is_checked_out_is_refused(git: GitHost, tmp_path: Path) -> None:
    """Not the branch of this checkout, not that of another worktree, and no name that is none."""
    checkout = Checkout.open(git.checkout, environ=environment(git.home))
    lock = git.checkout / "home.yaml.lock"
    git.here("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    for branch in ("main", "side"):
        with pytest.raises(Refused, match=f"branch {branch} is checked out"):
            checkout.expect_side_branch(branch, lock)
        with pytest.raises(Refused, match=f"branch {branch} is checked out"):
            checkout.save(lock, branch, message=lambda *_: "lock\n")
    with pytest.raises(Refused, match="no name of a branch"):
        checkout.expect_side_branch("a..b", lock)
    with pytest.raises(Refused, match="does not lie in the repository"):
        checkout.expect_side_branch(BRANCH, tmp_path / "home.yaml.lock")


def test_author_is_the_one_git_knows_else_reconciler(git: GitHost) -> None:
    """Who is named in git's config made the commit; without one, the program on this host did."""
    save(git, "a\n")
    host = socket.gethostname()
    made = git.there("log", "-1", "--format=%an <%ae> %cn <%ce>", BRANCH)
    assert made == f"reconciler <reconciler@{host}> reconciler <reconciler@{host}>"
    git.here("config", "user.name", "Grace")
    git.here("config", "user.email", "grace@example.org")
    save(git, "b\n")
    assert git.there("log", "-1", "--format=%an <%ae>", BRANCH) == "Grace <grace@example.org>"


def lock_of(**sources: str) -> Lock:
    """Give a lock of pins without files."""
    return Lock(
        pins={
            ModelId(name): Pin(asked=Asked(source=source), files=())
            for name, source in sources.items()
        }
    )


def test_message_names_the_models_whose_pins_changed() -> None:
    """Few are named in the subject, many are counted there; all stand below."""
    before = lock_of(chat="a", old="b", same="c")
    message = lock_message(before, lock_of(chat="new", code="d", same="c"))
    assert message == "Pin chat, code\n\n- chat: updated\n- code: added\n- old: removed\n"
    assert lock_message(before, lock_of(chat="a", same="c")) == "Unpin old\n\n- old: removed\n"
    assert lock_message(before, before) == "Write the lock anew\n"
    many = lock_of(**{f"model-{number}": "x" for number in range(20)})
    subject, _, body = lock_message(Lock(), many).partition("\n\n")
    assert subject == "Pin 20 models"
    assert body.count("added") == 20
