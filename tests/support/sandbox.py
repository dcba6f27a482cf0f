"""A whole host in a temporary folder: manifest, models folder, config, hub, and the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from reconciler.cli.main import main
from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_server import HubServer

CONFIG = """\
# edited by hand
healthCheckTimeout: 60

models:
  "mine":   # not yours
    cmd: llama-server --port ${PORT} -m /srv/mine.gguf
"""


@dataclass(frozen=True)
class Result:
    """What one command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.out)


@dataclass
class Sandbox:
    """One host. `settings` are environment variables on top of the ones that lead here."""

    home: Path
    hub: HubServer
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.models, self.config.parent, self.manifest.parent):
            folder.mkdir(parents=True)
        self.config.write_text(CONFIG)

    @property
    def models(self) -> Path:
        """The models folder."""
        return self.home / "models"

    @property
    def config(self) -> Path:
        """llama-swap's config."""
        return self.home / "swap" / "config.yaml"

    @property
    def manifest(self) -> Path:
        """The one manifest file."""
        return self.home / "manifests" / "home.yaml"

    @property
    def lock(self) -> Path:
        """The lock file of the manifest."""
        return self.home / "manifests" / "home.yaml.lock"

    def write_manifest(self, models: str, *, policy: str = "") -> None:
        """Write the manifest: `models` is the body below `models:`, indented by two."""
        head = "version: 1\n" + (f"policy: {policy}\n" if policy else "")
        body = f"models:\n{models}" if models.strip() else "models: {}\n"
        self.manifest.write_text(head + body)

    def add_repo(self, repo: str, *, seed: int = 1, size: int = 40_000) -> dict[str, bytes]:
        """Give the hub a repository with a Q4_K_M and a Q8_0 file; give their bytes by name."""
        name = repo.split("/")[1].removesuffix("-GGUF")
        files: dict[str, bytes] = {
            f"{name}-Q4_K_M.gguf": tiny_model(name, payload_bytes=size, seed=seed),
            f"{name}-Q8_0.gguf": tiny_model(
                name, payload_bytes=2 * size, seed=seed + 1000, quant_file_type=7
            ),
        }
        self.hub.add_commit(repo, files)
        return files

    def environment(self) -> dict[str, str]:
        """Give the whole environment a command runs in."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return {
            **kept,
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "HF_ENDPOINT": self.hub.url,
            "RECONCILER_MANIFEST": str(self.manifest),
            "RECONCILER_MODELS_DIR": str(self.models),
            "RECONCILER_CONFIG": str(self.config),
            "RECONCILER_RUNTIME": "none",
            **self.settings,
        }

    def run(self, *arguments: str) -> Result:
        """Run `reconcile` in this process; nobody is at the terminal."""
        out, err = io.StringIO(), io.StringIO()
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        with (
            mock.patch.dict(os.environ, self.environment(), clear=True),
            mock.patch.object(sys, "stdin", io.StringIO()),
            contextlib.chdir(self.home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                code = main(arguments)
            except SystemExit as ended:  # argparse ends the process itself
                code = int(ended.code or 0)
            finally:
                for each, handler in handlers.items():
                    signal.signal(each, handler)
        return Result(code=code, out=out.getvalue(), err=err.getvalue())

    def apply(self, *arguments: str) -> Result:
        """Run and apply without asking; the run must succeed."""
        result = self.run("--yes", *arguments)
        assert result.code == 0, f"{result.out}\n{result.err}"
        return result

    def plan(self, *arguments: str) -> Any:
        """Give the plan as JSON."""
        return self.run("--plan", "--json", *arguments).json

    def start(
        self, *arguments: str, within: Sequence[str] = (), **more: Any
    ) -> subprocess.Popen[str]:
        """Start `reconcile` as a process of its own, `within` a command that runs it; the caller
        ends it.
        """
        return subprocess.Popen(
            [*within, sys.executable, "-m", "reconciler", *arguments],
            cwd=self.home,
            env=self.environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def snapshot(self, *, with_state: bool = True) -> Mapping[str, tuple[int, bytes]]:
        """Give time and bytes of every file; the cache, and if asked our own state, left out."""
        return {
            str(path.relative_to(self.home)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(self.home.rglob("*"))
            if path.is_file()
            and not path.is_relative_to(self.home / "cache")
            and (with_state or not {".reconciler", ".local"} & set(path.parts))
        }

    def partial_bytes(self) -> int:
        """Give how many bytes of unfinished files are recorded in the partial folder."""
        records = (self.models / ".reconciler" / "partial").glob("*.record")
        pairs = (line.split() for path in records for line in path.read_text().splitlines()[1:])
        return sum(int(pair[1]) - int(pair[0]) for pair in pairs if pair[0].isdigit())

    def model_files(self) -> dict[str, bytes]:
        """Give every visible file of the models folder by its path there."""
        return {
            str(path.relative_to(self.models)): path.read_bytes()
            for path in sorted(self.models.rglob("*"))
            if path.is_file() and ".reconciler" not in path.parts
        }
