"""What a watch says of git: each trouble once, and that it is over."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from reconciler.cli.manifest_commit import manifest_commit
from reconciler.cli.settings import Settings
from reconciler.cli.watching.git import expect_repository, lock_keeper, puller
from reconciler.core.lock import Lock
from reconciler.core.reading.lock_text import render_lock
from reconciler.errors import Refused, UsageError
from tests.support.fakes import Heard
from tests.support.git_host import GitHost, cloned, environment


@pytest.fixture
def git(tmp_path: Path) -> GitHost:
    """A repository of one commit, cloned to the host."""
    return cloned(tmp_path)


def settings_of(git: GitHost, **more: object) -> Settings:
    """Give the settings of a watch over the checkout."""
    values: dict[str, object] = {"git_pull": 60.0, **more}
    return Settings(
        manifest=git.manifest,
        environment=environment(git.home),
        **values,  # type: ignore[arg-type]
    )


def test_trouble_is_told_once_until_it_is_another_or_over(git: GitHost) -> None:
    """The same trouble says nothing the second time; what follows it does, and so does its end."""
    heard = Heard()
    pull = puller(settings_of(git), heard)
    pull()
    assert (heard.said, heard.warnings) == ([], [])
    git.push("two\n", subject="second")
    git.manifest.write_text("mine\n")
    pull()
    pull()
    assert len(heard.warnings) == 1
    assert "home.yaml" in heard.warnings[0]
    assert "what is checked out stays" in heard.warnings[0]
    git.here("checkout", "--quiet", "--detach", "--force")
    pull()
    pull()
    assert len(heard.warnings) == 2
    assert "no branch" in heard.warnings[1]
    git.here("checkout", "--quiet", "main")
    pull()
    commit = git.here("rev-parse", "--short=12", "HEAD")
    assert heard.said == ["git pulls again", f"pulled {commit} of origin/main: second"]
    assert len(heard.warnings) == 2


def test_what_a_push_makes_of_the_manifest_does_not_end_pulling(git: GitHost) -> None:
    """Links in a circle, pushed by mistake, are mended by the next push; nobody need come here."""
    heard = Heard()
    pull = puller(settings_of(git, git_lock_branch="kept"), heard)
    for name in (git.file, f"{git.file}.lock"):
        link = git.desk / name
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    git.push("", file="other.yaml")
    pull()
    assert git.manifest.is_symlink()
    expect_repository(settings_of(git, git_lock_branch="kept"))
    with lock_keeper(settings_of(git, git_lock_branch="kept"), heard) as keepers:
        keepers[0].failed(Refused("whatever the pass came to"))
    (git.desk / git.file).unlink()
    git.push("two\n")
    pull()
    assert git.manifest.read_text() == "two\n"
    assert heard.warnings == []


def test_nothing_is_asked_of_git_unless_it_is_wanted(git: GitHost) -> None:
    """Without the settings no repository is needed, and none is looked at."""
    expect_repository(Settings(manifest=git.home / "none", environment={}))
    heard = Heard()
    git.push("two\n")
    puller(settings_of(git, git_pull=None), heard)()
    assert git.manifest.read_text() == "one\n"
    with pytest.raises(UsageError, match="--git-verify"):
        expect_repository(settings_of(git, git_pull=None, git_verify=True))


def test_manifest_commit_is_found_through_links(git: GitHost, tmp_path: Path) -> None:
    """A manifest that is a link is of the commit of what it leads to; elsewhere it is of none."""
    link = tmp_path / "home.yaml"
    link.symlink_to(git.manifest)
    settings = Settings(manifest=link, environment=environment(git.home))
    assert manifest_commit(settings) == git.here("rev-parse", "HEAD")
    link.unlink()
    link.write_text("one\n")
    assert manifest_commit(settings) == ""


def test_push_that_hangs_does_not_hold_up_the_end(git: GitHost) -> None:
    """The lock is pushed beside the watch; told to stop, it is given up, and git ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"git://127.0.0.1:{server.getsockname()[1]}/manifests"
        git.here("remote", "set-url", "origin", url)
        git.manifest.with_name("home.yaml.lock").write_bytes(render_lock(Lock()))
        heard = Heard()
        with lock_keeper(settings_of(git, git_lock_branch="kept"), heard) as keepers:
            keepers[0].failed(Refused("whatever the pass came to"))
            connection, _ = server.accept()
            began = time.monotonic()
        assert time.monotonic() - began < 30
        connection.settimeout(60)
        with connection:
            while connection.recv(4096):
                pass
    assert heard.warnings == []
