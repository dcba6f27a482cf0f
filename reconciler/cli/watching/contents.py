"""What a watch looks at: the manifest and its lock, llama-swap's configs, and the models folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from threading import Event

from reconciler.adapters.base.whole_file import read_whole
from reconciler.adapters.manifest_files import lock_path_of, manifest_files
from reconciler.adapters.store.mounts import Mounts
from reconciler.adapters.watching.folder_watcher import FolderWatcher
from reconciler.adapters.watching.way import way_to
from reconciler.cli.settings import Settings
from reconciler.core.ports.reporting import Reporter
from reconciler.core.ports.texts import ConfigFolder
from reconciler.core.watching import Contents, Spot
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError


class Eyes:
    """Looks at everything that a pass is made from. What cannot be read counts as not there.

    Where the configs and the models lie is found out by a pass, and told by `note`.
    """

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest.absolute()
        self._config: Path | None = None
        self._siblings: ConfigFolder | None = None
        self._sibling_files: tuple[Path, ...] = ()
        self._models: str | None = None
        self._models_folders: tuple[str, ...] = ()

    def note(self, host: Host) -> None:
        """Learn from an open host where to look besides."""
        self._config = Path(host.config_path).absolute() if host.config_path else None
        self._siblings = host.config_folder
        self._models = str(host.folder.root)

    def look(self) -> Contents:
        """Give the digests of what is there now."""
        models = ""
        if self._models is not None:
            models, self._models_folders = _digest_of_models(self._models)
        return Contents(
            manifest=self._digest_of_manifest(),
            lock=_digest_of_file(lock_path_of(self._manifest)),
            config=_digest_of_file(self._config) if self._config else "",
            siblings=self._digest_of_siblings(),
            models=models,
        )

    def spots(self, beside: Path | None = None) -> tuple[Spot, ...]:
        """Give the folders in which whatever was looked at last may change, and `beside`."""
        names: dict[str, set[str]] = {}
        files = [self._manifest, lock_path_of(self._manifest)]
        whole = [self._manifest] if self._manifest.is_dir() else []
        if beside is not None:
            whole.append(beside.absolute())
        if self._config is not None:
            files.append(self._config)
        if self._siblings is not None and self._siblings.folder is not None:
            whole.append(self._siblings.folder)
        if self._models is not None:
            files.append(Path(self._models))
        files += [*self._sibling_files, *whole]
        files += [link for folder in whole for link in _links_in(folder)]
        for file in files:
            for folder, name in way_to(str(file)):
                names.setdefault(folder, set()).add(name)
        spots = {
            folder: Spot(folder=folder, names=frozenset(some)) for folder, some in names.items()
        }
        spots |= {
            folder: Spot(folder=folder, is_far=folder not in names)
            for folder in self._models_folders
        }
        spots |= {folder: Spot(folder=folder) for folder in map(os.path.realpath, whole)}
        return tuple(spots.values())

    def _digest_of_manifest(self) -> str:
        whole = hashlib.sha256()
        try:
            for file in manifest_files(self._manifest):
                whole.update(f"{file}\0".encode() + read_whole(file) + b"\0")
        except (ReconcilerError, OSError):
            return ""
        return whole.hexdigest()

    def _digest_of_siblings(self) -> str:
        try:
            siblings = self._siblings.read() if self._siblings else None
        except (ReconcilerError, OSError):
            return ""
        if siblings is None:
            return ""
        self._sibling_files = tuple(map(Path, siblings.texts))
        whole = hashlib.sha256()
        for path, data in (*siblings.before.items(), ("", b""), *siblings.after.items()):
            whole.update(f"{path}\0".encode() + data + b"\0")
        return whole.hexdigest()


def open_watcher(settings: Settings, reporter: Reporter, wake: Event) -> FolderWatcher:
    """Give the watcher that sets `wake` when something changes in the folders it follows."""
    mounts = Mounts()

    def silence_of(folder: str) -> str:
        mount = mounts.mount(folder)
        if mount is None or not mount.is_silent:
            return ""
        return f"it lies on {mount.point} ({mount.kind}), which does not tell what others change"

    return FolderWatcher(
        wake=wake,
        debounce_seconds=settings.debounce,
        reporter=reporter,
        silence_of=silence_of,
        only_looks=settings.poll == "on",
    )


def _links_in(folder: Path) -> Iterable[Path]:
    try:
        return [item for item in folder.iterdir() if item.is_symlink()]
    except OSError:
        return []


def _digest_of_file(path: Path) -> str:
    try:
        return hashlib.sha256(read_whole(path)).hexdigest()
    except OSError:
        return ""


def _digest_of_models(root: str) -> tuple[str, tuple[str, ...]]:
    """Give the digest of all models below `root`, and the folders they may lie in."""
    marks, folders, left = [], [], [root]
    while left:
        folder = left.pop()
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            continue
        folders.append(folder)
        for entry in entries:
            # Our own state, and whatever else people hide, begins with a dot.
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
            elif entry.name.endswith(".gguf"):
                marks.append(_mark_of(entry))
    return hashlib.sha256("\0".join(sorted(marks)).encode()).hexdigest(), tuple(folders)


def _mark_of(entry: os.DirEntry[str]) -> str:
    try:
        found = entry.stat()
    except OSError:
        return entry.path
    return f"{entry.path}\0{found.st_ino} {found.st_size} {found.st_mtime_ns}"
