"""The watch and git: push a commit, and the host follows; what cannot be pulled changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.git_host import GIT_ENVIRONMENT, GitHost, make_key
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import serves, wait_for_line, watching

CHAT = "version: 1\nmodels:\n  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
PULL = ("--git-pull", "1h")


def serve(ttl: int) -> str:
    """Give a manifest that can be told from others by what it serves."""
    return f"{CHAT}    serve: {{ttl: {ttl}}}\n"


@pytest.fixture
def git(host: Sandbox, tmp_path: Path) -> GitHost:
    """The host's manifest as a checkout of an origin."""
    host.settings |= GIT_ENVIRONMENT
    host.add_repo("acme/chat-GGUF")
    found = GitHost(home=tmp_path / "git", checkout=host.manifest.parent)
    found.push(serve(1), subject="serve it")
    found.clone()
    return found


def runs(host: Sandbox) -> list[dict[str, Any]]:
    """Give the reports of the runs so far, the newest first."""
    found: list[dict[str, Any]] = host.run("history", "--json").json["runs"]
    return found


def look_again(process: subprocess.Popen[str]) -> None:
    """Have the watch pull now, and not in an hour: it does whenever it reads its settings."""
    process.send_signal(signal.SIGHUP)


def test_pushed_commit_is_applied_and_named_in_the_report(host: Sandbox, git: GitHost) -> None:
    """What is pushed is pulled and served, and the report and the history name the commit."""
    first = git.here("rev-parse", "HEAD")
    with watching(host, *PULL) as process:
        assert first[:12] in wait_for_line(process.stdout, "Manifest at")
        second = git.push(serve(2), subject="serve it longer")
        look_again(process)
        said = wait_for_line(process.stderr, "pulled")
        assert said == f"pulled {second[:12]} of origin/main: serve it longer\n"
        assert second[:12] in wait_for_line(process.stdout, "Manifest at")
        serves(host, "ttl: 2")
    assert [run["commit"] for run in runs(host)] == [second, first]


def test_pull_that_changes_nothing_of_the_manifest_makes_no_pass(
    host: Sandbox, git: GitHost
) -> None:
    """It is pulled before the look, so what the update writes wakes nobody for a second pass."""
    with watching(host, *PULL) as process:
        wait_for_line(process.stdout, "Applied")
        git.push(serve(2))
        look_again(process)
        serves(host, "ttl: 2")
        wait_for(lambda: len(runs(host)) == 2, "the second run")
        for number in (3, 4):
            git.push(f"{number}\n", file="README.md")
            look_again(process)
            wait_for(lambda: len(runs(host)) >= number, f"run {number}")  # noqa: B023 - at once
    # One pass for each time that the settings were read, and none besides.
    assert [run["outcome"] for run in runs(host)] == ["in sync", "in sync", "applied", "applied"]


def test_pull_by_hand_is_followed_too(host: Sandbox, git: GitHost) -> None:
    """Somebody who pulls beside the watch is heard as anybody who edits the manifest."""
    with watching(host, *PULL) as process:
        wait_for_line(process.stdout, "Applied")
        git.push(serve(2))
        git.here("pull", "--quiet", "--ff-only")
        serves(host, "ttl: 2")


def test_what_cannot_be_pulled_is_told_once_and_the_watch_goes_on(
    host: Sandbox, git: GitHost
) -> None:
    """An edit in the way stays and is applied as ever; once it is put away, the pull goes on."""
    with watching(host, *PULL) as process:
        wait_for_line(process.stdout, "Applied")
        host.manifest.write_text(serve(3))
        serves(host, "ttl: 3")
        git.push(serve(2))
        look_again(process)
        assert "what is checked out stays" in wait_for_line(process.stderr, "home.yaml")
        assert "stash" in wait_for_line(process.stderr, "hint")
        assert host.manifest.read_text() == serve(3)
        git.here("checkout", "--quiet", "--", "home.yaml")
        serves(host, "ttl: 1")
        look_again(process)
        serves(host, "ttl: 2")
    assert runs(host)[0]["commit"] == git.here("rev-parse", "HEAD")


def test_forced_push_changes_nothing(host: Sandbox, git: GitHost) -> None:
    """A history that was rewritten upstream is told of, and what was served goes on."""
    with watching(host, *PULL) as process:
        wait_for_line(process.stdout, "Applied")
        (git.desk / "home.yaml").write_text(serve(2))
        git.at_desk("commit", "--quiet", "-a", "--amend", "-m", "rewritten")
        git.at_desk("push", "--quiet", "--force", "origin", "HEAD:main")
        look_again(process)
        wait_for_line(process.stderr, "taken away there by force")
        assert host.manifest.read_text() == serve(1)
    assert "ttl: 1" in host.config.read_text()


