"""Find what is wrong around llama-swap, and say how each of it is mended. Changes nothing."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.mounts import Mounts
from reconciler.cli.columns import folded
from reconciler.cli.config_home import find_api_key, open_config
from reconciler.cli.console import Console
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted, printable
from reconciler.cli.wiring import load_manifest, models_dir_of, open_runtime, open_server
from reconciler.core.diagnosis import Complaint, Facts, Finding, Severity
from reconciler.core.doctor import examine
from reconciler.core.observed import RuntimeState, Sight
from reconciler.engine.checkup import Configs, Patient, check_up
from reconciler.errors import ReconcilerError, UsageError

if TYPE_CHECKING:
    from reconciler.core.ports.serving import Runtime

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def run(_options: Namespace, settings: Settings, console: Console) -> int:
    """Look, and tell what was found: 0 if nothing keeps llama-swap from being served, else 1."""
    facts = check_up(_patient(settings, console))
    findings = examine(facts)
    if settings.json:
        print(json.dumps(_as_json(facts, findings), indent=2))
    else:
        for line in _lines(facts, findings, Style(sys.stdout, no_color=settings.no_color)):
            print(line)
    return 1 if any(item.severity is Severity.ERROR for item in findings) else 0


def _patient(settings: Settings, console: Console) -> Patient:
    runtime, problem = _open_runtime(settings, console)
    return Patient(
        runtime=runtime,
        problem=problem,
        find_models_dir=lambda state: _models_dir(settings, state),
        open_configs=lambda state: _open_configs(settings, state),
        open_server=lambda url: open_server(url, settings.llama_swap_api_key),
        look=_look,
        filesystems=Mounts(),
        reserve_bytes=settings.disk_reserve,
        declared=_declared(settings),
        sought="" if settings.runtime else settings.container,
    )


def _open_runtime(settings: Settings, console: Console) -> tuple[Runtime | None, Complaint | None]:
    """Open the runtime as a run would; an engine that does not answer us is a complaint here."""
    try:
        if settings.runtime is None and not (settings.reload_command or settings.restart_command):
            from reconciler.adapters.runtime.docker import find_container

            # A run takes such an engine for none, with a warning; here that is the finding.
            find_container(settings.container, settings.docker_host, environ=settings.environment)
        return open_runtime(settings, console), None
    except ReconcilerError as error:
        return None, Complaint(message=error.message, hint=error.hint)


def _models_dir(settings: Settings, state: RuntimeState | None) -> str:
    if state is None and settings.models_dir is None:
        raise UsageError(
            "the models folder is not known, for the container cannot be asked",
            hint="mend that first, or name the folder with --models-dir PATH",
        )
    named = settings.models_dir if state is None else models_dir_of(settings, state)
    return str(ModelsFolder(named or Path()).root)


def _open_configs(settings: Settings, state: RuntimeState) -> Configs | None:
    try:
        config, folder = open_config(settings, state)
    except OSError as error:
        raise ReconcilerError(
            f"{error.filename}: {error.strerror}",
            hint="run as a user who may look there, or mend its owner and mode",
        ) from error
    if config is None or folder is None:
        return None
    return Configs(
        path=str(config.path),
        config=config,
        folder=folder,
        open_server=lambda url: open_server(url, find_api_key(settings, config, folder)),
    )


def _look(path: str) -> Sight:
    try:
        Path(path).stat()
    except FileNotFoundError:
        return Sight.ABSENT
    except OSError:
        return Sight.UNREADABLE
    return Sight.READABLE if os.access(path, os.R_OK) else Sight.UNREADABLE


def _declared(settings: Settings) -> frozenset[str]:
    """Give the models that the manifest names; `validate` is who says that there is none."""
    try:
        return frozenset(load_manifest(settings).models)
    except ReconcilerError:
        return frozenset()


def _as_json(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    state = facts.runtime
    return {
        "runtime": {
            "kind": state.kind,
            "name": state.name,
            "id": state.id,
            "endpoint": state.endpoint,
            "status": state.status,
            "url": state.url,
            "version": facts.version,
            "watches": state.watches,
        }
        if state is not None
        else None,
        "models_dir": facts.models_dir,
        "config": facts.config_path,
        "findings": [asdict(item) for item in findings],
    }


def _lines(facts: Facts, findings: Sequence[Finding], style: Style) -> Iterator[str]:
    yield from _looked_at(facts)
    for item in findings:
        yield ""
        head = f"{item.severity}:"
        what = folded(f"{head} {printable(item.what)}", style, hang=2)
        yield style(head, _COLOURS[item.severity]) + what.removeprefix(head)
        yield folded(f"  why:  {printable(item.why)}", style, hang=6)
        yield folded(f"  mend: {printable(item.mend)}", style, hang=6)
        for command in item.commands:
            yield f"    $ {printable(command)}"
        if item.compose:
            yield "    in the compose file:"
        for line in item.compose:
            yield f"      {printable(line)}"
    yield ""
    errors = sum(item.severity is Severity.ERROR for item in findings)
    warnings = len(findings) - errors
    if findings:
        yield f"{counted(errors, 'error')}, {counted(warnings, 'warning')}."
    else:
        yield "Nothing wrong was found."


def _looked_at(facts: Facts) -> Iterator[str]:
    """Say what the findings are about, so that nobody mends another host."""
    state = facts.runtime
    if state is not None and state.is_container:
        yield printable(
            f"container   {state.name} ({state.id}) on {state.endpoint}, {state.status}"
        )
    elif state is not None:
        yield f"runtime     {state.kind}"
    version = f", version {facts.version}" if facts.version is not None else ""
    if state is not None and state.url:
        yield printable(f"llama-swap  {state.url}{version}: {facts.access}")
    if facts.config_path:
        yield printable(f"config      {facts.config_path}")
    if facts.models_dir:
        yield printable(f"models      {facts.models_dir}")
