"""A manifest in a git repository: the bare origin, a checkout on the host, and who pushes to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# Whatever the machine's git is told, the tests' git is not.
GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}
AUTHOR = {
    f"GIT_{who}_{key}": value
    for who in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "Ada", "EMAIL": "ada@example.org"}.items()
}


def environment(home: Path) -> dict[str, str]:
    """Give the environment of a git that knows nothing but this."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), **GIT_ENVIRONMENT}


@dataclass
class GitHost:
    """The repositories `origin.git` and, of who writes the manifest, `desk`, both below `home`.

    `checkout` is the host's clone, once there is one. `file` is the manifest's path in each, and
    `branch` what all of them follow.
    """

    home: Path
    checkout: Path
    file: str = "home.yaml"
    branch: str = "main"
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.environ = environment(self.home) | AUTHOR
        self._run("init", "--quiet", "--bare", "-b", self.branch, str(self.origin))
        self._run("clone", "--quiet", self.url, str(self.desk))

    @property
    def origin(self) -> Path:
        """The bare repository that all push to."""
        return self.home / "origin.git"

    @property
    def url(self) -> str:
        """How git reaches the origin, as it reaches one elsewhere."""
        return f"file://{self.origin}"

    @property
    def desk(self) -> Path:
        """The clone of whoever writes the manifest."""
        return self.home / "desk"

    @property
    def manifest(self) -> Path:
        """The manifest on the host."""
        return self.checkout / self.file

    def clone(self, *words: str) -> None:
        """Clone the origin for the host."""
        self._run("clone", "--quiet", *words, self.url, str(self.checkout))

    def push(
        self,
        text: str,
        *,
        file: str | None = None,
        subject: str = "edit",
        words: tuple[str, ...] = (),
    ) -> str:
        """Commit a file's new text at the desk and push it; gives the commit."""
        path = self.desk / (file or self.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.at_desk("add", "-A")
        self.at_desk("commit", "--quiet", "-m", subject, *words)
        self.at_desk("push", "--quiet", "origin", f"HEAD:{self.branch}")
        return self.at_desk("rev-parse", "HEAD")

    def at_desk(self, *words: str, more: Mapping[str, str] | None = None) -> str:
        """Run git in the author's clone."""
        return self._run("-C", str(self.desk), *words, more=more)

    def here(self, *words: str) -> str:
        """Run git in the host's clone."""
        return self._run("-C", str(self.checkout), *words)

    def there(self, *words: str) -> str:
        """Run git in the origin."""
        return self._run("-C", str(self.origin), *words)

    def _run(self, *words: str, more: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", *words],
            env={**self.environ, **(more or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()


def cloned(folder: Path) -> GitHost:
    """Give a repository of one commit, cloned to the host; both below `folder`."""
    git = GitHost(home=folder / "git", checkout=folder / "checkout")
    git.push("one\n", subject="first")
    git.clone()
    return git


def make_key(folder: Path, name: str) -> Path:
    """Make a key that ssh can sign with, and no passphrase; gives the private one's path."""
    if shutil.which("ssh-keygen") is None:
        assert "CI" not in os.environ, "the tests of signatures need ssh-keygen"
        pytest.skip("needs ssh-keygen")
    key = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)],
        check=True,
        timeout=30,
    )
    return key
