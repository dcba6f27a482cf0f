"""Settings: options win over the environment, that over `.env`, that over defaults."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from reconciler.adapters.base.whole_file import read_whole
from reconciler.cli import setting_kinds as kinds
from reconciler.cli.quantities import (
    NOTIFY_ON,
    Address,
    parse_address,
    parse_duration,
    parse_events,
    parse_interval,
    parse_rate,
    parse_web_hook,
)
from reconciler.core.generations import GENERATIONS_KEPT
from reconciler.core.observed import PathMapping
from reconciler.core.windows import Window, parse_windows
from reconciler.errors import UsageError

_HINT = "see `reconcile --help` for what it takes"


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
        text = read_whole(path).decode("utf-8")
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

    for binding in parse_stream(StringIO(text, newline=None)):
        if binding.error:
            raise UsageError(
                f"{path}:{binding.original.line}: this is not NAME=VALUE",
                hint="mend that line; one that begins with # is a comment",
            )
    values = dotenv_values(stream=StringIO(text, newline=None))
    return {key: value for key, value in values.items() if value is not None}


def _parsed(parse: Callable[[Any], Any], given: object, where: str) -> Any:
    try:
        return parse(given)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint=_HINT) from error


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "manifest": kinds.parse_path,
    "models_dir": kinds.parse_path,
    "state_dir": kinds.parse_folder,
    "config": kinds.parse_path,
    "config_dir": kinds.parse_path,
    "runtime": kinds.parse_choice("docker", "command", "none"),
    "docker_host": kinds.parse_text,
    "container": kinds.parse_text,
    "reload_command": kinds.parse_command,
    "restart_command": kinds.parse_command,
    "health_command": kinds.parse_command,
    "log_command": kinds.parse_command,
    "command_timeout": kinds.parse_seconds,
    "path_map": kinds.parse_path_map,
    "llama_swap_url": kinds.parse_text,
    "llama_swap_api_key": kinds.parse_text,
    "llama_server": kinds.parse_text,
    "hf_endpoint": kinds.parse_text,
    "adopt": kinds.parse_choice("auto", "off"),
    "adopt_from": kinds.parse_paths,
    "offline": kinds.parse_flag,
    "locked": kinds.parse_flag,
    "yes": kinds.parse_flag,
    "allow_prune": kinds.parse_flag,
    "json": kinds.parse_flag,
    "detailed_exitcode": kinds.parse_flag,
    "lock_timeout": kinds.parse_number,
    "health_timeout": kinds.parse_number,
    "reload": kinds.parse_choice("auto", "watch", "signal", "restart", "none"),
    "disk_reserve": kinds.parse_size,
    "download_window": parse_windows,
    "drain": parse_duration,
    "drain_then": kinds.parse_choice("reload", "wait"),
    "restart_window": parse_windows,
    "probe": kinds.parse_flag,
    "warm": kinds.parse_flag,
    "limit_rate": parse_rate,
    "hash_jobs": kinds.parse_readers,
    "metadata_ttl": parse_duration,
    "max_backups": kinds.parse_count,
    "trash_ttl": parse_duration,
    "generations": kinds.parse_generations,
    "resync": kinds.parse_seconds,
    "debounce": kinds.parse_number,
    "poll": kinds.parse_choice("auto", "on"),
    "git_pull": parse_interval,
    "git_verify": kinds.parse_flag,
    "git_lock_branch": kinds.parse_text,
    "listen": parse_address,
    "notify_command": kinds.parse_command,
    "notify_url": parse_web_hook,
    "notify_on": parse_events,
    "sync_mode": kinds.parse_choice("auto", "incremental", "full"),
    "force_full_sync": kinds.parse_flag,
    "incremental_window_hours": kinds.parse_hours,
    "full_sync_threshold_hours": kinds.parse_hours,
    "max_key_length": kinds.parse_key_length,
    "verbose": kinds.parse_flag,
    "quiet": kinds.parse_flag,
    "log_format": kinds.parse_choice("text", "json"),
    "no_color": kinds.parse_flag,
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
