"""What a watch looks at, why it runs a pass, and when it holds still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """Why a pass is run."""

    START = "the watch began"
    MANIFEST = "the manifest changed"
    LOCK = "the lock changed"
    CONFIG = "llama-swap's config was changed by somebody"
    MODELS = "the models folder was changed by somebody"
    RETRY = "what failed is tried again"
    WINDOW = "a window opens"
    RESYNC = "it looks now and then"
    RESUMED = "the pause ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Digests of what a pass is made from; empty for what is not there.

    `manifest` and `lock` say what is wanted; `config` (llama-swap's) and `models` (size, time and
    identity of the files in the models folder) show whether somebody else changed what we left.
    `siblings` are the configs that llama-swap merges with the one that is written here.
    """

    manifest: str
    lock: str
    config: str = ""
    siblings: str = ""
    models: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A folder to be watched: for what happens to `names` in it, or to anything (None).

    `is_far`: there may be a thousand of its kind, so it is looked at less often where nobody tells
    of changes.
    """

    folder: str
    names: frozenset[str] | None = None
    is_far: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person holds the watch: no pass is run `until` then, or without an end (None)."""

    since: datetime
    until: datetime | None = None
    by: str = ""

    def is_over(self, now: datetime) -> bool:
        """Whether it has ended by itself."""
        return self.until is not None and now >= self.until


def why(found: Contents, seen: Contents | None, *, heeds_drift: bool) -> Reason | None:
    """Tell why a pass is due with what is `found`, `seen` being what the last one settled.

    None: nothing changed; with `heeds_drift=False` what others changed does not count.
    """
    if seen is None:
        return Reason.START
    if found.manifest != seen.manifest:
        return Reason.MANIFEST
    if found.lock != seen.lock:
        return Reason.LOCK
    if heeds_drift and (found.config, found.siblings) != (seen.config, seen.siblings):
        return Reason.CONFIG
    if heeds_drift and found.models != seen.models:
        return Reason.MODELS
    return None
