"""Which config we write, and what llama-swap merges it with: by setting, else as it was started."""

from __future__ import annotations

from pathlib import Path

from reconciler.adapters.llamaswap.config_file import ConfigFile
from reconciler.adapters.llamaswap.config_folder import ConfigFolder
from reconciler.cli.settings import Settings
from reconciler.core.observed import RuntimeState
from reconciler.core.siblings import OUR_FILE
from reconciler.errors import ReconcilerError, UsageError


def open_config(
    settings: Settings, state: RuntimeState
) -> tuple[ConfigFile, ConfigFolder] | tuple[None, None]:
    """Give the config to write and what lies around it; none where no config is managed.

    A config that was named is the one. Else a folder of configs gets a file of our own, and without
    one llama-swap's config is taken.

    Raises:
        UsageError: it is not known where the config lies, or its folder is not there.
    """
    found = Path(state.config_path) if state.config_path else None
    folder = settings.config_dir or (Path(state.config_dir) if state.config_dir else None)
    own = settings.config or (folder / OUR_FILE if folder else found)
    if own is None:
        if state.is_container:
            raise UsageError(
                f"container {state.name} does not say where its config lies on this host",
                hint="name it with --config PATH (or RECONCILER_CONFIG)",
            )
        return None, None
    if folder is not None and not folder.is_dir():
        raise UsageError(
            f"the folder of llama-swap's configs is not there: {folder}",
            hint="name the one that llama-swap is given as -config-dir with --config-dir PATH",
        )
    if not own.parent.is_dir():
        raise UsageError(
            f"the folder of llama-swap's config is not there: {own.parent}",
            hint="name the config that llama-swap reads with --config PATH",
        )
    is_found = found is not None and own.resolve() == found.resolve()
    # However the mounted file was named, a rename would not be seen inside the container.
    in_place = state.config_is_mount and is_found
    return (
        ConfigFile(own.absolute(), in_place=in_place, max_backups=settings.max_backups),
        ConfigFolder(
            folder.absolute() if folder else None,
            own=own.absolute(),
            named=found if found and found.is_file() and not is_found else None,
        ),
    )


def find_api_key(
    settings: Settings, config: ConfigFile | None, folder: ConfigFolder | None
) -> str | None:
    """Give the key from the settings, else the first literal one that llama-swap is given."""
    from reconciler.core.config_sources import read_sources
    from reconciler.core.yamltext.config import read_config

    if settings.llama_swap_api_key or config is None or folder is None:
        return settings.llama_swap_api_key
    path = str(config.path)
    try:
        own = read_config(config.read() or b"", path)
        keys = read_sources(path, folder.read()).merged(own).data.get("apiKeys")
    except ReconcilerError:
        return None
    literal = [key for key in keys if "${" not in str(key)] if isinstance(keys, list) else []
    return str(literal[0]) if literal else None
