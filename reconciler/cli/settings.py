"""Settings: options win over the environment, that over `.env`, that over defaults."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from reconciler.cli.quantities import (
    Address,
    parse_address,
    parse_duration,
    parse_interval,
    parse_rate,
)
from reconciler.core.generations import GENERATIONS_KEPT
from reconciler.core.observed import PathMapping
from reconciler.core.sizes import parse_bytes
from reconciler.core.windows import Window, parse_windows
from reconciler.errors import UsageError

_HINT = "see `reconcile --help` for what it takes"
# A hundred years.
_MOST_HOURS = 876_600
# A digest of eight characters, and as much of a name as tells people something.
_SHORTEST_KEY = 24
_MOST_READERS = 64
# The one that stands, and the one before it.
_FEWEST_GENERATIONS = 2
# What people are told of a watch's runs, unless they choose less.
NOTIFY_ON = ("applied", "failed", "rolled back")
_TRUE = {"1", "on", "yes", "true"}
_FALSE = {"", "0", "off", "no", "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a command may be told. None means: find out, or do without.

    `environment` is what the settings were read from, for the adapters that know further names.
    """

    manifest: Path = Path("manifests")
    models_dir: Path | None = None
    state_dir: Path | None = None
    config: Path | None = None
    config_dir: Path | None = None
    runtime: str | None = None
    docker_host: str | None = None
    container: str = "llama-swap"
    reload_command: tuple[str, ...] = ()
    restart_command: tuple[str, ...] = ()
    health_command: tuple[str, ...] = ()
    log_command: tuple[str, ...] = ()
    command_timeout: float = 120.0
    path_map: tuple[PathMapping, ...] = ()
    llama_swap_url: str | None = None
    llama_swap_api_key: str | None = None
    llama_server: str | None = None
    hf_endpoint: str = "https://huggingface.co"
    adopt: str = "auto"
    adopt_from: tuple[Path, ...] = ()
    offline: bool = False
    locked: bool = False
    yes: bool = False
    allow_prune: bool = False
    json: bool = False
    detailed_exitcode: bool = False
    lock_timeout: float = 30.0
    health_timeout: float = 60.0
    reload: str = "auto"
    disk_reserve: int = 2**30
    download_window: tuple[Window, ...] = ()
    drain: float = 300.0
    drain_then: str = "reload"
    restart_window: tuple[Window, ...] = ()
    probe: bool = False
    warm: bool = False
    limit_rate: int | None = None
    hash_jobs: int | None = None
    metadata_ttl: float = 86400.0
    max_backups: int = 3
    trash_ttl: float = 7 * 86_400.0
    generations: int = GENERATIONS_KEPT
    resync: float = 600.0
    debounce: float = 0.1
    poll: str = "auto"
    git_pull: float | None = None
    git_verify: bool = False
    git_lock_branch: str | None = None
    listen: Address | None = None
    notify_command: tuple[str, ...] = ()
    notify_url: str | None = None
    notify_on: tuple[str, ...] = NOTIFY_ON
    sync_mode: str = "auto"
    force_full_sync: bool = False
    incremental_window_hours: float = 48.0
    full_sync_threshold_hours: float = 168.0
    max_key_length: int = 80
    verbose: bool = False
    quiet: bool = False
    log_format: str = "text"
    no_color: bool = False
    environment: Mapping[str, str]


def load_settings(options: Namespace, environment: Mapping[str, str] | None = None) -> Settings:
    """Join options, environment and `.env` (in the working folder) into settings.

    Raises:
        UsageError: a value is not of its setting's kind; the message names where it was given.
    """
    environment = {**_dotenv(Path(".env")), **(os.environ if environment is None else environment)}
    values: dict[str, Any] = {}
    for name in _PARSERS:
        value = _find(name, options, environment)
        if value is not None:
            values[name] = value
    # https://no-color.org: present and not empty, whatever its value.
    values["no_color"] = values.get("no_color", False) or bool(environment.get("NO_COLOR"))
    return Settings(**values, environment=environment)


