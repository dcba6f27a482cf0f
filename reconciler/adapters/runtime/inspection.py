"""What a container's inspection says about llama-swap: its config, its mounts, its URL."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from reconciler.core.mapping import to_host
from reconciler.core.observed import PathMapping, RuntimeState, RuntimeStatus

# Docker's words for a container whose process exists or is about to.
_ALIVE = frozenset({"running", "paused", "restarting"})
# Where the official images keep the config when no flag names it.
_USUAL_CONFIGS = ("/app/config.yaml", "/config.yaml")
_LISTEN_DEFAULT = ":8080"
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - read from Docker, never bound


def read_inspection(attrs: Mapping[str, Any], *, endpoint: str, host: str) -> RuntimeState:
    """Read llama-swap's state off `docker inspect`.

    `endpoint` is the engine's address as people know it, `host` the name under which ports that it
    publishes on all addresses are reached from here.
    """
    arguments = _arguments(attrs)
    mappings = _mappings(attrs)
    inside = _config_inside(arguments, attrs, mappings)
    folder = _flag(arguments, "config-dir")
    status = str((attrs.get("State") or {}).get("Status", ""))
    return RuntimeState(
        kind="docker",
        status=RuntimeStatus.RUNNING if status in _ALIVE else RuntimeStatus.STOPPED,
        name=str(attrs.get("Name", "")).lstrip("/"),
        id=str(attrs.get("Id", ""))[:12],
        endpoint=endpoint,
        mappings=mappings,
        config_path=to_host(inside, mappings) if inside and mappings else None,
        config_is_mount=any(inside == mapping.container for mapping in mappings),
        config_dir=to_host(_inside(attrs, folder), mappings) if folder and mappings else None,
        url=_url(arguments, attrs, host),
    )


def _arguments(attrs: Mapping[str, Any]) -> list[str]:
    """Give what the container runs, word by word; a line for a shell is cut into its words."""
    words: list[str] = []
    for argument in (attrs.get("Path") or "", *(attrs.get("Args") or ())):
        if any(sign.isspace() for sign in argument):
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


def _url(arguments: Sequence[str], attrs: Mapping[str, Any], host: str) -> str | None:
    """Give the URL of the port that llama-swap listens on, as the engine publishes it."""
    port = (_flag(arguments, "listen") or _LISTEN_DEFAULT).rpartition(":")[2]
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
