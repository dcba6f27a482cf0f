"""What is kept about the models, opened for reading alone and for little: no config, no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.cli.keeping import open_kept
from reconciler.cli.settings import Settings
from reconciler.core.ports.reporting import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The models folder, its inventory, and the folder `state` that lies in: to be looked at."""

    folder: ModelsFolder
    inventory: Inventory
    state: Path


@contextmanager
def open_records(settings: Settings, reporter: Reporter) -> Iterator[Records]:
    """Open both, also while a run holds the lock. The container is asked only for the folder.

    Where a run was here before and its ledger is lost, it is said that there is nothing to show.

    Raises what `wiring.open_host` raises.
    """
    models_dir = settings.models_dir
    if models_dir is None:
        from reconciler.cli.wiring import find_models_dir

        models_dir = find_models_dir(settings, reporter)
    folder = ModelsFolder(models_dir)
    with open_kept(folder, settings, reporter, for_writing=False, check=False) as kept:
        inventory = kept.inventory
        if inventory.count_models() is None and (kept.remembered or inventory.ledger_hint()):
            reporter.warn(
                f"the inventory of {folder.root} is lost: what was applied here is not known",
                "`reconcile` works it out from the lock and the disk",
            )
        yield Records(folder=folder, inventory=inventory, state=kept.state)
