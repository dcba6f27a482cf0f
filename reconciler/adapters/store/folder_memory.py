"""What is remembered of a models folder outside of it, for when its disk is not there."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from reconciler.adapters.base.files import translated, write_atomically
from reconciler.adapters.base.whole_file import read_whole
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.state_place import INVENTORY, folder_of
from reconciler.core.filesystems import Mount
from reconciler.core.sentinel import FolderSight, RememberedFolder, filesystem_name


class FolderMemory:
    """One small file for a models folder, `folder.json`, below the user's state folder `home`."""

    def __init__(self, folder: ModelsFolder, *, home: Path, mount: Mount | None) -> None:
        self._folder = folder
        self.path = folder_of(folder.root, home) / "folder.json"
        self._mount = mount

    def look(self) -> FolderSight:
        """See the folder as it is now. Raises `Refused`, `ReconcilerError`."""
        return FolderSight(
            path=str(self._folder.root),
            filesystem=self._filesystem(),
            is_bare=self._folder.is_bare(),
            has_inventory=(self._folder.state / INVENTORY).exists(),
        )

    def recall(self) -> RememberedFolder | None:
        """Give what an earlier run has left; None where there is nothing that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(read_whole(self.path))
            return RememberedFolder(
                filesystem=str(document["filesystem"]), models=int(document["models"])
            )
        return None

    def remember(self, models: int) -> None:
        """Keep that the folder as it is now has so many models; written only where that is new.

        Raises `Refused`, `DiskFull`, `ReconcilerError`.
        """
        now = RememberedFolder(filesystem=self._filesystem(), models=models)
        if now == self.recall():
            return
        document = {
            "path": str(self._folder.root),
            "filesystem": now.filesystem,
            "models": now.models,
        }
        with translated(self.path, "writing"):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(document, indent=2).encode() + b"\n")

    def _filesystem(self) -> str:
        with translated(self._folder.root, "looking at"):
            return filesystem_name(
                self._mount,
                filesystem_id=os.statvfs(self._folder.root).f_fsid,
                device=self._folder.device,
            )
