"""The lock: what each model resolved to, so that one manifest gives the same bytes anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.source import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the manifest asked for when the pin was made; when it differs, the pin is missing."""

    source: str
    revision: str | None = None
    mmproj: str = "none"
    draft: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """One file of an artifact set.

    `role` is `model`, `mmproj`, `draft` or `file.<name>`; `path` is where it goes below the models
    folder. Shards of one role stand in order, shard 1 first.
    """

    role: str
    path: RelPath
    size_bytes: int
    sha256: Sha256
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One model's resolved artifact set."""

    asked: Asked
    files: tuple[PinnedFile, ...]

    @property
    def contents(self) -> tuple[tuple[str, RelPath, Sha256], ...]:
        """Which bytes go where: all of a pin that a host can tell from another."""
        return tuple((file.role, file.path, file.sha256) for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All pins, by model ID."""

    pins: Mapping[ModelId, Pin] = field(default_factory=dict)
