"""The stand-in as a process of this machine, for tests that need llama-swap but no container."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@contextlib.contextmanager
def local_llama_swap(
    config: Path | None = None, *, config_dir: Path | None = None, behave: str = "2026"
) -> Iterator[str]:
    """Run the stand-in on a free port of 127.0.0.1 and give its URL; it is stopped at the end."""
    command = [sys.executable, "-m", "tests.support.llama_swap"]
    command += ["-config", str(config)] if config else []
    command += ["-config-dir", str(config_dir)] if config_dir else []
    with subprocess.Popen(
        [*command, "-listen", "127.0.0.1:0", "-behave", behave],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("llama-swap listening on "):
                raise AssertionError(f"the stand-in did not start: {line}")
            yield "http://" + line.split()[-1]
        finally:
            process.terminate()
            process.wait(10)
