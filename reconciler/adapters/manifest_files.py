"""The manifest on disk: one file, or a folder of them, and the lock that belongs to it."""

from __future__ import annotations

from pathlib import Path

from reconciler.adapters.base.whole_file import UnfitFile, read_whole
from reconciler.core.reading.manifest_text import ManifestText
from reconciler.errors import Fault, ManifestInvalid

_SUFFIXES = (".yaml", ".yml")


def manifest_files(path: Path) -> tuple[Path, ...]:
    """Give the files that make up the manifest at `path`, sorted by name.

    Raises:
        ManifestInvalid: there is nothing there, or a folder without a manifest in it: never taken
            for an empty manifest, which would remove every model.
    """
    if path.is_dir():
        found = sorted(
            item
            for item in path.iterdir()
            if item.suffix in _SUFFIXES and not item.name.startswith(".") and not item.is_dir()
        )
        if not found:
            raise _missing(path, "holds no manifest: no *.yaml file lies in it")
        return tuple(found)
    if not path.exists():
        raise _missing(path, "is not there; name your manifest with -m PATH")
    return (path,)


def read_manifest(path: Path) -> tuple[ManifestText, ...]:
    """Read the files of the manifest at `path`. Raises `ManifestInvalid`."""
    texts = []
    for file in manifest_files(path):
        try:
            data = read_whole(file)
        except OSError as error:
            hint = error.hint if isinstance(error, UnfitFile) else ""
            raise _missing(file, f"cannot be read: {error.strerror}", hint) from error
        texts.append(ManifestText(path=str(file), folder=str(file.resolve().parent), data=data))
    return tuple(texts)


def lock_path_of(path: Path) -> Path:
    """Give where the lock of the manifest at `path` lies."""
    return path / "reconcile.lock" if path.is_dir() else path.with_name(f"{path.name}.lock")


def _missing(path: Path, message: str, hint: str = "") -> ManifestInvalid:
    return ManifestInvalid([Fault(path=str(path), line=0, column=0, message=message)], hint=hint)
