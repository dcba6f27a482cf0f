"""One host as a pass sees it: every port, joined, with the few settings that the engine needs."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.ports import (
    Clock,
    ConfigFile,
    Hub,
    Inventory,
    KnownDigests,
    LocalFiles,
    LockFile,
    ModelsFolder,
    Reporter,
    Runtime,
    ServerFactory,
    Transfer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """All that one pass talks to.

    `config` is None where no llama-swap config is managed. `llama_server` is the path of the server
    in commands. `health_timeout_seconds` is how long the health gate may take.
    """

    hub: Hub
    transfer: Transfer
    local: LocalFiles
    digests: KnownDigests
    folder: ModelsFolder
    inventory: Inventory
    lock: LockFile
    lock_path: str
    config: ConfigFile | None
    config_path: str | None
    runtime: Runtime
    open_server: ServerFactory
    clock: Clock
    reporter: Reporter
    llama_server: str
    health_timeout_seconds: float = 60.0
