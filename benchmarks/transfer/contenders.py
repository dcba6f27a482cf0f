"""The downloaders: how each is told to bring the files of a repository into an empty folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pins import lock_text, pin
from benchmarks.transfer.source import COMMIT, Source

_NEEDED = {"nginx": "nginx-light", "aria2c": "aria2", "curl": "curl", "sha256sum": "coreutils"}
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command, and what its environment has beside ours."""

    command: Sequence[str]
    settings: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment, without what would lead one of them elsewhere."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("RECONCILER_", "HF_", "LLAMA_SWAP_"))
            and "proxy" not in key.lower()
        }
        return kept | dict(self.settings)


# Prepares an empty folder, and gives the call that fills it.
Contender = Callable[[Source, str, Path], Call]


def missing_tools() -> str:
    """Say what must be installed first; empty where nothing is missing."""
    packages = [package for tool, package in _NEEDED.items() if not shutil.which(tool)]
    return f"install first: apt-get install {' '.join(packages)}" if packages else ""


def ours(source: Source, url: str, folder: Path) -> Call:
    """The product itself, from the start of Python to the file under its name, verified."""
    (folder / "models").mkdir(exist_ok=True)
    manifest = folder / "home.yaml"
    manifest.write_text(f"version: 1\nmodels:\n  model:\n    source: {source.repo}:Q4_K_M\n")
    Path(f"{manifest}.lock").write_text(
        lock_text({"model": pin(source.repo, COMMIT, source.files)})
    )
    return Call(
        command=[sys.executable, "-m", "reconciler", "--yes", "--quiet"],
        settings={
            "HF_ENDPOINT": url,
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "RECONCILER_MANIFEST": str(manifest),
            "RECONCILER_MODELS_DIR": str(folder / "models"),
            "RECONCILER_RUNTIME": "none",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_STATE_HOME": str(folder / "state"),
        },
    )


def hf(source: Source, url: str, folder: Path) -> Call:
    """The hub's own client, which compares sizes alone."""
    one = [*source.files] if len(source.files) == 1 else []
    return Call(
        command=[str(Path(sys.executable).with_name("hf")), "download", source.repo, *one],
        settings={
            "HF_ENDPOINT": url,
            "HF_HOME": str(folder),
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        },
    )


def aria2(source: Source, url: str, folder: Path) -> Call:
    """aria2c with eight connections a file, or eight files at once; then sha256sum."""
    return _then_sum(_aria2_command(source, url, folder), source, folder)


def aria2_alone(source: Source, url: str, folder: Path) -> Call:
    """The same without checking anything."""
    script = f'cd "$1" && {_aria2_command(source, url, folder)}'
    return Call(command=["sh", "-c", script, "sh", str(folder)], settings={})


def _aria2_command(source: Source, url: str, folder: Path) -> str:
    listing = folder / "list"
    listing.write_text(
        "".join(f"{_url(source, url, path)}\n  out={path}\n" for path in source.files)
    )
    many = [f"--max-concurrent-downloads={_CONNECTIONS}", "--file-allocation=falloc"]
    split = [f"--max-connection-per-server={_CONNECTIONS}", f"--split={_CONNECTIONS}"]
    words = ["aria2c", "--quiet", "--no-conf", *many, *split, "--min-split-size=1M", "-i", "list"]
    return " ".join(words)


def curl(source: Source, url: str, folder: Path) -> Call:
    """Curl with one connection a file, eight files at once; then sha256sum."""
    listing = folder / "list"
    listing.write_text(
        "".join(f'url="{_url(source, url, path)}"\noutput="{path}"\n' for path in source.files)
    )
    many = f"--parallel --parallel-max {_CONNECTIONS} " if len(source.files) > 1 else ""
    return _then_sum(f"curl --disable --fail --silent {many}--config list", source, folder)


def _then_sum(command: str, source: Source, folder: Path) -> Call:
    sums = "".join(f"{file.sha256}  {path}\n" for path, file in source.files.items())
    (folder / "sums").write_text(sums)
    script = f'cd "$1" && {command} && sha256sum --check --quiet sums'
    return Call(command=["sh", "-c", script, "sh", str(folder)], settings={})


def _url(source: Source, url: str, path: str) -> str:
    return f"{url}/{source.repo}/resolve/{COMMIT}/{path}"