def test_commit_without_a_good_signature_is_not_applied(
    host: Sandbox, git: GitHost, tmp_path: Path
) -> None:
    """With --git-verify the last good one stays until a commit is signed by a key known here."""
    key = make_key(tmp_path, "ada")
    signers = tmp_path / "signers"
    signers.write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    git.here("config", "gpg.ssh.allowedSignersFile", str(signers))
    with watching(host, *PULL, "--git-verify") as process:
        wait_for_line(process.stdout, "Applied")
        bad = git.push(serve(2))
        look_again(process)
        assert bad[:12] in wait_for_line(process.stderr, "no good signature")
        assert host.manifest.read_text() == serve(1)
        git.at_desk("config", "gpg.format", "ssh")
        git.at_desk("config", "user.signingKey", str(key))
        good = git.push(serve(3), words=("-S",))
        look_again(process)
        assert good[:12] in wait_for_line(process.stderr, "pulled")
        serves(host, "ttl: 3")


def test_lock_comes_back_on_its_branch_and_its_merge_is_pulled(host: Sandbox, git: GitHost) -> None:
    """New pins are pushed to the branch; once that is merged the host has it, and is clean."""
    branch = "reconciler/home"
    with watching(host, *PULL, "--git-lock-branch", branch) as process:
        said = wait_for_line(process.stderr, f"on {branch}")
        assert "pushed to origin" in said
        assert git.there("show", f"{branch}:home.yaml.lock") == host.lock.read_text().strip()
        assert git.there("log", "-1", "--format=%s", branch) == "Pin chat"
        assert git.here("status", "--porcelain") == "?? home.yaml.lock"
        git.at_desk("pull", "--quiet", "--no-rebase", "origin", branch)
        merged = git.push(serve(2))
        look_again(process)
        assert merged[:12] in wait_for_line(process.stderr, "pulled")
        serves(host, "ttl: 2")
    assert git.here("status", "--porcelain") == ""


def test_wrong_git_settings_are_refused_at_the_start(host: Sandbox, git: GitHost) -> None:
    """No repository, nothing that is pulled to be verified, the branch that is checked out."""
    alone = host.home / "alone"
    alone.mkdir()
    for words, told in (
        ((*PULL, "--manifest", str(alone)), "does not lie in a git repository"),
        (("--git-verify",), "--git-pull"),
        (("--git-lock-branch", "main"), "branch main is checked out"),
    ):
        result = host.run("--watch", *words)
        assert result.code == 2
        assert told in result.err
        assert "hint:" in result.err
    assert git.here("status", "--porcelain") == ""


def test_stop_during_a_pull_that_hangs_takes_no_time(host: Sandbox, git: GitHost) -> None:
    """A remote that never answers keeps nobody from stopping the watch."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        git.here("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/m")
        with watching(host, *PULL) as process:
            server.settimeout(60)
            connection, _ = server.accept()
        assert process.returncode == 0
        # git, too, is gone: its end of the connection is closed.
        connection.settimeout(60)
        with connection:
            while connection.recv(4096):
                pass


def test_watch_that_is_killed_during_a_pull_goes_on_at_the_next_start(
    host: Sandbox, git: GitHost
) -> None:
    """Killed with its git while the remote answers nothing, it leaves nothing to be mended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        git.here("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/m")
        process = host.start("--watch", *PULL)
        connection, _ = server.accept()
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()
        connection.close()
    git.here("remote", "set-url", "origin", git.url)
    git.push(serve(2))
    with watching(host, *PULL):
        serves(host, "ttl: 2")
    assert git.here("status", "--porcelain") == "?? home.yaml.lock"


def children(pid: int) -> list[int]:
    """Give the processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_run_by_hand_names_the_commit_and_its_edits(host: Sandbox, git: GitHost) -> None:
    """`reconcile` tells the manifest's commit as well; a plan does not ask git at all."""
    head = git.here("rev-parse", "HEAD")
    assert json.loads(host.apply("--json").out)["commit"] == head
    host.manifest.write_text(serve(4))
    result = host.apply()
    assert f"Manifest at {head[:12]}, edited since" in result.out
    assert runs(host)[0]["commit"] == f"{head}+edits"
    # A git that cannot be run is no obstacle, and is not missed by a plan.
    host.settings["PATH"] = str(host.home)
    assert host.plan()["summary"] is not None
    assert host.apply("--json").json["commit"] == ""


def test_settings_that_turn_wrong_stay_as_they_were(host: Sandbox, git: GitHost) -> None:
    """A branch that somebody checks out meanwhile is told of, and the watch goes on."""
    with watching(host, *PULL, "--git-lock-branch", "kept") as process:
        wait_for_line(process.stderr, "on kept")
        git.here("switch", "--quiet", "kept", "--force")
        look_again(process)
        assert "branch kept is checked out" in wait_for_line(
            process.stderr, "the settings stay as they were"
        )
        wait_for(lambda: process.poll() is None, "the watch")
