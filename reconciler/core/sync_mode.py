"""How thoroughly a run looks: trust what has not changed, or check the old again as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from reconciler.core.ages import human_age
from reconciler.core.desired import Desired
from reconciler.core.ledger import Ledger
from reconciler.core.names import ModelId
from reconciler.core.runs import Outcome, RunReport, SyncMode

# More of the models than this, and the host is more new than known.
_MANY: Final = 0.10
_FAILED: Final = (Outcome.FAILED, Outcome.ROLLED_BACK, Outcome.INTERRUPTED)
# A run that came to its end, and the runs that tell how the host stands: one that was refused or
# declined did nothing.
DONE: Final = (Outcome.IN_SYNC, Outcome.APPLIED, Outcome.PARTIAL)
TELLING: Final = (*DONE, *_FAILED)
_WRONG_CLOCK: Final = "the last full run lies in the future, by this clock"


class AskedMode(StrEnum):
    """What a person asked for."""

    AUTO = "auto"
    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """What a person asked for, and when `auto` goes over everything again.

    `forced` asks for a full run whatever `asked` says. One full run in `threshold_hours` is enough,
    and so is one look at a file. `window_hours` is how far back an incremental run looks for what
    is new upstream.
    """

    asked: AskedMode = AskedMode.AUTO
    forced: bool = False
    threshold_hours: float = 168.0
    window_hours: float = 48.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How a run looks, and why, for people."""

    mode: SyncMode
    reason: str


def choose_mode(
    settings: SyncSettings,
    *,
    last: RunReport | None,
    last_full: RunReport | None,
    changed: int,
    models: int,
    now: datetime,
) -> Decision:
    """Decide how a run looks.

    `last` is the newest run with one of `TELLING` outcomes, `last_full` the newest full one with
    one of `DONE`; `changed` of `models` models are others than the last time. Only a run that may
    write asks this: a plan never looks at more than it must.
    """
    if settings.forced:
        return Decision(mode=SyncMode.FULL, reason="FORCE_FULL_SYNC asks for it")
    if settings.asked is not AskedMode.AUTO:
        return Decision(mode=SyncMode(settings.asked), reason="SYNC_MODE asks for it")
    if last is None:
        return Decision(mode=SyncMode.FULL, reason="no run before")
    if last.outcome in _FAILED:
        return Decision(mode=SyncMode.FULL, reason=f"the last run: {last.outcome}")
    if last_full is None:
        return Decision(mode=SyncMode.FULL, reason="no full run is known")
    age = now - datetime.fromisoformat(last_full.started_at)
    # One from the future tells of a clock that was wrong, so nothing is known of its age.
    if not timedelta(0) <= age <= timedelta(hours=settings.threshold_hours):
        old = f"the last full run is {human_age(age)} old, more than {settings.threshold_hours:g} h"
        return Decision(mode=SyncMode.FULL, reason=old if age > timedelta(0) else _WRONG_CLOCK)
    if changed > models * _MANY:
        return Decision(
            mode=SyncMode.FULL, reason=f"{changed} of {models} models changed, more than 10 %"
        )
    return Decision(mode=SyncMode.INCREMENTAL, reason=f"the last full run is {human_age(age)} old")


def changed_models(desired: Desired, ledger: Ledger) -> frozenset[ModelId]:
    """Give the models that are not those of the ledger: new, gone, or with other bytes.

    What somebody else changed on the host is no change of the models, and a new ID is none of their
    bytes. Those that were found on the disk do not count, nor those that cannot be applied now.
    """
    heirs = {old: new for new, old in desired.renames.items() if new not in ledger.models}
    known = {
        heirs.get(key, key): model
        for key, model in ledger.models.items()
        if model.discovered is None
    }
    gone = known.keys() - desired.models.keys() - desired.stalled.keys()
    other = {
        key
        for key, model in desired.models.items()
        if key not in known
        or any(
            file.path not in ledger.files or ledger.files[file.path].sha256 != file.sha256
            for file in (model.files if model.spec.enabled else ())
        )
    }
    return frozenset(gone | other)
