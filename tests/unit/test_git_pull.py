"""A pull brings what is new and loses nothing: real repositories, and what people leave in them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from reconciler.adapters.git.checkout import Checkout
from reconciler.core.ports.repository import Pulled
from reconciler.errors import ReconcilerError, Refused, Unreachable
from tests.support.git_host import GitHost, cloned, environment, make_key


@pytest.fixture
def git(tmp_path: Path) -> GitHost:
    """A repository of one commit, cloned to the host."""
    return cloned(tmp_path)


def pull(git: GitHost, *, verify: bool = False, kept_on: str | None = None) -> Pulled | None:
    """Pull as the watch does, in an environment that knows nobody."""
    checkout = Checkout.open(git.checkout, environ=environment(git.home), remote_seconds=20)
    return checkout.pull(verify=verify, kept_on=kept_on)


def refused(git: GitHost, *words: str, verify: bool = False) -> ReconcilerError:
    """Pull what must be refused, with these words in message or hint; nothing may have changed."""
    before = (git.here("rev-parse", "HEAD"), git.here("status", "--porcelain"), tree(git.checkout))
    with pytest.raises(ReconcilerError) as caught:
        pull(git, verify=verify)
    for word in words:
        assert word in f"{caught.value.message}\n{caught.value.hint}"
    assert caught.value.hint
    after = (git.here("rev-parse", "HEAD"), git.here("status", "--porcelain"), tree(git.checkout))
    assert before == after
    return caught.value


def tree(folder: Path) -> dict[str, bytes]:
    """Give the bytes of every file that is not git's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_pull_brings_what_is_new_and_nothing_where_nothing_is(git: GitHost) -> None:
    """It tells commit, branch and subject of what it brought; again, it brings nothing."""
    commit = git.push("two\n", subject="second")
    assert pull(git) == Pulled(
        commit=commit, branch="main", upstream="origin/main", subject="second"
    )
    assert git.manifest.read_text() == "two\n"
    assert git.here("status", "--porcelain", "--branch") == "## main...origin/main"
    assert pull(git) is None


def test_pull_tells_of_a_commit_in_one_line_of_bounded_length(git: GitHost) -> None:
    """Who commits decides neither what a terminal does, nor how long the log grows."""
    git.push("two\n")
    message = git.home / "message"
    message.write_bytes(b"\x1b]0;mine\x07 \xff \xc2\x9b31m\r" + b"x" * 100_000)
    git.at_desk("commit", "--quiet", "--amend", "--file", str(message))
    git.at_desk("push", "--quiet", "--force", "origin", "HEAD:main")
    pulled = pull(git)
    assert pulled is not None
    assert pulled.subject.startswith("]0;mine")
    assert len(pulled.subject) < 400
    assert not {"\x1b", "\x07", "\x9b", "\r", "\n", "\udcff"} & set(pulled.subject)


def test_pull_leaves_commits_that_only_the_host_has(git: GitHost) -> None:
    """Local commits on top of upstream are no trouble, and are not pushed."""
    git.manifest.write_text("mine\n")
    git.here("commit", "--quiet", "-am", "mine")
    assert pull(git) is None
    assert git.manifest.read_text() == "mine\n"
    assert git.there("log", "-1", "--format=%s", "main") == "first"


def test_pull_never_merges_what_went_apart(git: GitHost) -> None:
    """Commits on both sides are told of, and neither is touched."""
    git.manifest.write_text("mine\n")
    git.here("commit", "--quiet", "-am", "mine")
    git.push("theirs\n")
    refused(git, "main", "origin/main has not", "reset --keep")


def test_pull_does_not_follow_a_forced_push(git: GitHost) -> None:
    """A branch that was rewritten upstream leaves the host where it was, the second time too."""
    git.push("two\n")
    assert pull(git) is not None
    git.at_desk("reset", "--quiet", "--hard", "HEAD~1")
    (git.desk / "home.yaml").write_text("three\n")
    git.at_desk("commit", "--quiet", "-am", "rewritten")
    git.at_desk("push", "--quiet", "--force", "origin", "HEAD:main")
    first = refused(git, "taken away there by force")
    assert refused(git).message == first.message
    assert git.manifest.read_text() == "two\n"


