"""The files that llama-swap merges with the config we write: those in its folder of configs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.adapters.base.files import read_if_there, translated
from reconciler.core.siblings import Siblings
from reconciler.errors import ReconcilerError, Refused

_ENDINGS = (".yaml", ".yml")


class ConfigFolder:
    """What lies around one config; implements the port of that name."""

    def __init__(self, folder: Path | None, *, own: Path, named: Path | None = None) -> None:
        """Take the folder that `-config-dir` names (None: it names none), and the config we write.

        `named` is the config that llama-swap is given beside the folder, where that is another one.
        """
        self.folder = folder
        self._own = own
        self._named = named

    def read(self) -> Siblings | None:
        """Give the bytes of the others, in the order in which llama-swap merges all of them.

        Raises:
            Refused: one of them is there by name alone, or may not be read.
        """
        if self.folder is None:
            return None
        own = self._own.resolve()
        inside = _configs_in(self.folder)
        # What the folder does not hold stands before it.
        first = [self._named] if self._named is not None else []
        if own not in [path.resolve() for path in inside]:
            if own.parent == self.folder.resolve() and own.suffix in _ENDINGS:
                inside = sorted([*inside, self.folder / own.name], key=os.fsencode)
            else:
                first.insert(0, self._own)
        paths = [*first, *(path for path in inside if path not in first)]
        position = [path.resolve() for path in paths].index(own)
        return Siblings(before=_read(paths[:position]), after=_read(paths[position + 1 :]))

    def read_other(self, path: str) -> bytes | None:
        """Give the bytes of another config, None where it cannot be read."""
        with suppress(ReconcilerError):
            return read_if_there(Path(path))
        return None


def _configs_in(folder: Path) -> list[Path]:
    """Give the configs that llama-swap finds there, in its order."""
    with translated(folder, "listing"):
        found = [
            entry.name
            for entry in os.scandir(folder)
            if entry.name.endswith(_ENDINGS) and not entry.is_dir(follow_symlinks=False)
        ]
    return [folder / name for name in sorted(found, key=os.fsencode)]


def _read(paths: Sequence[Path]) -> dict[str, bytes]:
    texts = {}
    for path in paths:
        data = read_if_there(path)
        if data is None:
            raise Refused(
                f"{path}: llama-swap would read this config, and it leads nowhere",
                hint="take it out of the folder, or mend the link",
            )
        texts[str(path)] = data
    return texts
