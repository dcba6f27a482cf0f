"""What a container's inspection says about llama-swap: its config, its mounts, its URL."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from reconciler.adapters.runtime.processes import Started, read_started
from reconciler.core.mapping import to_host
from reconciler.core.observed import PathMapping, RuntimeState, RuntimeStatus

# Docker's words for a container whose process exists or is about to.
_ALIVE = frozenset({"running", "paused", "restarting"})
# Where the official images keep the config when no flag names it.
_USUAL_CONFIGS = ("/app/config.yaml", "/config.yaml")
# What stands before a line for a shell: `-c`, `-lc`, `-ec`.
_SHELL_FLAG = re.compile(r"-[a-z]{0,3}c")
_LISTEN_DEFAULT = ":8080"
# What Docker gives a container to end, unless it was told otherwise.
DEFAULT_GRACE_SECONDS = 10
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - read from Docker, never bound


def read_inspection(
    attrs: Mapping[str, Any],
    *,
    endpoint: str,
    host: str,
    top: Mapping[str, Any] | None = None,
    problems: tuple[str, ...] = (),
) -> RuntimeState:
    """Read llama-swap's state off `docker inspect`.

    `endpoint` is the engine's address as people know it, `host` the name under which ports that it
    publishes on all addresses are reached from here. `top` is its list of processes, None where
    there is none, and `problems` what could not be asked.
    """
    started = read_started(_words(attrs), top)
    arguments = started.arguments
    mappings = _mappings(attrs)
    inside = _config_inside(arguments, attrs, mappings)
    folder = _flag(arguments, "config-dir")
    folder_inside = _inside(attrs, folder) if folder else None
    status = str((attrs.get("State") or {}).get("Status", ""))
    config, settings = attrs.get("Config") or {}, attrs.get("HostConfig") or {}
    return RuntimeState(
        kind="docker",
        status=RuntimeStatus.RUNNING if status in _ALIVE else RuntimeStatus.STOPPED,
        name=str(attrs.get("Name", "")).lstrip("/"),
        id=str(attrs.get("Id", ""))[:12],
        endpoint=endpoint,
        mappings=mappings,
        config_path=to_host(inside, mappings) if inside and mappings else None,
        config_is_mount=any(inside == mapping.container for mapping in mappings),
        config_dir=to_host(folder_inside, mappings) if folder_inside and mappings else None,
        url=_url(arguments, attrs, host),
        config_inside=inside,
        config_dir_inside=folder_inside,
        watches=_watches(started),
        restart_policy=str((settings.get("RestartPolicy") or {}).get("Name") or "no"),
        is_restarting=status == "restarting",
        stop_grace_seconds=_grace(config),
        user=str(config.get("User") or ""),
        has_health_check=_has_health_check(config),
        listen_port=_listen_port(arguments),
        command=tuple(config.get("Cmd") or ()),
        labels=dict(sorted((config.get("Labels") or {}).items())),
        problems=problems,
    )


def _watches(started: Started) -> bool | None:
    """Whether its own watching is on; a flag that is missing means no only if all are known."""
    value = _switch(started.arguments, "watch-config")
    return value if value is not None or not started.certain else False


def _switch(arguments: Sequence[str], name: str) -> bool | None:
    """Give the value of a flag that takes none, or one after `=`; None where it is not given."""
    found = None
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            # As Go's flag package reads a truth value.
            found = not equals or value in ("1", "t", "T", "true", "TRUE", "True")
    return found


def _grace(config: Mapping[str, Any]) -> int:
    given = config.get("StopTimeout")
    return given if isinstance(given, int) else DEFAULT_GRACE_SECONDS


def _has_health_check(config: Mapping[str, Any]) -> bool:
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return bool(test[0] != "NONE")


def _words(attrs: Mapping[str, Any]) -> list[str]:
    """Give what the container runs, word by word; a line for a shell is cut into its words."""
    words: list[str] = []
    for argument in (attrs.get("Path") or "", *(attrs.get("Args") or ())):
        if words and _SHELL_FLAG.fullmatch(words[-1]):
            try:
                words += shlex.split(argument)
                continue
            except ValueError:
                pass
        words.append(argument)
    return words


def _flag(arguments: Sequence[str], name: str) -> str | None:
    """Give the flag's value, spelled with one dash or two, as Go programs take it."""
    for position, argument in enumerate(arguments):
        if argument in (f"-{name}", f"--{name}"):
            return next(iter(arguments[position + 1 :]), None)
        if argument.startswith((f"-{name}=", f"--{name}=")):
            return argument.partition("=")[2]
    return None


def _mappings(attrs: Mapping[str, Any]) -> tuple[PathMapping, ...]:
    found = (
        PathMapping(
            host=str(PurePosixPath(mount["Source"])),
            container=str(PurePosixPath(mount["Destination"])),
            writable=bool(mount.get("RW", True)),
        )
        for mount in attrs.get("Mounts") or ()
        if mount.get("Source") and mount.get("Destination")
    )
    # Docker lists mounts in another order at every look; two looks at one container are equal.
    return tuple(sorted(found, key=lambda mapping: mapping.container))


def _config_inside(
    arguments: Sequence[str], attrs: Mapping[str, Any], mappings: Sequence[PathMapping]
) -> str | None:
    """Give the config's path inside: the flag's, else the first usual place that a mount holds.

    None where llama-swap is given a folder of configs alone.
    """
    if named := _flag(arguments, "config"):
        return _inside(attrs, named)
    if _flag(arguments, "config-dir"):
        return None
    usual = (_inside(attrs, "config.yaml"), *_USUAL_CONFIGS)
    return next((path for path in usual if mappings and to_host(path, mappings)), usual[0])


def _inside(attrs: Mapping[str, Any], path: str) -> str:
    """Give a path as the container's process takes it: from its working folder."""
    folder = (attrs.get("Config") or {}).get("WorkingDir") or "/"
    return posixpath.normpath(posixpath.join(folder, path))


def _listen_port(arguments: Sequence[str]) -> str:
    return (_flag(arguments, "listen") or _LISTEN_DEFAULT).rpartition(":")[2]


def _url(arguments: Sequence[str], attrs: Mapping[str, Any], host: str) -> str | None:
    """Give the URL of the port that llama-swap listens on, as the engine publishes it."""
    port = _listen_port(arguments)
    settings = attrs.get("HostConfig") or {}
    if settings.get("NetworkMode") == "host":
        return _address(host, port)
    # A stopped container has no ports of its own, but it keeps those it was made with.
    published = (attrs.get("NetworkSettings") or {}).get("Ports") or settings.get("PortBindings")
    bindings = {
        inside: binding
        for inside, several in (published or {}).items()
        for binding in several or ()
        if str(binding.get("HostPort") or "0") != "0" and not inside.endswith("/udp")
    }
    if len(bindings) == 1:
        binding = next(iter(bindings.values()))
    elif f"{port}/tcp" in bindings:
        binding = bindings[f"{port}/tcp"]
    else:
        return None
    address = str(binding.get("HostIp") or "")
    return _address(host if address in _ANY_ADDRESS else address, str(binding["HostPort"]))


def _address(host: str, port: str) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
