"""What a pass is allowed, and all that it looked at and decided before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.desired import Desired
from reconciler.core.discover import LONGEST_KEY
from reconciler.core.going_back import Return, standing_digest
from reconciler.core.ledger import Ledger
from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import Manifest
from reconciler.core.names import ModelId
from reconciler.core.observed import Observed
from reconciler.core.plan import Plan
from reconciler.core.sync_mode import SyncSettings
from reconciler.engine.host_pins import HostPins


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller allows, and how sure it is.

    `allow_prune` lets removals past the guards, `locked` forbids pins that are not in the lock yet.
    `reserve_bytes` must stay free where the models lie.
    `runtime_named` says that a person chose the runtime; else it was found out. `max_key_length`
    bounds the keys of generated entries, and `sync` says how thoroughly a run looks. `commit` is
    what the report calls the manifest's.
    """

    allow_prune: bool = False
    reserve_bytes: int = 0
    locked: bool = False
    runtime_named: bool = False
    max_key_length: int = LONGEST_KEY
    sync: SyncSettings = field(default_factory=SyncSettings)
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that was looked at and decided, before anything is done.

    `lock` are all pins, `pins_before` those that were there, and `pins_after` what is to be written
    before anything is fetched; `moves` are not in it, for they are written with their files.
    `lock_before` is the lock file's bytes, None without one; `changes_lock` says that there is
    something to write. `recovered`: the inventory has lost the ledger, and it was worked out anew.
    `held` are the models that wait for a window alone, to be fetched or to be served, and the next
    one opens in `opens_in_seconds`. `manifest` is the one that asks for it, and `back` the
    generation that is gone back to, if one is.
    """

    manifest: Manifest
    desired: Desired
    lock: Lock
    lock_before: bytes | None
    changes_lock: bool
    pins_before: HostPins
    pins_after: HostPins
    moves: Mapping[ModelId, Pin]
    observed: Observed
    ledger: Ledger
    plan: Plan
    recovered: bool = False
    held: frozenset[ModelId] = frozenset()
    opens_in_seconds: float = 0.0
    back: Return | None = None

    @property
    def is_stalled(self) -> bool:
        """Whether just this failed the health gate, or was gone back from by hand."""
        standing = standing_digest(self.manifest.digest, self.lock_before)
        return self.ledger.stalled in (self.desired.digest, standing)
