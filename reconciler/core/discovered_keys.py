"""What the generated entries are called: by their paths, and never as anything else is."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.core.desired import Desired, Stall
from reconciler.core.edits import ConfigView
from reconciler.core.ledger import LedgerModel
from reconciler.core.names import InvalidName, ModelId, RelPath
from reconciler.core.reading.source_text import SHARD

_DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Gives every discovered model the key of its entry, the one that it has already first."""

    known: Mapping[ModelId, LedgerModel]
    taken: Mapping[str, str]
    longest: int

    def keys(self, paths: Collection[RelPath]) -> dict[RelPath, ModelId | Stall]:
        """Name each path, or say why it cannot be."""
        owners = {model.discovered: key for key, model in self.known.items()}
        keys: dict[RelPath, ModelId | Stall] = {
            path: owners[path] for path in paths if path in owners
        }
        held = {key: path for path, key in keys.items() if isinstance(key, ModelId)}
        names = {path: key_for(path, longest=self.longest) for path in paths if path not in keys}
        count = Counter(names.values())
        for path, name in names.items():
            other = self.taken.get(name)
            if name in held:
                other = held[ModelId(name)]
            elif count[name] > 1:
                other = next(each for each in names if names[each] == name and each != path)
            keys[path] = self._checked(name, other)
        return keys

    def _checked(self, name: str, other: str | None) -> ModelId | Stall:
        hint = "declare the file in the manifest under another ID, or rename it"
        if other is not None:
            return Stall(reason=f"its entry would be called {name}, as {other} is", hint=hint)
        try:
            return ModelId(name)
        except InvalidName as error:
            return Stall(reason=str(error), hint=hint)


def key_for(path: RelPath, *, longest: int) -> str:
    """Name the entry of the model whose first file is at `path`: the path, less what it ends in.

    One of more than `longest` characters is cut, and a digest of the whole put behind.
    """
    shard = SHARD.fullmatch(path)
    name = shard["prefix"] if shard else path[: -len(".gguf")]
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: longest - _DIGEST_CHARACTERS - 1]}-{digest}"


def taken_names(
    desired: Desired, config: ConfigView, known: Mapping[ModelId, LedgerModel]
) -> dict[str, str]:
    """Give the names that are taken, each with what bears it."""
    taken: dict[str, str] = {}
    for key, entry in config.models.items():
        if key not in known:
            taken[key] = f"line {entry.line} of the config"
        for alias in entry.aliases:
            taken.setdefault(alias, f"an alias of {key}")
    for key in (*desired.models, *desired.stalled):
        taken[key] = f"the declared model {key}"
    for key, model in desired.models.items():
        aliases = model.spec.serve.fields.get("aliases")
        for alias in aliases if isinstance(aliases, list) else ():
            taken.setdefault(str(alias), f"an alias of {key}")
    return taken
