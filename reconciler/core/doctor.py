"""What is wrong around llama-swap, and how to mend it: from facts to findings, nothing asked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.diagnosis import Access, Complaint, Facts, Finding, Severity
from reconciler.core.doctor_config import check_config
from reconciler.core.filesystems import mount_warnings
from reconciler.core.llamaswap.version import NEW
from reconciler.core.mapping import to_container
from reconciler.core.observed import RuntimeState, RuntimeStatus, Sight
from reconciler.core.sizes import human_bytes

# llama-swap lets running answers end for 30 s, and then stops its models for 5 s at most.
_GRACE_SECONDS: Final = 40
_MODELS_INSIDE: Final = "/models"
_CONFIG_INSIDE: Final = "/config"
_LISTEN_PORT: Final = "8080"


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Give every finding, those that keep something from working first."""
    found = [*_check_engine(facts), *_check_disk(facts)]
    if facts.runtime is not None:
        if facts.runtime.is_container:
            found += _check_container(facts.runtime, facts)
            found += _check_mounts(facts.runtime, facts)
        found += _check_server(facts.runtime, facts)
    found += check_config(facts)
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR))


def _check_engine(facts: Facts) -> Iterator[Finding]:
    if facts.runtime_problem is not None:
        yield _told(
            "engine",
            facts.runtime_problem,
            why="nothing can be found out about the container, nor can it be told to reload",
        )
    elif facts.sought and facts.runtime is not None and not facts.runtime.is_container:
        yield Finding(
            rule="no-container",
            severity=Severity.WARNING,
            what=f"no Docker engine was found that has the container {facts.sought!r}",
            why="llama-swap is taken to run outside Docker, where it is not ours to reload",
            mend="name the container with --container and the engine with --docker-host, or say "
            "--runtime none if that is how it is",
        )


def _check_disk(facts: Facts) -> Iterator[Finding]:
    if facts.models_problem is not None:
        yield _told(
            "models-folder",
            facts.models_problem,
            why="it is not known where models are to be placed, so none can be",
        )
    if facts.room is not None and facts.room.free_bytes < facts.reserve_bytes:
        yield Finding(
            rule="disk-full",
            severity=Severity.ERROR,
            what=f"{facts.models_dir} has {human_bytes(facts.room.free_bytes)} free, and "
            f"{human_bytes(facts.reserve_bytes)} are to stay free",
            why="no model can be fetched to it",
            mend="free some space there, or let less stay free with --disk-reserve",
        )
    for warning in mount_warnings(facts.mount, facts.models_dir or ""):
        yield Finding(
            rule="filesystem",
            severity=Severity.WARNING,
            what=warning,
            why="what is placed there may be changed or lost without us knowing",
            mend="keep the models on a disk of this machine, or heed the above",
        )