def test_pull_keeps_edits_that_are_in_its_way(git: GitHost) -> None:
    """An edit of a file that upstream changes is named; it stays, staged or not."""
    git.push("two\n")
    git.manifest.write_text("mine\n")
    refused(git, "home.yaml", "not committed", "stash")
    git.here("add", "home.yaml")
    refused(git, "home.yaml")
    assert git.manifest.read_text() == "mine\n"


def test_pull_keeps_edits_that_are_not_in_its_way(git: GitHost) -> None:
    """Another file that is edited, or not tracked, stays as it is beside what is new."""
    git.push("other\n", file="other.txt")
    assert pull(git) is not None
    (git.checkout / "other.txt").write_text("mine\n")
    (git.checkout / "notes.txt").write_text("mine, too\n")
    git.push("two\n")
    assert pull(git) is not None
    assert tree(git.checkout) == {
        "home.yaml": b"two\n",
        "notes.txt": b"mine, too\n",
        "other.txt": b"mine\n",
    }


@pytest.mark.parametrize("ignored", [False, True])
def test_pull_keeps_untracked_files_that_are_in_its_way(git: GitHost, ignored: bool) -> None:
    """A file that nobody committed is not overwritten, not even one that git is to ignore."""
    if ignored:
        (git.checkout / ".git" / "info" / "exclude").write_text("new.yaml\n")
    (git.checkout / "new.yaml").write_text("mine\n")
    git.push("theirs\n", file="new.yaml")
    refused(git, "new.yaml")


def test_pull_takes_edits_that_upstream_has_made_too(git: GitHost) -> None:
    """What was written here and committed elsewhere with the same bytes is no edit any more."""
    git.push("two\n")
    git.push("lock\n", file="home.yaml.lock")
    git.manifest.write_text("two\n")
    (git.checkout / "home.yaml.lock").write_text("lock\n")
    assert pull(git) is not None
    assert git.here("status", "--porcelain") == ""


def test_pull_replaces_what_a_branch_keeps(git: GitHost) -> None:
    """An edit gives way to upstream's where the branch for the lock has it, and only then."""
    lock = git.checkout / "home.yaml.lock"
    lock.write_text("ours\n")
    git.push("theirs\n", file="home.yaml.lock")
    refused(git, "home.yaml.lock")
    checkout = Checkout.open(git.checkout, environ=environment(git.home))
    checkout.save(lock, "kept", message=lambda _old, _new: "lock\n")
    lock.write_text("ours, edited again\n")
    with pytest.raises(Refused, match=r"home\.yaml\.lock"):
        pull(git, kept_on="kept")
    lock.write_text("ours\n")
    assert pull(git, kept_on="kept") is not None
    assert lock.read_text() == "theirs\n"
    assert git.here("status", "--porcelain") == ""


def test_pull_keeps_what_only_the_index_holds(git: GitHost) -> None:
    """Bytes that were staged, and are neither on disk nor in a commit, are not lost."""
    git.manifest.write_text("staged\n")
    git.here("add", "home.yaml")
    git.manifest.write_text("two\n")
    git.push("two\n")
    refused(git, "home.yaml")
    assert git.here("show", ":home.yaml") == "staged"


def test_pull_needs_a_branch_that_follows_another(git: GitHost) -> None:
    """A detached HEAD and a branch without upstream are each told with the command that helps."""
    git.push("two\n")
    git.here("switch", "--quiet", "-c", "alone")
    refused(git, "alone", "--set-upstream-to")
    git.here("switch", "--quiet", "--detach")
    refused(git, "no branch", "switch BRANCH")


def test_pull_leaves_work_that_is_under_way_alone(git: GitHost) -> None:
    """In the middle of a merge or a rebase nothing is pulled."""
    git.here("switch", "--quiet", "-c", "side")
    git.manifest.write_text("side\n")
    git.here("commit", "--quiet", "-am", "side")
    git.here("switch", "--quiet", "main")
    git.manifest.write_text("main\n")
    git.here("commit", "--quiet", "-am", "main")
    for doing in ("merge", "rebase"):
        subprocess.run(
            ["git", "-C", str(git.checkout), doing, "side"],
            env=git.environ,
            capture_output=True,
            check=False,
        )
        refused(git, f"a {doing} is under way", "--abort")
        git.here(doing, "--abort")


