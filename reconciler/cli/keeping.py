"""Open what is kept of a models folder: find where it lies, and see that the folder is the one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.store.folder_memory import FolderMemory
from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.mounts import Mounts
from reconciler.adapters.store.opening import open_inventory
from reconciler.adapters.store.pause_file import PauseFile
from reconciler.adapters.store.state_place import (
    find_state_place,
    folder_of,
    make_state_place,
    state_home,
)
from reconciler.adapters.system_clock import SystemClock
from reconciler.cli.settings import Settings
from reconciler.core.ports.reporting import Reporter
from reconciler.core.sentinel import RememberedFolder, guard_folder
from reconciler.core.state_places import StatePlace
from reconciler.errors import ReconcilerError, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The inventory, and the folder `state` that it and the run lock lie in.

    `remembered`: an earlier run has applied models here. `opened_from` are the files, there or not,
    by which this was found and read.
    """

    inventory: Inventory
    state: Path
    remembered: bool
    opened_from: tuple[Path, ...]


@contextmanager
def open_kept(
    folder: ModelsFolder,
    settings: Settings,
    reporter: Reporter,
    *,
    for_writing: bool,
    check: bool = True,
) -> Iterator[Kept]:
    """Open it, and close it again. Once it was open for writing the folder is remembered.

    `check` is as for `Inventory`.

    Raises:
        Refused: the models that were here have vanished with all that is kept beside them.
        ReconcilerError: the inventory cannot be opened.
    """
    memory, remembered, place = _find(folder, settings)
    home = _home(settings)
    if place.reason and for_writing:
        # Who only looks was told by the run that began it; a plan that says more is not remembered.
        reporter.say(f"the inventory of {folder.root} lies in {place.folder}, {place.reason}")
    if for_writing:
        _make(folder, place)
    state = Path(place.folder)
    inventory = open_inventory(
        state,
        for_writing=for_writing,
        check=check,
        clock=SystemClock(),
        reporter=reporter,
        lock_timeout_seconds=settings.lock_timeout,
    )
    with closing(inventory):
        yield Kept(
            inventory=inventory,
            state=state,
            remembered=remembered is not None and remembered.models > 0,
            opened_from=(
                inventory.path,
                inventory.path.with_name(f"{inventory.path.name}-wal"),
                folder.state / inventory.path.name,
                folder_of(folder.root, home) / inventory.path.name,
                memory.path,
                PauseFile(state, reporter).path,
            ),
        )
        if for_writing:
            _remember(memory, inventory, reporter)


def find_state(folder: ModelsFolder, settings: Settings, *, make: bool) -> Path:
    """Give the folder that `open_kept` gives as `state`; with `make` it is there then.

    Raises as `open_kept`.
    """
    _, _, place = _find(folder, settings)
    if make:
        _make(folder, place)
    return Path(place.folder)


def _find(
    folder: ModelsFolder, settings: Settings
) -> tuple[FolderMemory, RememberedFolder | None, StatePlace]:
    mount, home = Mounts().mount(str(folder.root)), _home(settings)
    memory = FolderMemory(folder, home=home, mount=mount)
    remembered = memory.recall()
    refusal = guard_folder(memory.look(), remembered)
    if refusal is not None and not settings.allow_prune:
        raise Refused(refusal.message, hint=refusal.hint)
    place = find_state_place(folder, home=home, named=settings.state_dir, mount=mount)
    return memory, remembered, place


def _home(settings: Settings) -> Path:
    return settings.state_dir or state_home(settings.environment)


def _make(folder: ModelsFolder, place: StatePlace) -> None:
    if not (place.reason and folder.is_read_only()):
        folder.prepare()
    make_state_place(place)


def _remember(memory: FolderMemory, inventory: Inventory, reporter: Reporter) -> None:
    models = inventory.count_models()
    if models is None:
        # The inventory is new or was lost: what an earlier run has left may be all that is known.
        return
    try:
        memory.remember(models)
    except ReconcilerError as error:
        reporter.say(
            f"this folder cannot be remembered outside of it, so that its disk is not missed "
            f"where it is not mounted: {error.message}"
        )