def _check_container(state: RuntimeState, facts: Facts) -> Iterator[Finding]:
    if state.status is RuntimeStatus.STOPPED:
        yield Finding(
            rule="stopped",
            severity=Severity.WARNING,
            what=f"container {state.name} does not run",
            why="a config is written for it, but nobody can tell whether llama-swap takes it",
            mend="start it",
            commands=(f"docker start {shlex.quote(state.name)}",),
        )
    if state.is_restarting:
        last = facts.log[-1] if facts.log else "its log is empty"
        yield Finding(
            rule="crash-loop",
            severity=Severity.ERROR,
            what=f"container {state.name} ends again and again; its last words: {last}",
            why="llama-swap serves nothing until it stays up",
            mend="mend what it says, most often its config; it is started again by itself",
        )
    if state.restart_policy == "no":
        yield Finding(
            rule="restart-policy",
            severity=Severity.WARNING,
            what=f"container {state.name} has no restart policy",
            why="after a crash, or when this machine starts again, llama-swap stays down",
            mend="let the engine start it again",
            compose=_service(state, "restart: unless-stopped"),
        )
    if state.stop_grace_seconds is not None and state.stop_grace_seconds < _GRACE_SECONDS:
        yield Finding(
            rule="stop-grace",
            severity=Severity.WARNING,
            what=f"container {state.name} is given {state.stop_grace_seconds} s to stop",
            why="llama-swap lets running answers end for 30 s and then stops its models: whoever "
            "stops it by hand, or brings it up anew, cuts them",
            mend=f"give it {_GRACE_SECONDS} s or more",
            compose=_service(state, f"stop_grace_period: {_GRACE_SECONDS + 5}s"),
        )
    if not state.has_health_check:
        asked = f"http://127.0.0.1:{state.listen_port or _LISTEN_PORT}/health"
        yield Finding(
            rule="no-health-check",
            severity=Severity.WARNING,
            what=f"container {state.name} has no health check",
            why="an engine that never asks shows a llama-swap that hangs as running; neither "
            "`docker ps` nor a service that waits for it can tell",
            mend="have the engine ask it; any other program of the image that does so will do",
            compose=_service(
                state,
                "healthcheck:",
                f"  test: {json.dumps(['CMD', 'curl', '-fsS', asked])}",
                "  interval: 30s",
                "  timeout: 5s",
                "  retries: 3",
                "  start_period: 20s",
            ),
        )
    if state.watches is False and (facts.version is None or facts.version < NEW):
        build = "it does not say" if facts.version is None else str(facts.version)
        command = json.dumps([*state.command, "-watch-config"])
        yield Finding(
            rule="not-watching",
            severity=Severity.WARNING,
            what=f"llama-swap in {state.name} does not watch its config, and its version ({build}) "
            f"may not take a signal for it: {NEW} is the first that does",
            why="every change needs a restart of the container, which takes a few seconds longer",
            mend="start it with -watch-config, or use a newer llama-swap",
            compose=_service(state, f"command: {command}"),
        )
    for problem in state.problems:
        yield Finding(
            rule="not-seen",
            severity=Severity.WARNING,
            what=f"of container {state.name}: {problem}",
            why="how llama-swap was started is then read off its entrypoint, which may say less",
            mend="let the engine, or the proxy before it, answer that question",
        )


def _check_mounts(state: RuntimeState, facts: Facts) -> Iterator[Finding]:
    if facts.models_dir is not None:
        yield from _check_models_mount(state, facts.models_dir, facts)
    inside = state.config_inside
    if inside is None:
        return
    if state.config_is_mount:
        folder = str(PurePosixPath(state.config_path or inside).parent)
        name = PurePosixPath(state.config_path or inside).name
        yield Finding(
            rule="config-file-mount",
            severity=Severity.WARNING,
            what=f"{state.config_path} is mounted into {state.name} as a single file",
            why="a file that an editor or `git pull` replaces is not seen inside until the "
            "container is made anew; we write into it in place, which a kill can cut short",
            mend="mount the folder it lies in, and name the config there",
            compose=_service(
                state,
                f"command: {json.dumps(_with_config(state, f'{_CONFIG_INSIDE}/{name}'))}",
                f"volumes:  # instead of {state.config_path}:{inside}",
                f"  - {_quoted(f'{folder}:{_CONFIG_INSIDE}')}",
            ),
        )
    sight = facts.sights.get(inside)
    if sight is Sight.UNREADABLE:
        yield Finding(
            rule="config-unreadable",
            severity=Severity.ERROR,
            what=f"{state.name} may not read its config {inside}" + _as_user(state),
            why="llama-swap does not start with it, or keeps the config it had",
            mend="let the container's user read it",
            commands=_let_read(state, state.config_path or inside),
        )
    elif sight is Sight.ABSENT:
        yield Finding(
            rule="config-absent",
            severity=Severity.ERROR,
            what=f"{state.name} is to read {inside}, which is not there",
            why="llama-swap does not start without it",
            mend=f"put a config at {state.config_path}"
            if state.config_path
            else "mount the folder that the config lies in at "
            f"{PurePosixPath(inside).parent}, or name another with -config",
        )
    if None not in (facts.config_here, facts.config_inside) and (
        facts.config_here != facts.config_inside
    ):
        yield Finding(
            rule="config-stale",
            severity=Severity.ERROR,
            what=f"{state.name} sees another {inside} than {state.config_path} here",
            why="the file was replaced and the mount still holds the old one, so nothing that is "
            "written reaches llama-swap",
            mend="restart the container, which mounts it anew",
            commands=(f"docker restart -t {_GRACE_SECONDS} {shlex.quote(state.name)}",),
        )


