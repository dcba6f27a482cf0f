"""The guided tour: the whole loop on a host of its own, in a folder that goes when it ends.

Everything is real but small: the hub speaks the real protocol over HTTP on this machine, the files
are GGUF, and the commands are the ones that people type, run as they would be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.demo.gguf_bytes import tiny_mmproj, tiny_model
from reconciler.demo.hub_server import HubServer
from reconciler.errors import ReconcilerError

_CONFIG: Final = """\
# My llama-swap, edited by hand for a year.
healthCheckTimeout: 120   # the big one is slow

models:
  # This one is mine; nobody touches it.
  "my-own":
    cmd: llama-server --port ${PORT}
         -m /srv/old/model.gguf
    ttl: 300
"""
_FIRST: Final = """\
version: 1
defaults:
  serve:
    args: {n-gpu-layers: 99, ctx-size: 8192}
models:
  chat:
    source: acme/chat-GGUF:Q4_K_M
    serve:
      aliases: [default]
  vision:
    source: acme/vision-GGUF:Q8_0
    mmproj: auto
    serve:
      args: {jinja: true}
"""
_SECOND: Final = """\
version: 1
defaults:
  serve:
    args: {n-gpu-layers: 99, ctx-size: 16384}
models:
  chat:
    source: acme/chat-GGUF:Q4_K_M
    serve:
      aliases: [default]
"""
_NOTHING: Final = "version: 1\nmodels: {}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """The demo's host: its folder, its hub, and how to run a command and say a line."""

    home: Path
    hub: HubServer
    say: Callable[[str], None]

    @property
    def config(self) -> Path:
        return self.home / "llama-swap" / "config.yaml"

    @property
    def manifest(self) -> Path:
        return self.home / "manifests" / "home.yaml"

    @property
    def models(self) -> Path:
        return self.home / "models"

    def run(self, *arguments: str, code: int = 0) -> None:
        """Run one command as a person would, its output shown as it comes."""
        self.say(f"\n$ reconcile {' '.join(arguments)}".rstrip())
        result = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "reconciler", *arguments],
            cwd=self.home,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.prove(f"it exits {code}", holds=result.returncode == code, quiet=True)

    def prove(self, claim: str, *, holds: bool, quiet: bool = False) -> None:
        """Say what was just shown to be so, or stop."""
        if not holds:
            raise ReconcilerError(
                f"the demo did not prove that {claim}", hint="this is a defect: please report it"
            )
        if not quiet:
            self.say(f"  proved: {claim}")

    def _environment(self) -> dict[str, str]:
        """Give the person's environment, less the settings that would lead away from the demo."""
        ours = ("RECONCILER_", "LLAMA_SWAP_", "HF_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return kept | {
            "HF_ENDPOINT": self.hub.url,
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "RECONCILER_MODELS_DIR": str(self.models),
            "RECONCILER_CONFIG": str(self.config),
            "RECONCILER_RUNTIME": "none",
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_STATE_HOME": str(self.home / "state"),
        }


def run_tour(home: Path, say: Callable[[str], None]) -> None:
    """Play the whole tour in the empty folder `home`.

    Raises:
        ReconcilerError: something that the tour promises did not hold.
    """
    with HubServer() as hub:
        stage = _Stage(home=home, hub=hub, say=say)
        _set_up(stage)
        _first_apply(stage)
        _nothing_to_do(stage)
        _upstream_moves(stage)
        _manifest_changes(stage)
        _everything_goes(stage)
    say("\nThat was the whole loop. Your own manifest: see the README's first one.")


def _set_up(stage: _Stage) -> None:
    for folder in (stage.models, stage.config.parent, stage.manifest.parent):
        folder.mkdir()
    stage.config.write_text(_CONFIG)
    stage.manifest.write_text(_FIRST)
    stage.hub.add_commit("acme/chat-GGUF", _chat(seed=1))
    stage.hub.add_commit("acme/vision-GGUF", _vision())
    stage.say(f"A host in {stage.home}, and a hub at {stage.hub.url} (on this machine only).")
    stage.say("\nIts manifest says:\n")
    stage.say(_FIRST)


