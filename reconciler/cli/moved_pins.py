"""Find the pins that this host keeps for itself, where no host is opened."""

from __future__ import annotations

from pathlib import Path

from reconciler.adapters.store.lock_file import MOVED_PINS, LockTextFile
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.mounts import Mounts
from reconciler.adapters.store.state_place import find_state_place, state_home
from reconciler.cli.settings import Settings


def find_moved_pins(settings: Settings) -> LockTextFile | None:
    """Give the file, there or not; None where no models folder is named, or it is not there."""
    if settings.models_dir is None or not settings.models_dir.is_dir():
        return None
    folder = ModelsFolder(settings.models_dir)
    place = find_state_place(
        folder,
        home=settings.state_dir or state_home(settings.environment),
        named=settings.state_dir,
        mount=Mounts().mount(str(folder.root)),
    )
    return LockTextFile(Path(place.folder) / MOVED_PINS)
