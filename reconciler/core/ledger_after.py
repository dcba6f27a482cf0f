"""What the ledger says once all of a plan has succeeded."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.core.config_change import ConfigChange
from reconciler.core.desired import Desired
from reconciler.core.difference import Differences, FileState, claimed_paths
from reconciler.core.ledger import Ledger, LedgerFile, LedgerModel, Provenance
from reconciler.core.names import ModelId, RelPath
from reconciler.core.observed import Observed


def ledger_after(
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    differences: Differences,
    change: ConfigChange | None,
    *,
    discovered: Mapping[ModelId, RelPath],
) -> Ledger:
    """Give the ledger after the plan. `change` is None where no config is managed.

    `discovered` are the models that have an entry of our making and no declaration. A model that
    cannot be applied now keeps what the ledger has of it.
    """
    models: dict[ModelId, LedgerModel] = {}
    files: dict[RelPath, LedgerFile] = {}
    unapplied = desired.stalled.keys() | differences.foreign.keys()
    models |= {key: owned for key, owned in ledger.models.items() if key in unapplied}
    for key, model in desired.models.items():
        if key in differences.foreign:
            continue
        before = ledger.models.get(key)
        protect = model.spec.protect
        models[key] = LedgerModel(
            id=key,
            files=tuple(file.path for file in model.files),
            entry=change.entries.get(key) if change else (before.entry if before else None),
            protect=protect if protect is not None else bool(before and before.protect),
            source=model.spec.source_text,
            group=change.groups.get(key) if change else (before.group if before else None),
        )
    for key, path in discovered.items():
        owned = ledger.models.get(key)
        entry = change.entries.get(key) if change else (owned.entry if owned else None)
        models[key] = LedgerModel(id=key, files=(), entry=entry, discovered=path)
    claimed = claimed_paths(desired, ledger, unapplied)
    files |= {path: file for path, file in ledger.files.items() if path in claimed}
    for item in differences.files:
        files[item.file.path] = LedgerFile(
            path=item.file.path,
            size_bytes=item.file.size_bytes,
            sha256=item.file.sha256,
            provenance=_provenance(item.state, ledger.files.get(item.file.path)),
        )
    return Ledger(
        models=models,
        files=files,
        scaffold=change.scaffold if change else ledger.scaffold,
        config_path=observed.config_path or ledger.config_path,
        container=observed.runtime.name,
        device=observed.device,
    )


def _provenance(state: FileState, owned: LedgerFile | None) -> Provenance:
    if state is not FileState.IN_PLACE:
        return Provenance.BROUGHT
    return owned.provenance if owned else Provenance.FOUND
