"""What becomes of each model: what others changed of it, and what the next run would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.core.catalogue import shard_sets
from reconciler.core.ledger import Ledger, LedgerModel
from reconciler.core.names import ModelId, RelPath

if TYPE_CHECKING:
    from reconciler.core.runs import RunReport
    from reconciler.engine.prepared import Prepared


class State(StrEnum):
    """How a model stands, in a word."""

    IN_SYNC = "in sync"
    CHANGED = "changed"
    PENDING = "pending"
    WAITING = "waiting"
    STALLED = "stalled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model: its bytes and files on disk, what others changed of it, and what is pending.

    `source` is the manifest's word on where it comes from; empty for one that it does not declare.
    `state` is all of that in a word; what others changed counts as `CHANGED`.
    """

    model: ModelId
    source: str
    size_bytes: int
    files: int
    drift: tuple[str, ...]
    pending: str
    state: State


def model_statuses(prepared: Prepared, unowned: Mapping[RelPath, int]) -> list[ModelStatus]:
    """Give every model that is declared, that was applied, or that the next run adds.

    `unowned` are the sizes of the GGUF files that no model declares, by path.
    """
    plan, ledger, renames = prepared.plan, prepared.ledger, prepared.plan.renames
    drift: dict[ModelId, list[str]] = {}
    for item in plan.drift:
        drift.setdefault(item.model, []).append(item.message)
    changes = {
        **dict.fromkeys(plan.summary.removed, "remove"),
        **dict.fromkeys(plan.summary.updated, "update"),
        **dict.fromkeys(plan.summary.added, "add"),
        **dict.fromkeys(renames, "rename"),
    }
    sets = {paths[0]: paths for paths in shard_sets(unowned)}
    declared = (*prepared.desired.models, *prepared.desired.stalled)
    olds = frozenset(renames.values())
    known = {key: owned for key, owned in ledger.models.items() if key not in olds}
    known |= {new: ledger.models[old] for new, old in renames.items()}
    statuses = []
    for model in dict.fromkeys((*declared, *known, *plan.stalled, *changes)):
        sizes = _sizes(known.get(model), prepared, unowned, sets)
        pending = _pending(model, prepared, changes)
        told = tuple(drift.get(model, ()))
        statuses.append(
            ModelStatus(
                model=model,
                source=_source(model, prepared, known.get(model)),
                size_bytes=sum(sizes),
                files=len(sizes),
                drift=told,
                pending=pending,
                state=_state(told, pending),
            )
        )
    return statuses


def statuses_after(
    prepared: Prepared, unowned: Mapping[RelPath, int], report: RunReport
) -> list[ModelStatus]:
    """Give the models as they stand once a run has applied what was `prepared`, but for failures.

    What somebody changed and was left stays told.
    """
    ledger = prepared.plan.ledger_after
    reasons = dict(zip(report.failed, report.reasons, strict=False))
    kept: dict[ModelId, list[str]] = {}
    for item in prepared.plan.drift:
        if item.kept:
            kept.setdefault(item.model, []).append(item.message)
    after = []
    for status in model_statuses(prepared, unowned):
        done = ledger.models.get(status.model)
        if status.state in (State.STALLED, State.WAITING, State.DISABLED):
            after.append(status)
        elif status.model in report.failed:
            state = State.WAITING if status.model in report.waiting else State.STALLED
            pending = f"{state}: {reasons.get(status.model, '')}"
            after.append(replace(status, pending=pending, state=state))
        elif done is not None:
            drift = tuple(kept.get(status.model, ()))
            pending = _when_applied(status.model, prepared)
            after.append(
                replace(
                    _weighed(status, done, ledger),
                    drift=drift,
                    pending=pending,
                    state=_state(drift, pending),
                )
            )
    return after


def unowned_sizes(prepared: Prepared, sizes: Mapping[RelPath, int]) -> dict[RelPath, int]:
    """Give those of the GGUF files on disk that no model declares, sorted by path."""
    pinned = {file.path for pin in prepared.lock.pins.values() for file in pin.files}
    return {
        path: sizes[path]
        for path in sorted(sizes)
        if path not in prepared.ledger.files and path not in pinned
    }


def _source(model: ModelId, prepared: Prepared, known: LedgerModel | None) -> str:
    declared = prepared.manifest.models.get(model)
    if declared is not None:
        return declared.source_text
    return known.source if known is not None else ""


def _sizes(
    model: LedgerModel | None,
    prepared: Prepared,
    unowned: Mapping[RelPath, int],
    sets: Mapping[RelPath, Sequence[RelPath]],
) -> list[int]:
    """Give the size of each file of a model that is there; `sets` are the undeclared ones."""
    if model is None:
        return []
    if model.discovered is not None:
        return [unowned[path] for path in sets.get(model.discovered, ())]
    files = prepared.observed.files
    return [files[path].identity.size_bytes for path in model.files if path in files]


def _pending(model: ModelId, prepared: Prepared, changes: Mapping[ModelId, str]) -> str:
    if model in prepared.plan.stalled:
        stall = prepared.plan.stalled[model]
        return f"{'waiting' if stall.waiting else 'stalled'}: {stall.reason}"
    return changes.get(model) or _when_applied(model, prepared)


def _when_applied(model: ModelId, prepared: Prepared) -> str:
    declared = prepared.desired.models.get(model)
    return "" if declared is None or declared.spec.enabled else "(disabled)"


def _weighed(status: ModelStatus, done: LedgerModel, ledger: Ledger) -> ModelStatus:
    """Give a model with the files that are its own afterwards; the undeclared ones stay."""
    if done.discovered is not None:
        return status
    files = [ledger.files[path] for path in done.files if path in ledger.files]
    return replace(status, size_bytes=sum(file.size_bytes for file in files), files=len(files))


def _state(drift: Sequence[str], pending: str) -> State:
    word = pending.partition(":")[0]
    if word in (State.STALLED, State.WAITING):
        return State(word)
    if drift:
        return State.CHANGED
    if word == "(disabled)":
        return State.DISABLED
    return State.PENDING if word else State.IN_SYNC