def load_how_shown(options: Namespace, environment: Mapping[str, str] | None = None) -> Settings:
    """Give only the settings on how things are shown, the others at their defaults; never raises.

    A value that is wrong counts as not given: that it is wrong must still be said somehow.
    """
    environment = os.environ if environment is None else environment
    with suppress(UsageError):
        environment = {**_dotenv(Path(".env")), **environment}
    values: dict[str, Any] = {}
    for name in ("json", "quiet", "verbose", "log_format", "no_color"):
        with suppress(UsageError):
            values[name] = _find(name, options, environment)
    values = {name: value for name, value in values.items() if value is not None}
    values["no_color"] = values.get("no_color", False) or bool(environment.get("NO_COLOR"))
    return Settings(**values, environment=environment)


def setting_names() -> tuple[str, ...]:
    """Give the names of all settings, as `RECONCILER_<NAME>` spells them in upper case."""
    return tuple(item.name for item in fields(Settings) if item.name != "environment")


def _find(name: str, options: Namespace, environment: Mapping[str, str]) -> Any:
    """Give the value of one setting, None where nobody gave one."""
    parse = _PARSERS[name]
    given = getattr(options, name, None)
    if given is not None:
        return _parsed(parse, given, f"--{name.replace('_', '-')}")
    for variable in (f"RECONCILER_{name.upper()}", *_OLDER_NAMES.get(name, ())):
        if environment.get(variable):
            return _parsed(parse, environment[variable], variable)
    return None


def _dotenv(path: Path) -> Mapping[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{path}: cannot be read: {why}",
            hint="settings are read from it; mend it, or run in another folder",
        ) from error
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(text)):
        if binding.error:
            raise UsageError(
                f"{path}:{binding.original.line}: this is not NAME=VALUE",
                hint="mend that line; one that begins with # is a comment",
            )
    values = dotenv_values(stream=StringIO(text))
    return {key: value for key, value in values.items() if value is not None}


def _parsed(parse: Callable[[Any], Any], given: object, where: str) -> Any:
    try:
        return parse(given)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint=_HINT) from error


def _flag(given: object) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{given!r} is neither on nor off")


def _number(given: object) -> float:
    try:
        number = float(str(given))
    except ValueError:
        raise ValueError(f"{given!r} is not a number of seconds") from None
    if not 0 <= number < float("inf"):
        raise ValueError(f"{given!r} is not a number of seconds")
    return number


def _seconds(given: object) -> float:
    if not (seconds := _number(given)):
        raise ValueError(f"{given!r} leaves no time")
    return seconds


def _command(given: object) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(str(given)))
    except ValueError as error:
        # A command may hold a secret, so it is not shown.
        raise ValueError(f"is no command: {str(error).lower()}") from None
    if not words or not words[0]:
        raise ValueError("names no program")
    return words


def _count(given: object) -> int:
    text = str(given).strip()
    if not text.isdecimal():
        raise ValueError(f"{given!r} is not a whole number")
    return int(text)


def _hours(given: object) -> float:
    try:
        hours = float(str(given))
    except ValueError:
        raise ValueError(f"{given!r} is not a number of hours") from None
    if not 0 <= hours <= _MOST_HOURS:
        raise ValueError(f"{given!r} is not a number of hours up to {_MOST_HOURS}")
    return hours


def _key_length(given: object) -> int:
    length = _count(given)
    if length < _SHORTEST_KEY:
        raise ValueError(f"{given!r} leaves no room for a name: {_SHORTEST_KEY} is the least")
    return length


def _generations(given: object) -> int:
    if (count := _count(given)) < _FEWEST_GENERATIONS:
        raise ValueError(f"{given!r} leaves none to go back to: {_FEWEST_GENERATIONS} is the least")
    return count


def _readers(given: object) -> int | None:
    if str(given).strip().lower() == "auto":
        return None
    if not 1 <= (count := _count(given)) <= _MOST_READERS:
        raise ValueError(f"{given!r} is neither auto nor a number from 1 to {_MOST_READERS}")
    return count


def _notify_on(given: object) -> tuple[str, ...]:
    words = tuple(word.strip() for word in str(given).split(",") if word.strip())
    if wrong := [word for word in words if word not in NOTIFY_ON]:
        raise ValueError(f"{wrong[0]!r} is none of {', '.join(NOTIFY_ON)}")
    return words


def _size(given: object) -> int:
    return parse_bytes(str(given))


