"""A generation: one state of the host that a run has applied, and that could be gone back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# More than anybody goes back; fewer than would be felt on a disk with models.
GENERATIONS_KEPT: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One applied state. `number` counts from 1 and is never given twice; 0: it has none yet.

    `applied_at` is ISO 8601 in UTC. The digests are the sha256 of the lock's and the config's
    bytes, empty where there is no such file.
    """

    run: str
    applied_at: str
    lock_digest: str
    config_digest: str
    number: int = 0
