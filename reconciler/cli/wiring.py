"""Join the engine's ports with the adapters, by what the settings say: the one place that may."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.adapters.foreign.stores import ForeignStores
from reconciler.adapters.manifest_files import lock_path_of, read_manifest
from reconciler.adapters.store.known_digests import HashedFiles, KnownDigests, cache_folder
from reconciler.adapters.store.lock_file import MOVED_PINS, LockTextFile
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.mounts import Mounts
from reconciler.adapters.store.run_lock import RunLock
from reconciler.adapters.system_clock import SystemClock, local_zone
from reconciler.cli.config_home import find_api_key, open_config
from reconciler.cli.keeping import open_kept
from reconciler.cli.moved_pins import find_moved_pins
from reconciler.cli.network import Network
from reconciler.cli.settings import Settings
from reconciler.core.manifest import Manifest
from reconciler.core.observed import RuntimeState
from reconciler.core.patience import Patience
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.reporting import Reporter
from reconciler.core.ports.serving import Runtime
from reconciler.core.reading.manifest_text import ManifestText, parse_manifest
from reconciler.core.windows import ANY_TIME, OpenTimes, Window
from reconciler.engine.host import Host
from reconciler.errors import Fault, ManifestInvalid, ReconcilerError, UsageError

if TYPE_CHECKING:
    # What one verb alone needs is imported where it is opened, so that the others start without.
    from reconciler.core.ports.serving import Server
    from reconciler.engine.pins import PinSources

_READABLE = "run as a user who may read it, or mend its owner and mode"
_STARTER = """\
begin one in {file}:

    version: 1
    models:
      qwen3-0.6b:
        source: unsloth/Qwen3-0.6B-GGUF:Q8_0

