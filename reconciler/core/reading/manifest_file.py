"""One manifest file: its words as far as they have the right shape, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.core.names import InvalidName
from reconciler.core.reading.manifest_merge import Words
from reconciler.core.reading.shape_faults import Place, shape_faults
from reconciler.core.reading.yaml_text import YamlText, read_yaml
from reconciler.errors import Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestText:
    """One manifest file: how errors name it, the absolute folder it lies in, and its bytes."""

    path: str
    folder: str
    data: bytes


@dataclass(slots=True, kw_only=True)
class ManifestFile:
    """One file as read: its words, less those that have the wrong shape, and what is wrong."""

    text: ManifestText
    yaml: YamlText
    words: Words
    faults: list[Fault] = field(default_factory=list)

    def section(self, key: str) -> Words:
        """Give the mapping at a top-level key; empty where there is none."""
        return self.words.get(key) or {}

    def complain(self, keys: Place, message: str, *, at_key: bool = False) -> None:
        """Say `message` of the value at `keys`, or of its key."""
        self.faults.append(self.yaml.fault(keys, message, at_key=at_key))

    def check(self, keys: Place, make: Callable[[], T], *, at_key: bool = False) -> T | None:
        """Give what `make` gives; None, after a complaint, where it raises `InvalidName`."""
        try:
            return make()
        except InvalidName as error:
            self.complain(keys, str(error), at_key=at_key)
            return None

    def written(self, keys: Place) -> Words:
        """Give the mapping at `keys` as it stands in the file, faulty words too."""
        words: Any = self.yaml.value
        for key in keys:
            words = words[key]
        return words or {}


def read_file(text: ManifestText) -> ManifestFile:
    """Read one file; whatever is wrong is among its faults."""
    from pydantic import ValidationError

    from reconciler.core.reading.manifest_schema import ManifestShape, valid_keys

    yaml = read_yaml(text.data, text.path)
    file = ManifestFile(text=text, yaml=yaml, words={}, faults=list(yaml.faults))
    if not yaml.readable:
        return file
    if not isinstance(yaml.value, dict):
        what = "is empty" if yaml.value is None else "is no mapping"
        file.complain((), f"the file {what}: write version: 1 and models: {{}}")
        return file
    file.words = yaml.value
    try:
        ManifestShape.model_validate(yaml.value)
    except ValidationError as error:
        wrong = list(shape_faults(error, valid_keys))
        for fault in wrong:
            file.complain(fault.keys, fault.message, at_key=fault.at_key)
        file.words = _without(file.words, [fault.keys for fault in wrong if not fault.absent])
    return file


def _without(words: Words, places: Iterable[Place]) -> Words:
    """Leave out what has the wrong shape, so that the rest can be judged further."""
    result = dict(words)
    for keys in places:
        if not keys:
            return {}
        # A model's key is the smallest thing that is judged by itself.
        *outer, last = keys[:3] if keys[0] in ("models", "presets") else keys[:2]
        inner: dict[Any, Any] = result
        for key in outer:
            if not isinstance(inner.get(key), dict):
                break
            inner[key] = inner = dict(inner[key])
        else:
            inner.pop(last, None)
    return result
