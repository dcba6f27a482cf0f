"""What the next run would change in llama-swap's config, and nothing else."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any

from reconciler.cli.console import Console
from reconciler.cli.diff_text import render_diff
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.wiring import load_manifest, open_host
from reconciler.core.config_diff import DiffLine, diff_lines
from reconciler.core.plan import Plan
from reconciler.engine.reconcile import prepare
from reconciler.errors import UsageError

_PENDING = 3
_ERROR = 1


def run(_options: Namespace, settings: Settings, console: Console) -> int:
    """Show the change; never makes it, and asks nothing of the network."""
    manifest = load_manifest(settings)
    with open_host(replace(settings, offline=True), console, for_writing=False) as host:
        prepared = prepare(host, manifest, pass_options(settings))
    plan = prepared.plan
    if plan.config_path is None:
        raise UsageError(
            "no llama-swap config is managed, so there is nothing to compare",
            hint="name one with --config PATH",
        )
    before = plan.config_before or b""
    after = before if plan.config_after is None else plan.config_after
    lines = diff_lines(before, after)
    console.take_down()
    if settings.json:
        print(json.dumps(_as_json(plan, after, lines), indent=2))
    elif lines:
        print(f"--- {plan.config_path}\n+++ {plan.config_path}")
        for line in render_diff(lines, Style(sys.stdout, no_color=settings.no_color)):
            print(line)
    for model, stall in plan.stalled.items():
        if model in prepared.lock.pins:
            console.warn(f"{model} is not in it: {stall.reason}", stall.hint)
        else:
            console.warn(f"{model} is not in it: it has no pin", "`reconcile lock` resolves it")
    for refusal in plan.refusals:
        console.warn(f"refused as it stands: {refusal.message}", refusal.hint)
    if plan.refusals or plan.stalled:
        return _ERROR
    return _PENDING if settings.detailed_exitcode and lines else 0


def _as_json(plan: Plan, after: bytes, lines: Sequence[DiffLine]) -> dict[str, Any]:
    return {
        "config": plan.config_path,
        "before": _digest(plan.config_before),
        "after": _digest(after if lines else plan.config_before),
        "lines": [{"kind": line.kind.name.lower(), "text": line.text} for line in lines],
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "stalled": {model: asdict(stall) for model, stall in plan.stalled.items()},
    }


def _digest(config: bytes | None) -> str | None:
    return None if config is None else sha256(config).hexdigest()