then look at what it would do: `reconcile --plan`. To see it all at work first: `reconcile demo`"""
_MODELS_MOUNT = "/models"
_DOCKER_SERVER = "/app/llama-server"
_HOST_SERVER = "llama-server"


def load_manifest(settings: Settings) -> Manifest:
    """Read and check the manifest. Raises `ManifestInvalid`."""
    return parse_manifest(load_manifest_texts(settings))


def load_manifest_texts(settings: Settings) -> tuple[ManifestText, ...]:
    """Read the files that make up the manifest. Raises `ManifestInvalid`."""
    try:
        return read_manifest(settings.manifest)
    except ManifestInvalid as error:
        hint = error.hint or _how_to_begin(settings.manifest)
        raise ManifestInvalid(error.faults, hint=hint) from error
    except OSError as error:
        where = str(error.filename or settings.manifest)
        fault = Fault(path=where, line=0, column=0, message=f"cannot be read: {error.strerror}")
        raise ManifestInvalid([fault], hint=_READABLE) from error


@contextmanager
def open_host(
    settings: Settings, reporter: Reporter, *, for_writing: bool, clock: Clock | None = None
) -> Iterator[Host]:
    """Open everything a pass needs, and close it again. `clock` is the system's, unless given.

    With `for_writing=False` nothing on the host can be changed, not even by accident.

    Raises:
        UsageError: a folder or file that is needed is named nowhere.
        RuntimeUnavailable: the container cannot be looked at.
        ReconcilerError: the models folder is not there, or its inventory is damaged.
    """
    clock = clock or SystemClock()
    runtime = open_runtime(settings, reporter)
    state = runtime.observe()
    folder = ModelsFolder(models_dir_of(settings, state))
    config, config_folder = open_config(settings, state)
    lock_path = lock_path_of(settings.manifest)
    with (
        open_kept(folder, settings, reporter, for_writing=for_writing) as kept,
        closing(
            KnownDigests(
                kept.inventory.digests,
                cache_folder=cache_folder(settings.environment),
                keep_in_cache=not for_writing,
                reporter=reporter,
                readers=settings.hash_jobs,
            )
        ) as digests,
        closing(Network(settings, clock, reporter)) as network,
    ):
        moved_path = kept.state / MOVED_PINS
        yield Host(
            hub=network,
            transfer=network,
            local=HashedFiles(digests),
            digests=digests,
            folder=folder,
            filesystems=Mounts(),
            stores=ForeignStores(
                settings.environment,
                programs=settings.adopt == "auto",
                models_folder=folder.root,
                folders=settings.adopt_from,
            ),
            inventory=kept.inventory,
            lock=LockTextFile(lock_path),
            lock_path=str(lock_path),
            moved=LockTextFile(moved_path),
            moved_path=str(moved_path),
            config=config,
            config_path=str(config.path) if config else None,
            config_folder=config_folder,
            runtime=runtime,
            open_server=lambda url: open_server(url, find_api_key(settings, config, config_folder)),
            clock=clock,
            reporter=reporter,
            llama_server=_llama_server(settings, state),
            health_timeout_seconds=settings.health_timeout,
            trash_ttl_seconds=settings.trash_ttl,
            generations_kept=settings.generations,
            reload=settings.reload,
            download_times=_times(settings.download_window, settings),
            restart_times=_times(settings.restart_window, settings),
            patience=Patience(seconds=settings.drain, waits_on=settings.drain_then == "wait"),
            probe=settings.probe,
            warm=settings.warm,
            opened_from=(*kept.opened_from, moved_path),
            remembered=kept.remembered,
            state=kept.state,
        )


def find_models_dir(settings: Settings, reporter: Reporter) -> Path:
    """Give the models folder as it is named, else as the container mounts it.

    Raises `UsageError`, `RuntimeUnavailable`.
    """
    if settings.models_dir is not None:
        return settings.models_dir
    return models_dir_of(settings, open_runtime(settings, reporter).observe())


@contextmanager
def locked_host(
    settings: Settings, reporter: Reporter, *, clock: Clock | None = None
) -> Iterator[Host]:
    """Open the host for writing and hold its run lock. Raises also `LockHeld`."""
    with (
        open_host(settings, reporter, for_writing=True, clock=clock) as host,
        RunLock(
            host.state,
            timeout_seconds=settings.lock_timeout,
            clock=host.clock,
            reporter=reporter,
        ),
    ):
        yield host


@contextmanager
def open_pins(
    settings: Settings, reporter: Reporter
) -> Iterator[tuple[LockTextFile, str, PinSources]]:
    """Open what the lock is made from. The host itself is not looked at.

    The models folder is used where it is known, only to tell local files that lie in it.
    """
    from reconciler.engine.pins import PinSources

    lock_path = lock_path_of(settings.manifest)
    moved = find_moved_pins(settings)
    with (
        closing(
            KnownDigests(
                None,
                cache_folder=cache_folder(settings.environment),
                keep_in_cache=True,
                reporter=reporter,
                readers=settings.hash_jobs,
            )
        ) as cache,
        closing(Network(settings, SystemClock(), reporter)) as network,
    ):
        yield (
            LockTextFile(lock_path),
            str(lock_path),
            PinSources(
                hub=network,
                transfer=network,
                local=HashedFiles(cache),
                models_dir=str(settings.models_dir.resolve()) if settings.models_dir else None,
                moved=moved,
                moved_path=str(moved.path) if moved is not None else "",
            ),
        )


def _how_to_begin(manifest: Path) -> str:
    """Say what to do where there is no manifest; where one cannot be read, whose it should be."""
    if manifest.is_file() or (manifest.is_dir() and not os.access(manifest, os.R_OK | os.X_OK)):
        return _READABLE
    file = manifest if manifest.suffix in (".yaml", ".yml") else manifest / "home.yaml"
    return _STARTER.format(file=file)


def open_runtime(settings: Settings, reporter: Reporter) -> Runtime:
    """Give what runs llama-swap, as it is named, else as it is found; it is not looked at yet.

    Raises:
        UsageError: what it needs is not named.
        ReconcilerError: which container is meant cannot be told.
    """
    from reconciler.adapters.runtime.docker import DockerRuntime, find_container
    from reconciler.adapters.runtime.told import ToldRuntime
    from reconciler.adapters.runtime.unmanaged import UnmanagedRuntime

    kind = settings.runtime
    if kind is None:
        if settings.reload_command or settings.restart_command:
            raise UsageError(
                "a command is named that reloads or restarts llama-swap, and no runtime",
                hint="say --runtime command (or RECONCILER_RUNTIME=command) if it is to be used",
            )
        try:
            found = find_container(
                settings.container, settings.docker_host, environ=settings.environment
            )
        except ReconcilerError as error:
            reporter.warn(
                f"{error.message}; llama-swap is taken to run outside Docker",
                f"{error.hint}; or say --runtime none, if that is so",
            )
            found = False
        kind = "docker" if found else "none"
    runtime: Runtime = UnmanagedRuntime()
    if kind == "command":
        runtime = _command_runtime(settings)
    elif kind == "docker":
        runtime = DockerRuntime(
            container=settings.container,
            endpoint=settings.docker_host,
            environ=settings.environment,
        )
    return ToldRuntime(runtime, url=settings.llama_swap_url, mappings=settings.path_map)


def _command_runtime(settings: Settings) -> Runtime:
    from reconciler.adapters.runtime.command import CommandRuntime, Commands

    if not (settings.reload_command or settings.restart_command):
        raise UsageError(
            "--runtime command: no command is named that makes llama-swap read its config",
            hint="set RECONCILER_RESTART_COMMAND, RECONCILER_RELOAD_COMMAND, or both",
        )
    if settings.llama_swap_url is None:
        raise UsageError(
            "--runtime command: it is not known where llama-swap answers",
            hint="set RECONCILER_LLAMA_SWAP_URL, such as http://127.0.0.1:8080",
        )
    commands = Commands(
        reload=settings.reload_command,
        restart=settings.restart_command,
        health=settings.health_command,
        log=settings.log_command,
    )
    return CommandRuntime(
        commands, environ=settings.environment, timeout_seconds=settings.command_timeout
    )


def models_dir_of(settings: Settings, state: RuntimeState) -> Path:
    """Give the models folder as it is named, else as it is mounted. Raises `UsageError`."""
    if settings.models_dir is not None:
        return settings.models_dir
    for mapping in state.mappings:
        if mapping.container == _MODELS_MOUNT:
            return Path(mapping.host)
    sought = settings.runtime is None and settings.container and not state.is_container
    raise UsageError(
        "the models folder is not known"
        + (f", and no container {settings.container!r} was found" if sought else ""),
        hint="name it with --models-dir PATH (or RECONCILER_MODELS_DIR); a container's is taken "
        f"from its mount at {_MODELS_MOUNT}"
        + (": name the container with --container" if sought else ""),
    )


def _llama_server(settings: Settings, state: RuntimeState) -> str:
    if settings.llama_server:
        return settings.llama_server
    return _DOCKER_SERVER if state.is_container else _HOST_SERVER


def _times(windows: tuple[Window, ...], settings: Settings) -> OpenTimes:
    if not windows:
        return ANY_TIME
    return OpenTimes(windows=windows, zone=local_zone(settings.environment))


def open_server(url: str, api_key: str | None) -> Server:
    """Give llama-swap's HTTP interface at `url`; nothing is asked yet."""
    from reconciler.adapters.llamaswap.api import LlamaSwapServer

    return LlamaSwapServer(url, api_key=api_key)
