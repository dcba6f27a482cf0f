"""The longest time without an answer of `/health`, by strategy and version, in real containers."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from benchmarks.measure import machine
from tests.support.engine import Engine, SwapContainer, start_llama_swap, using_engine
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox

RUNS = 5
_PAUSE_SECONDS = 0.005
_CASES = (
    ("2025", "watch"),
    ("2025", "restart"),
    ("2026", "watch"),
    ("2026", "signal"),
    ("2026", "restart"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run: the longest silence of `/health`, and the whole command, in seconds."""

    silent_seconds: float
    whole_seconds: float


def table(_options: Sequence[str]) -> str:
    """Measure, and give the table as Markdown. There are no options."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    rows = [
        f"`/health` asked all the time ({machine()}; {RUNS} runs each, the worst of them)",
        "",
        "| version | `--reload` | longest without an answer | until healthy |",
        "| :--- | :--- | ---: | ---: |",
    ]
    with using_engine(docker.from_env(timeout=60), url) as engine:
        for behave, strategy in _CASES:
            runs = _measure(engine, behave, strategy)
            silent = max(run.silent_seconds for run in runs)
            whole = statistics.median(run.whole_seconds for run in runs)
            rows.append(f"| {behave} | `{strategy}` | {silent:.2f} s | {whole:.1f} s |")
    return "\n".join([*rows, ""])


def _measure(engine: Engine, behave: str, strategy: str) -> list[Measured]:
    with tempfile.TemporaryDirectory() as folder, running_hub() as hub:
        host = Sandbox(home=Path(folder) / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        swap = start_llama_swap(
            engine,
            config=host.config,
            models=host.models,
            behave=behave,
            watch=strategy == "watch",
        )
        host.settings = {
            "DOCKER_HOST": engine.url,
            "RECONCILER_CONTAINER": swap.name,
            "RECONCILER_RUNTIME": "docker",
            "RECONCILER_RELOAD": strategy,
        }
        _change(host, 0)
        host.apply()
        return [_run(host, swap, number) for number in range(1, RUNS + 1)]


def _change(host: Sandbox, number: int) -> None:
    host.write_manifest(
        f"  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    serve: {{ttl: {300 + number}}}\n"
    )


def _run(host: Sandbox, swap: SwapContainer, number: int) -> Measured:
    swap.get("/upstream/chat/health")
    _change(host, number)
    with _listening(swap) as answered_at:
        began = time.monotonic()
        host.apply()
        whole = time.monotonic() - began
    gaps = [after - before for before, after in itertools.pairwise(answered_at)]
    return Measured(silent_seconds=max(gaps), whole_seconds=whole)


@contextmanager
def _listening(swap: SwapContainer) -> Iterator[list[float]]:
    """Ask `/health` again and again; gives the moments of its answers."""
    answered_at: list[float] = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.wait(_PAUSE_SECONDS):
            if swap.is_healthy():
                answered_at.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answered_at
    finally:
        ending.set()
        asking.join()
