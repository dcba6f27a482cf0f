"""Find, and make, the folder that holds the inventory of a models folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from reconciler.adapters.base.files import translated
from reconciler.adapters.base.user_folders import user_folder
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.core.filesystems import Mount
from reconciler.core.state_places import StatePlace, choose_state_place

INVENTORY: Final = "inventory.db"


def state_home(environment: Mapping[str, str]) -> Path:
    """Give the user's state folder for this program, by the XDG rules. Raises `UsageError`."""
    return user_folder(environment, "XDG_STATE_HOME", ".local/state") / "reconciler"


def folder_of(models_folder: Path, home: Path) -> Path:
    """Give the folder below `home` that is kept for one models folder."""
    return home / hashlib.sha256(os.fsencode(models_folder)).hexdigest()[:16]


def find_state_place(
    folder: ModelsFolder, *, home: Path, named: Path | None, mount: Mount | None
) -> StatePlace:
    """Say where the inventory of `folder` lies, or would lie; nothing is made.

    `home` is the user's state folder, `named` the one that a person chose instead. Either serves
    several models folders, so each has one of its own in it.
    """
    elsewhere = folder_of(folder.root, named or home)
    with translated(folder.root, "looking at"):
        return choose_state_place(
            own=str(folder.state),
            elsewhere=str(elsewhere),
            own_has_one=(folder.state / INVENTORY).exists(),
            elsewhere_has_one=(elsewhere / INVENTORY).exists(),
            named=named is not None,
            read_only=folder.is_read_only(),
            mount=mount,
        )


def make_state_place(place: StatePlace) -> Path:
    """Make the folder where it is missing; only its owner can look into it."""
    folder = Path(place.folder)
    with translated(folder, "making"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
