"""Hosts of any size to plan for, made without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from benchmarks.applied import applied
from benchmarks.pins import Sized, lock_text, pin


def applied_host(home: Path, count: int) -> dict[str, str]:
    """Make a host that serves `count` models and is in sync; give the settings that lead to it."""
    manifest = ["version: 1", "models:"]
    pins: dict[str, Any] = {}
    for number in range(count):
        name = f"model-{number:05d}"
        repo = f"acme/{name}-GGUF"
        manifest += [f"  {name}:", f"    source: {repo}:Q4_K_M"]
        manifest += ["    serve:", "      args: {ctx-size: 8192}"]
        path = home / "models" / repo / f"{name}-Q4_K_M.gguf"
        path.parent.mkdir(parents=True)
        data = f"GGUF {name}".encode()
        path.write_bytes(data)
        file = Sized(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        pins[name] = pin(repo, "0" * 40, {path.name: file})
    (home / "manifests").mkdir()
    (home / "manifests" / "home.yaml").write_text("\n".join(manifest) + "\n")
    (home / "manifests" / "home.yaml.lock").write_text(lock_text(pins))
    (home / "config.yaml").write_text("models:\n  mine:\n    cmd: server --port ${PORT}\n")
    return applied(home, RECONCILER_CONFIG=str(home / "config.yaml"))


def generated_config(count: int) -> str:
    """Give a config of `count` models with 25 lines each, as generators write them."""
    lines = ["healthCheckTimeout: 120", "startPort: 10001", "models:"]
    for number in range(count):
        name = f"model-{number:05d}"
        lines += [f'  "{name}":', f'    name: "Model {number}"', "    cmd: |"]
        lines += ["      /app/llama-server", "      --port ${PORT}"]
        lines += [f"      -m /models/acme/{name}-GGUF/{name}-Q4_K_M.gguf"]
        lines += [f"      --option-{option} {option}" for option in range(8)]
        lines += ["    ttl: 300", "    aliases:", f"      - {name}-latest", f"      - {name}-q4"]
        lines += ["    env:", '      - "CUDA_VISIBLE_DEVICES=0"', "    metadata:"]
        lines += ["      architecture: llama", "      context: 8192", "      quant: Q4_K_M"]
        lines += ["    filters:"]
    return "\n".join([*lines, ""])
