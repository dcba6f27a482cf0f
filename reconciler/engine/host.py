"""One host as a pass sees it: every port, joined, with the few settings that the engine needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.generations import GENERATIONS_KEPT
from reconciler.core.patience import FIVE_MINUTES, Patience
from reconciler.core.windows import ANY_TIME, OpenTimes

if TYPE_CHECKING:
    # Most verbs need a few of the ports, and pay for no more.
    from reconciler.core.ports.clock import Clock
    from reconciler.core.ports.copies import ForeignStores
    from reconciler.core.ports.digests import KnownDigests, LocalFiles
    from reconciler.core.ports.hub import Hub
    from reconciler.core.ports.reporting import Reporter
    from reconciler.core.ports.serving import Runtime, ServerFactory
    from reconciler.core.ports.store import Filesystems, Inventory, ModelsFolder
    from reconciler.core.ports.texts import ConfigFile, ConfigFolder, LockFile
    from reconciler.core.ports.transfer import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """All that one pass talks to.

    `config` and `config_folder` are None where no llama-swap config is managed. `llama_server` is
    the path of the server in commands. `health_timeout_seconds` is how long the health gate may
    take, `reload` how llama-swap may be told of a change (as `ladder` takes it), and
    `download_times` say when bytes may be fetched. `moved` holds the pins that this host keeps for
    itself. `opened_from` are the files that were read to open all this. `trash_ttl_seconds` is how
    long what was taken away is kept, and `generations_kept` how many states are. `state` is the
    folder that inventory and run lock lie in. `remembered`: an earlier run is known to have applied
    models to this models folder. `restart_times` say when llama-swap's work may be cut, and
    `patience` how long it is waited for before; `probe`: changed models must answer, `warm`: what
    was loaded is loaded again.
    """

    hub: Hub
    transfer: Transfer
    local: LocalFiles
    digests: KnownDigests
    folder: ModelsFolder
    filesystems: Filesystems
    stores: ForeignStores
    inventory: Inventory
    lock: LockFile
    lock_path: str
    moved: LockFile
    moved_path: str
    config: ConfigFile | None
    config_path: str | None
    runtime: Runtime
    open_server: ServerFactory
    clock: Clock
    reporter: Reporter
    llama_server: str
    health_timeout_seconds: float = 60.0
    reload: str = "auto"
    trash_ttl_seconds: float = 7 * 86_400.0
    generations_kept: int = GENERATIONS_KEPT
    download_times: OpenTimes = ANY_TIME
    restart_times: OpenTimes = ANY_TIME
    patience: Patience = FIVE_MINUTES
    probe: bool = False
    warm: bool = False
    opened_from: tuple[Path, ...] = ()
    remembered: bool = False
    state: Path = Path()
    config_folder: ConfigFolder | None = None
