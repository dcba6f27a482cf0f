"""The manifest as values: what people declare. `manifest_text` parses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.core.names import ModelId, Sha256
from reconciler.core.source import Source
from reconciler.core.values import Json

if TYPE_CHECKING:
    from reconciler.core.reading.manifest_file import ManifestText


class Prune(StrEnum):
    """What happens to owned files that no model wants any more."""

    TRASH = "trash"
    KEEP = "keep"
    DELETE = "delete"


class Discover(StrEnum):
    """What happens to GGUF files on the disk that no model declares."""

    OFF = "off"
    REPORT = "report"
    SERVE = "serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the manifest allows. `max_prune` is a share of the models (0.25) or a count (3)."""

    prune: Prune = Prune.TRASH
    max_prune: float | int = 0.25
    discover: Discover = Discover.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """How llama-swap runs a model, after defaults, presets and the model's own words are merged.

    `args` and `cmd` are None where nobody declared them: then an existing entry keeps its own
    command. `group` is the group of llama-swap's that the model should be in. `fields` holds every
    other llama-swap model key that somebody declared; a null is kept of `capabilities` alone, and
    says that none are wanted. `origins` says where each key comes from: `model`, `preset NAME` or
    `defaults`, or several of these, the strongest first.
    """

    args: Mapping[str, Json] | None = None
    cmd: str | None = None
    group: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One declared model.

    `source_text`, `mmproj`, `draft_text` and `file_texts` are the words of the manifest, by which a
    pin is recognised; `source`, `draft` and `files` are what they mean. `mmproj` is `none`, `auto`
    or a path in the repository. `protect` is None where the manifest does not speak of it. With
    `track` the pin may move by itself. `renamed_from` is the ID that the model had before.
    """

    id: ModelId
    source: Source
    source_text: str
    revision: str | None = None
    sha256: Sha256 | None = None
    mmproj: str = "none"
    draft: Source | None = None
    draft_text: str | None = None
    files: Mapping[str, Source] = field(default_factory=dict)
    file_texts: Mapping[str, str] = field(default_factory=dict)
    serve: Serve = field(default_factory=Serve)
    enabled: bool = True
    protect: bool | None = None
    track: bool = False
    renamed_from: ModelId | None = None
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All declared models, by ID, and the policy. `digest` is the sha256 of the files' bytes.

    `texts` are the files themselves.
    """

    models: Mapping[ModelId, ModelSpec]
    policy: Policy
    paths: tuple[str, ...]
    digest: Sha256
    texts: tuple[ManifestText, ...] = field(default=(), compare=False, repr=False)