def _check_models_mount(state: RuntimeState, models_dir: str, facts: Facts) -> Iterator[Finding]:
    inside = to_container(models_dir, state.mappings)
    if inside is None:
        other = next(
            (item.host for item in state.mappings if item.container == _MODELS_INSIDE), None
        )
        yield Finding(
            rule="models-not-mounted",
            severity=Severity.ERROR,
            what=f"{state.name} does not see {models_dir}"
            + (f": its {_MODELS_INSIDE} is {other}" if other else ""),
            why="llama-swap cannot serve a file that its container does not see",
            mend="mount it" + (", instead of the other" if other else ""),
            compose=_service(
                state, "volumes:", f"  - {_quoted(f'{models_dir}:{_MODELS_INSIDE}:ro')}"
            ),
        )
    elif facts.sights.get(inside) is Sight.UNREADABLE:
        yield Finding(
            rule="models-unreadable",
            severity=Severity.ERROR,
            what=f"{state.name} may not look into {inside}" + _as_user(state),
            why="llama-swap can start none of the models in it",
            mend="let the container's user read it",
            commands=(f"chmod -R o+rX {shlex.quote(models_dir)}",),
        )


def _check_server(state: RuntimeState, facts: Facts) -> Iterator[Finding]:
    if state.is_container and state.url is None:
        port = state.listen_port or _LISTEN_PORT
        yield Finding(
            rule="port-not-published",
            severity=Severity.ERROR,
            what=f"container {state.name} publishes no port that llama-swap listens on ({port})",
            why="whether it is healthy and serves what it should cannot be asked",
            mend="publish it, or say with RECONCILER_LLAMA_SWAP_URL where it answers",
            compose=_service(state, "ports:", f'  - "127.0.0.1:{port}:{port}"'),
        )
    key = "set RECONCILER_LLAMA_SWAP_API_KEY to one of the config's apiKeys"
    match facts.access:
        case Access.KEY_MISSING:
            yield Finding(
                rule="key-missing",
                severity=Severity.ERROR,
                what=f"llama-swap at {state.url} asks for an API key, and none is known",
                why="the health gate cannot see which models it lists, and would roll back",
                mend=key,
            )
        case Access.KEY_REFUSED:
            yield Finding(
                rule="key-refused",
                severity=Severity.ERROR,
                what=f"llama-swap at {state.url} does not accept our API key",
                why="the health gate cannot see which models it lists, and would roll back",
                mend=key,
            )
        case Access.SILENT if not state.is_restarting:
            last = f"; its last words: {facts.log[-1]}" if facts.log else ""
            yield Finding(
                rule="no-answer",
                severity=Severity.ERROR,
                what=f"llama-swap at {state.url} does not answer{last}",
                why="the health gate would find it unhealthy, and roll back",
                mend="see whether it runs, and where; RECONCILER_LLAMA_SWAP_URL names its address",
            )


def _told(rule: str, complaint: Complaint, *, why: str) -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.ERROR,
        what=complaint.message,
        why=why,
        mend=complaint.hint or "mend what it says",
    )


def _service(state: RuntimeState, *lines: str) -> tuple[str, ...]:
    """Give lines of a compose file, below the service that the container is."""
    service = state.labels.get("com.docker.compose.service") or state.name
    return ("services:", f"  {service}:", *(f"    {line}" for line in lines))


def _with_config(state: RuntimeState, path: str) -> list[str]:
    """Give the container's command with another config."""
    command = list(state.command)
    for position, word in enumerate(command):
        flag, equals, _ = word.partition("=")
        if flag not in ("-config", "--config"):
            continue
        if equals:
            command[position] = f"{flag}={path}"
        elif position + 1 < len(command):
            command[position + 1] = path
        return command
    return [*command, "-config", path]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _as_user(state: RuntimeState) -> str:
    return f" (as user {state.user})" if state.user else ""


def _let_read(state: RuntimeState, path: str) -> tuple[str, ...]:
    """Let its group alone read a config, where that is known: a config may hold keys."""
    group = state.user.partition(":")[2]
    quoted = shlex.quote(path)
    if group.isdecimal():
        return (f"chgrp {group} {quoted}", f"chmod g+r {quoted}")
    return (f"chmod o+r {quoted}",)