def _first_apply(stage: _Stage) -> None:
    before = _snapshot(stage)
    stage.run("--plan")
    stage.prove("a dry run changes nothing", holds=_snapshot(stage) == before)
    stage.run("--yes")
    stage.say(f"\n$ cat {stage.config.relative_to(stage.home)}")
    stage.say(stage.config.read_text())
    shards = sorted(path.name for path in stage.models.rglob("*.gguf"))
    stage.prove(f"{len(shards)} files are in place: {', '.join(shards)}", holds=len(shards) == 4)
    checked = shutil.which("sha256sum")
    if checked:
        for stamp in stage.models.rglob("*.sha256"):
            result = subprocess.run(  # noqa: S603 - a system tool, on our own files
                [checked, "--check", "--quiet", stamp.name], cwd=stamp.parent, check=False
            )
            stage.prove(f"sha256sum accepts {stamp.name}", holds=not result.returncode, quiet=True)
        stage.prove("sha256sum agrees with every digest", holds=True)
    stage.prove("the config was only added to", holds=stage.config.read_text().startswith(_CONFIG))


def _nothing_to_do(stage: _Stage) -> None:
    stage.hub.forget_requests()
    stage.run("--plan", "--detailed-exitcode")
    stage.prove("a second plan is empty and asks the hub nothing", holds=not stage.hub.requests)


def _upstream_moves(stage: _Stage) -> None:
    stage.say("\nUpstream uploads chat again, with other bytes:")
    stage.hub.add_commit("acme/chat-GGUF", _chat(seed=2))
    stage.run("--plan", "--detailed-exitcode")
    stage.prove("the lock holds: upstream moving changes nothing here", holds=True)
    stage.run("update", "chat")
    stage.run("--yes")
    stage.run("verify")


def _manifest_changes(stage: _Stage) -> None:
    stage.say("\nThe manifest changes: vision goes, and the context grows.")
    stage.manifest.write_text(_SECOND)
    stage.run("--yes")
    stage.run("status")
    stage.prove(
        "vision's files are in the trash, not deleted",
        holds=len(list((stage.models / ".reconciler" / "trash").rglob("vision*.gguf"))) == 2,
    )


def _everything_goes(stage: _Stage) -> None:
    stage.say("\nAt last everything is taken out. A manifest without models needs a second word:")
    stage.manifest.write_text(_NOTHING)
    stage.run("--yes", code=1)
    stage.run("--yes", "--allow-prune")
    stage.prove(
        "the config is the old one again, byte for byte",
        holds=stage.config.read_bytes() == _CONFIG.encode(),
    )


def _chat(*, seed: int) -> dict[str, bytes]:
    return {
        "chat-Q4_K_M.gguf": tiny_model("chat", payload_bytes=4_000_000, seed=seed),
        "chat-Q8_0.gguf": tiny_model("chat", payload_bytes=8_000_000, seed=seed, quant_file_type=7),
        "README.md": b"A very small model.\n",
    }


def _vision() -> dict[str, bytes]:
    shards = {
        f"Q8_0/vision-Q8_0-{number:05d}-of-00002.gguf": tiny_model(
            "vision",
            payload_bytes=2_000_000,
            seed=10 + number,
            quant_file_type=7,
            shard=(number, 2),
        )
        for number in (1, 2)
    }
    return {**shards, "mmproj-F16.gguf": tiny_mmproj("vision", payload_bytes=500_000, seed=20)}


def _snapshot(stage: _Stage) -> dict[Path, tuple[int, bytes]]:
    """Give every file of the host, the cache left out, with its time and its bytes."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(stage.home.rglob("*"))
        if path.is_file() and not path.is_relative_to(stage.home / "cache")
    }
