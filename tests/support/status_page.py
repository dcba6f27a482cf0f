"""The status page in tests: beside a running watch, and over an example that never changes.

    python -m tests.support.status_page docs/images

takes the pictures of the documents, of the example.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.adapters.web.server import WebServer
from reconciler.cli.console import Console
from tests.support.chromium import running_chromium
from tests.support.sandbox import Sandbox
from tests.support.watching import wait_for_line

FETCHED = "unsloth/Qwen3-32B-GGUF/Qwen3-32B-Q4_K_M.gguf"
_NOT_FOUND = (
    "mistralai/Mistral-Small-24B-GGUF: this repository is gated (answer 403 Forbidden)",
    "accept its terms on its page, and set HF_TOKEN to a token of that account",
)


@contextmanager
def watch_with_page(host: Sandbox, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a watch with a status page; give the page's address, and the process.

    It is told to end when the block does, if it still runs.
    """
    process = host.start("--watch", "--listen", "127.0.0.1:0", *arguments)
    try:
        yield wait_for_line(process.stderr, "status page at").split()[-1], process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


class Example:
    """What a server shows: `document` is all of its status, and may be changed at any time."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def status(self) -> bytes:
        """All of it."""
        return json.dumps(self.document).encode()

    def health(self) -> tuple[bool, str]:
        """It lives."""
        return True, "ok"

    def readiness(self) -> tuple[bool, str]:
        """It is ready."""
        return True, "ok"

    def metrics(self) -> bytes:
        """It has no numbers."""
        return b""


@contextmanager
def serving(document: dict[str, Any]) -> Iterator[tuple[str, Example]]:
    """Serve the page over `document`; gives its address, and what it shows."""
    example = Example(document)
    console = Console(quiet=True, log_format="text", no_color=True)
    with WebServer("127.0.0.1", 0, shown=example, reporter=console) as server:
        yield server.url, example


def example() -> dict[str, Any]:
    """Give the status of a watch that fetches one model, keeps others and is refused another."""
    return {
        "format_version": 1,
        "version": "0.1.0",
        "watch": {
            "phase": "working",
            "reason": "the manifest changed",
            "since": _ago(68),
            "next_at": None,
            "pause": None,
            "started_at": _ago(23 * 86400),
            "pid": 4711,
            "host": "home",
            "manifest": "/etc/reconciler/manifests",
            "commit": "8f2c1e0b9a7d4c556e0a6a3f9b1c2d3e4f506172",
            "passes": 3391,
            "problem": None,
        },
        "runtime": {"kind": "docker", "name": "llama-swap", "status": "running"},
        "models": [
            model("qwen3-0.6b", "unsloth/Qwen3-0.6B-GGUF:Q8_0", 639_446_688),
            model("qwen3-32b", "unsloth/Qwen3-32B-GGUF:Q4_K_M", 0, state="pending", pending="add"),
            model(
                "gemma-3-27b",
                "ggml-org/gemma-3-27b-it-GGUF:Q4_K_M",
                17_396_214_784,
                files=2,
                state="changed",
                drift=["ttl is 900 instead of 300 (line 41)"],
                pending="update",
            ),
            model("gpt-oss-20b", "ggml-org/gpt-oss-20b-GGUF:mxfp4", 12_109_566_560),
            model(
                "mistral-small",
                "mistralai/Mistral-Small-24B-GGUF:Q5_K_M",
                0,
                state="stalled",
                pending=f"stalled: {_NOT_FOUND[0]}",
            ),
            model("nomic-embed", "nomic-ai/embed-text-GGUF:Q8_0", 146_146_432),
            model(
                "smollm2",
                "ggml-org/SmolLM2-GGUF:Q8_0",
                1_820_414_944,
                state="disabled",
                pending="(disabled)",
            ),
        ],
        "work": {
            "total": _measured(8_141_005_390) | {"files": 1, "files_done": 0},
            "tasks": [_measured(8_141_005_390) | {"doing": "fetching", "name": FETCHED}],
        },
        "waiting": [
            {
                "model": "mistral-small",
                "reason": _NOT_FOUND[0],
                "hint": _NOT_FOUND[1],
                "waiting": False,
            }
        ],
        "plan": _plan(),
        "runs": [
            _run(1, 9 * 60, "in sync", mode="incremental"),
            _run(2, 3 * 3600, "applied", updated=["gpt-oss-20b"], fetched_bytes=12_109_566_560),
            _run(
                3,
                26 * 3600,
                "rolled back",
                updated=["gemma-3-27b"],
                message="llama-swap gave no healthy answer for 60 s",
                log_lines=["error: unknown argument: --flash-atn", "llama-server ended with 1"],
                downtime_seconds=61.4,
            ),
            _run(
                4,
                50 * 3600,
                "partial",
                added=["nomic-embed"],
                failed=["mistral-small"],
                reasons=[_NOT_FOUND[0]],
            ),
        ],
    }


def at_rest(document: dict[str, Any]) -> dict[str, Any]:
    """Give the same status once everything is done and in sync."""
    names = [(item["model"], item["source"], item["size_bytes"]) for item in document["models"]]
    settled = {"phase": "resting", "since": _ago(240), "next_at": _ago(-360)}
    return document | {
        "watch": document["watch"] | settled,
        "models": [model(*name) for name in names],
        "work": {"total": None, "tasks": []},
        "waiting": [],
        "plan": None,
    }


def model(
    name: str,
    source: str,
    size_bytes: int,
    *,
    files: int = 1,
    state: str = "in sync",
    drift: list[str] | None = None,
    pending: str = "",
) -> dict[str, Any]:
    """Give one model of a status."""
    return {
        "model": name,
        "source": source,
        "size_bytes": size_bytes,
        "files": files if size_bytes else 0,
        "drift": drift or [],
        "pending": pending,
        "state": state,
    }


def _measured(done_bytes: int) -> dict[str, Any]:
    return {
        "done_bytes": done_bytes,
        "total_bytes": 19_762_149_024,
        "bytes_per_second": 118_400_000,
        "seconds_left": 99,
    }


def _plan() -> dict[str, Any]:
    file = {
        "model": "qwen3-32b",
        "path": FETCHED,
        "size_bytes": 19_762_149_024,
        "sha256": "3" * 64,
        "reason": "not on disk",
    }
    commit = "5c1e7b0a" * 5
    origin = {"repo": "unsloth/Qwen3-32B-GGUF", "commit": commit, "path": file["path"]}
    changes = [{"key": key, "before": None, "after": key} for key in ("cmd", "ttl")]
    entry = {"action": "set_entry", "group": None}
    return {
        "format_version": 1,
        "fingerprint": "0" * 64,
        "actions": [
            {"action": "download", "have_bytes": 0, "origin": origin, **file},
            {"action": "place", **file},
            {
                **entry,
                "model": "qwen3-32b",
                "new": True,
                "changes": changes,
                "reason": "no entry yet; capabilities follow with the file",
            },
            {
                **entry,
                "model": "gemma-3-27b",
                "new": False,
                "changes": [{"key": "ttl", "before": 900, "after": 300}],
                "reason": "changed by somebody else",
            },
        ],
        "unchanged": ["qwen3-0.6b", "gpt-oss-20b", "nomic-embed", "smollm2"],
        "drift": [{"model": "gemma-3-27b", "message": "ttl is 900 instead of 300 (line 41)"}],
        "warnings": ["the models folder lies on a network filesystem, which sends no events"],
        "refusals": [],
        "stalled": {"mistral-small": {"reason": _NOT_FOUND[0], "hint": _NOT_FOUND[1]}},
        "discovered": [],
        "llama_swap_version": 205,
        "summary": {
            "added": ["qwen3-32b"],
            "updated": ["gemma-3-27b"],
            "removed": [],
            "fetch_bytes": 19_762_149_024,
            "reuse_bytes": 0,
            "trash_bytes": 0,
            "freed_bytes": 0,
            "disk_left_bytes": 412_300_000_000,
            "container": "llama-swap notices the new config by itself",
        },
    }


def _run(number: int, seconds: float, outcome: str, **more: Any) -> dict[str, Any]:
    lists = ("added", "updated", "removed", "failed", "reasons", "waiting", "findings")
    return {
        "run": f"run-{number}",
        "started_at": _ago(seconds + 4.2 * number),
        "finished_at": _ago(seconds),
        "duration_seconds": 4.2 * number,
        "mode": "full",
        "mode_reason": "nothing changed since the last look",
        "outcome": outcome,
        **{key: [] for key in (*lists, "log_lines")},
        "fetched_bytes": 0,
        "reused_bytes": 0,
        "downtime_seconds": 0.0,
        "message": "",
        "commit": "8f2c1e0b9a7d4c556e0a6a3f9b1c2d3e4f506172",
        **more,
    }


def _ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def main(folder: Path) -> None:
    """Write the pictures of the documents into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running_chromium(Path(scratch)) as browser:
        with serving(example()) as (url, _):
            page = browser.open(url, width=1060, height=900)
            page.wait_for("document.querySelector('#rows tr')")
            page.screenshot(folder / "status-page.png", whole=True)
            page.close()
        with serving(at_rest(example())) as (url, _):
            page = browser.open(url, width=360, height=760, scale=2, phone=True, dark=True)
            page.wait_for("document.querySelector('#rows tr')")
            page.screenshot(folder / "status-page-phone.png")
            page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