def test_pull_tells_of_an_index_that_another_git_holds(git: GitHost) -> None:
    """What a pull that was cut short leaves behind is named, and not removed."""
    git.push("two\n")
    lock = git.checkout / ".git" / "index.lock"
    lock.touch()
    refused(git, str(lock), "remove")
    lock.unlink()
    assert pull(git) is not None


def test_pull_that_was_killed_halfway_goes_on(git: GitHost) -> None:
    """Killed while it writes the files, all it takes is to remove git's lock: what is written
    already is what upstream has.
    """
    git.push("*.slow filter=slow\n", file=".gitattributes")
    git.push("first\n", file="x.slow")
    assert pull(git) is not None
    commit = git.push("two\n", file="home.yaml")
    git.push("second\n", file="x.slow")
    begun = git.home / "begun"
    os.mkfifo(begun)
    git.here("config", "filter.slow.smudge", f"echo $PPID >{begun}; sleep 60; cat")
    puller = subprocess.Popen(
        ["git", "-C", str(git.checkout), "pull", "--quiet", "--ff-only"],
        env=git.environ,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    begun.read_text()
    os.killpg(puller.pid, signal.SIGKILL)
    puller.wait()
    assert git.manifest.read_text() == "two\n"
    git.here("config", "--unset", "filter.slow.smudge")
    with pytest.raises(Refused, match=r"index\.lock"):
        pull(git)
    (git.checkout / ".git" / "index.lock").unlink()
    assert pull(git) is not None
    assert (git.checkout / "x.slow").read_text() == "second\n"
    assert git.here("status", "--porcelain") == ""
    assert git.here("rev-parse", "HEAD^") == commit


def test_pull_tells_where_there_is_nothing_to_pull_from(git: GitHost) -> None:
    """A remote that is gone, a branch that is gone there, a repository that is gone here."""
    git.there("branch", "-m", "main", "trunk")
    refused(git, "origin/main cannot be fetched", "git -C")
    shutil.move(git.origin, git.home / "elsewhere.git")
    with pytest.raises(Unreachable, match="cannot be fetched"):
        pull(git)
    shutil.rmtree(git.checkout / ".git")
    with pytest.raises(ReconcilerError, match="does not lie in a git repository"):
        pull(git)
    shutil.rmtree(git.checkout)
    with pytest.raises(ReconcilerError, match="No such file"):
        pull(git)


def test_pull_tells_where_git_is_missing(git: GitHost) -> None:
    """Without git on the path, that is said."""
    with pytest.raises(ReconcilerError, match="git cannot be run"):
        Checkout.open(git.checkout, environ={"PATH": str(git.home)})


def test_pull_gives_up_on_a_remote_that_never_answers(git: GitHost) -> None:
    """A server that takes the connection and says nothing costs the time that was allowed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        git.here("remote", "set-url", "origin", f"git://127.0.0.1:{port}/manifests")
        checkout = Checkout.open(git.checkout, environ=environment(git.home), remote_seconds=0.3)
        with pytest.raises(Unreachable, match=r"did not end within 0\.3 s"):
            checkout.pull(verify=False, kept_on=None)


def test_pull_asks_nobody_for_a_password(git: GitHost) -> None:
    """A remote that wants a login fails at once, and the one in its URL is not shown."""
    with locked_server() as port:
        git.here("remote", "set-url", "origin", f"http://ada:s3cret@127.0.0.1:{port}/m.git")
        assert "s3cret" not in refused(git, "cannot be fetched").message
        git.here("remote", "set-url", "origin", f"http://127.0.0.1:{port}/m.git?key=s3cret")
        assert "s3cret" not in refused(git, "cannot be fetched", "prompts disabled").message


@contextmanager
def locked_server() -> Iterator[int]:
    """Serve nobody without a login, and no login is right; gives the port."""

    class Locked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="manifests"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_pull_runs_no_hooks(git: GitHost) -> None:
    """What the checkout has as hooks is for people, and not run."""
    hook = git.checkout / ".git" / "hooks" / "post-merge"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    git.push("two\n")
    assert pull(git) is not None
    assert not (git.checkout / "ran").exists()


@pytest.mark.parametrize("words", [("--depth", "1"), ("--sparse",), ("--filter=blob:none",)])
def test_pull_works_in_less_than_whole_clones(git: GitHost, words: tuple[str, ...]) -> None:
    """Shallow, sparse and partial clones are moved forward as whole ones are."""
    git.there("config", "uploadpack.allowFilter", "true")
    git.push("deep\n", file="deep/other.txt")
    shutil.rmtree(git.checkout)
    git.clone(*words)
    git.push("deeper\n", file="deep/other.txt")
    commit = git.push("two\n")
    pulled = pull(git)
    assert pulled is not None
    assert pulled.commit == commit
    assert git.manifest.read_text() == "two\n"
    assert git.here("status", "--porcelain") == ""
    assert (git.checkout / "deep").exists() == (words != ("--sparse",))


def test_pull_leaves_submodules_as_they_are(git: GitHost) -> None:
    """A commit that moves a submodule is pulled, and the submodule's files are not touched."""
    git.at_desk("-c", "protocol.file.allow=always", "submodule", "add", "-q", git.url, "sub")
    git.push("two\n")
    assert pull(git) is not None
    git.at_desk("-C", "sub", "checkout", "--quiet", "HEAD~0")
    git.push("three\n")
    assert pull(git) is not None
    assert git.manifest.read_text() == "three\n"


def signing(git: GitHost, *keys: Path) -> None:
    """Let the host's git know the public halves of keys, as of the author."""
    lines = [f"ada@example.org {key.with_suffix('.pub').read_text()}" for key in keys]
    signers = git.home / "signers"
    signers.write_text("".join(lines))
    git.here("config", "gpg.ssh.allowedSignersFile", str(signers))


def signed_by(key: Path) -> tuple[str, ...]:
    """Give the words that make git sign with a key."""
    return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit", "--quiet", "-S")


def test_verified_pull_takes_good_signatures_alone(git: GitHost, tmp_path: Path) -> None:
    """The newest commit must be signed by a key that is known here; until it is, nothing moves."""
    ours, stranger = make_key(tmp_path, "ours"), make_key(tmp_path, "stranger")
    signing(git, ours)

    def push(*words: str) -> str:
        git.at_desk(*words, "--allow-empty", "-m", "more")
        git.at_desk("push", "--quiet", "origin", "HEAD:main")
        return git.at_desk("rev-parse", "HEAD")

    unsigned = git.push("two\n")
    refused(git, unsigned[:12], "not signed", verify=True)
    strange = push(*signed_by(stranger))
    refused(git, strange[:12], "no good signature", verify=True)
    good = push(*signed_by(ours))
    pulled = pull(git, verify=True)
    assert pulled is not None
    assert pulled.commit == good
    assert git.manifest.read_text() == "two\n"


def test_verified_pull_refuses_a_commit_that_was_altered(git: GitHost, tmp_path: Path) -> None:
    """A signature over other words than the commit's is none."""
    ours = make_key(tmp_path, "ours")
    signing(git, ours)
    git.at_desk(*signed_by(ours), "--allow-empty", "-m", "as signed")
    altered = git.at_desk("cat-file", "commit", "HEAD").replace("as signed", "altered") + "\n"
    (git.home / "commit").write_text(altered)
    made = git.at_desk("hash-object", "-t", "commit", "-w", str(git.home / "commit"))
    git.at_desk("push", "--quiet", "origin", f"{made}:main")
    refused(git, made[:12], "no good signature", verify=True)


def test_verified_pull_tells_where_git_knows_no_signers(git: GitHost, tmp_path: Path) -> None:
    """With SSH signatures and no list of who may sign, nothing is good, and git says why."""
    git.at_desk(*signed_by(make_key(tmp_path, "ours")), "--allow-empty", "-m", "signed")
    git.at_desk("push", "--quiet", "origin", "HEAD:main")
    refused(git, "allowedSignersFile", verify=True)


def test_commit_of_names_commit_and_edits(git: GitHost) -> None:
    """The commit of the manifest; with `+edits` where it was edited; none where it is not in it."""
    head = git.here("rev-parse", "HEAD")
    checkout = Checkout.open(git.checkout, environ=environment(git.home))
    (git.checkout / "beside.txt").write_text("not the manifest\n")
    assert checkout.commit_of([git.manifest]) == head
    git.manifest.write_text("edited\n")
    assert checkout.commit_of([git.manifest]) == f"{head}+edits"
    assert checkout.commit_of([git.checkout / "beside.txt"]) == ""
    (git.checkout / ".git" / "info" / "exclude").write_text("beside.txt\n")
    assert checkout.commit_of([git.checkout / "beside.txt"]) == ""
