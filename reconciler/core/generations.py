"""A generation: one state of the host that a run has applied, and that could be gone back to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # What reads manifests takes long to import, and most that goes through here reads none.
    from reconciler.core.reading.manifest_file import ManifestText

# More than anybody goes back; fewer than would be felt on a disk with models.
GENERATIONS_KEPT: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationState:
    """What a generation was made of, whole: the manifest's files as JSON, lock, pins, config.

    None for a file that was not there, or is not managed.
    """

    manifest: str
    lock: str | None
    moved: str | None
    config: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One applied state. `number` counts from 1 and is never given twice; 0: it has none yet.

    `applied_at` is ISO 8601 in UTC. The digests are the sha256 of the lock's and the config's
    bytes, empty where there is no such file; `found_digest` is that of the config as this found it.
    `returned_to` is the generation that it went back to, 0 where it went on. `is_whole`: its state
    is kept, so that it can be gone back to; `state` is that, where it is asked for.
    """

    run: str
    applied_at: str
    lock_digest: str
    config_digest: str
    number: int = 0
    found_digest: str = ""
    returned_to: int = 0
    is_whole: bool = False
    state: GenerationState | None = None


def digest_of(data: bytes | None) -> str:
    """Name the bytes of a file as a generation does: their sha256, empty where there is no file."""
    return hashlib.sha256(data).hexdigest() if data is not None else ""


def unbroken(generations: Sequence[Generation], number: int, config_digest: str) -> bool:
    """Whether nobody but us has written the config since generation `number` was applied.

    `generations` are the newest first; `config_digest` is that of the config as it is now.
    """
    expected = config_digest
    for item in generations:
        if item.config_digest != expected:
            return False
        if item.number == number:
            return True
        expected = item.found_digest
    return False


def manifest_to_text(texts: Iterable[ManifestText]) -> str:
    """Give the manifest's files as one text, to be kept."""
    return json.dumps(
        [{"path": item.path, "folder": item.folder, "data": item.data.decode()} for item in texts]
    )


def manifest_from_text(text: str) -> tuple[ManifestText, ...]:
    """Read what `manifest_to_text` wrote. Raises KeyError, TypeError or ValueError otherwise."""
    from reconciler.core.reading.manifest_file import ManifestText

    return tuple(
        ManifestText(path=item["path"], folder=item["folder"], data=item["data"].encode())
        for item in json.loads(text)
    )


def state_to_json(state: GenerationState) -> dict[str, Any]:
    """Give the state as plain JSON values."""
    return asdict(state)


def state_from_json(document: Mapping[str, Any]) -> GenerationState:
    """Read what `state_to_json` wrote. Raises KeyError or TypeError otherwise."""
    return GenerationState(**document)