def _choice(*allowed: str) -> Callable[[object], str]:
    def parse(given: object) -> str:
        if given not in allowed:
            raise ValueError(f"{given!r} is none of {', '.join(allowed)}")
        return str(given)

    return parse


def _text(given: object) -> str:
    # Most often a variable that is not set: "" as a path would be the working folder.
    if not str(given).strip():
        raise ValueError("is empty")
    return str(given)


def _path(given: object) -> Path:
    try:
        return Path(_text(given)).expanduser()
    except RuntimeError:
        raise ValueError(f"{given!r}: the home folder is not known; write it out") from None


def _folder(given: object) -> Path:
    return _path(given).absolute()


def _paths(given: object) -> tuple[Path, ...]:
    each = given.split(",") if isinstance(given, str) else list(given)  # type: ignore[call-overload]
    return tuple(_path(str(path).strip()).absolute() for path in each)


def _path_map(given: object) -> tuple[PathMapping, ...]:
    pairs = given.split(",") if isinstance(given, str) else list(given)  # type: ignore[call-overload]
    mappings = []
    for pair in pairs:
        host, _, container = str(pair).strip().rpartition("=")
        if not (host.startswith("/") and container.startswith("/")):
            raise ValueError(f"{pair!r} is not HOST=CONTAINER with two absolute paths")
        mappings.append(PathMapping(host=host, container=container))
    return tuple(mappings)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "manifest": _path,
    "models_dir": _path,
    "state_dir": _folder,
    "config": _path,
    "config_dir": _path,
    "runtime": _choice("docker", "command", "none"),
    "docker_host": _text,
    "container": _text,
    "reload_command": _command,
    "restart_command": _command,
    "health_command": _command,
    "log_command": _command,
    "command_timeout": _seconds,
    "path_map": _path_map,
    "llama_swap_url": _text,
    "llama_swap_api_key": _text,
    "llama_server": _text,
    "hf_endpoint": _text,
    "adopt": _choice("auto", "off"),
    "adopt_from": _paths,
    "offline": _flag,
    "locked": _flag,
    "yes": _flag,
    "allow_prune": _flag,
    "json": _flag,
    "detailed_exitcode": _flag,
    "lock_timeout": _number,
    "health_timeout": _number,
    "reload": _choice("auto", "watch", "signal", "restart", "none"),
    "disk_reserve": _size,
    "download_window": parse_windows,
    "drain": parse_duration,
    "drain_then": _choice("reload", "wait"),
    "restart_window": parse_windows,
    "probe": _flag,
    "warm": _flag,
    "limit_rate": parse_rate,
    "hash_jobs": _readers,
    "metadata_ttl": parse_duration,
    "max_backups": _count,
    "trash_ttl": parse_duration,
    "generations": _generations,
    "resync": _seconds,
    "debounce": _number,
    "poll": _choice("auto", "on"),
    "git_pull": parse_interval,
    "git_verify": _flag,
    "git_lock_branch": _text,
    "listen": parse_address,
    "notify_command": _command,
    "notify_url": _text,
    "notify_on": _notify_on,
    "sync_mode": _choice("auto", "incremental", "full"),
    "force_full_sync": _flag,
    "incremental_window_hours": _hours,
    "full_sync_threshold_hours": _hours,
    "max_key_length": _key_length,
    "verbose": _flag,
    "quiet": _flag,
    "log_format": _choice("text", "json"),
    "no_color": _flag,
}
_OLDER_NAMES: Mapping[str, tuple[str, ...]] = {
    "models_dir": ("LLAMA_SWAP_MODELS_DIR",),
    "config": ("LLAMA_SWAP_CONFIG",),
    "container": ("LLAMA_SWAP_CONTAINER",),
    "max_backups": ("LLAMA_SWAP_MAX_BACKUPS",),
    "sync_mode": ("SYNC_MODE",),
    "force_full_sync": ("FORCE_FULL_SYNC",),
    "incremental_window_hours": ("INCREMENTAL_WINDOW_HOURS",),
    "full_sync_threshold_hours": ("FULL_SYNC_THRESHOLD_HOURS",),
    "max_key_length": ("LLAMA_SWAP_MAX_KEY_LENGTH",),
    "hf_endpoint": ("HF_ENDPOINT",),
    "offline": ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
}
