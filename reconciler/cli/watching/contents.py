"""What a watch looks at: the manifest and its lock, llama-swap's config, and the models folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from reconciler.adapters.manifest_files import lock_path_of, manifest_files
from reconciler.core.watching import Contents
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError


class Eyes:
    """Looks at everything that a pass is made from. What cannot be read counts as not there.

    Where the config and the models lie is found out by a pass, and told by `note`.
    """

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest
        self._config: Path | None = None
        self._models: Path | None = None

    def note(self, host: Host) -> None:
        """Learn from an open host where to look besides."""
        self._config = Path(host.config_path) if host.config_path else None
        self._models = Path(host.folder.root)

    def look(self) -> Contents:
        """Give the digests of what is there now."""
        return Contents(
            manifest=self._digest_of_manifest(),
            lock=_digest_of_file(lock_path_of(self._manifest)),
            config=_digest_of_file(self._config) if self._config else "",
            models=_digest_of_models(self._models) if self._models else "",
        )

    def _digest_of_manifest(self) -> str:
        whole = hashlib.sha256()
        try:
            for file in manifest_files(self._manifest):
                whole.update(f"{file}\0".encode() + file.read_bytes() + b"\0")
        except (ReconcilerError, OSError):
            return ""
        return whole.hexdigest()


def _digest_of_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _digest_of_models(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(_model_files(folder)):
        try:
            found = path.stat()
        except OSError:
            continue
        whole.update(f"{path}\0{found.st_ino} {found.st_size} {found.st_mtime_ns}\0".encode())
    return whole.hexdigest()


def _model_files(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        # Our own state, and whatever else people hide.
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in files if name.endswith(".gguf"))
