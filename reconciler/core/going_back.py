"""Go back to a generation: ask again for what was asked for then, and take its very config.

An earlier state is planned as any other is: from its manifest and its pins, against the host as it
is now. So paths, guards and what others have edited since are all seen to. Where nobody but us has
written the config since, it ends with the bytes that it had then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.actions import Download
from reconciler.core.desired import Desired, Stall, expand
from reconciler.core.generations import Generation
from reconciler.core.ledger import Ledger
from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import Manifest
from reconciler.core.names import ModelId
from reconciler.core.plan import Plan
from reconciler.core.sizes import human_bytes
from reconciler.core.yamltext.config import read_config

_HINT = "what it was then is not known; `reconcile` brings it where the manifest declares it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The generation that is gone back to.

    `manifest` is the one of then, and `ledger` what was applied then. `config` are the bytes that
    llama-swap's config had then; None where others have edited it since. `renamed` gives the ID
    that a model of then has now, where that is another. `held` names the manifest and lock that
    stand after it, which a watch leaves alone until one of them changes; None where there is no
    manifest to name.
    """

    generation: Generation
    manifest: Manifest
    ledger: Ledger
    config: bytes | None
    renamed: Mapping[ModelId, ModelId]
    held: str | None


def standing_digest(manifest_digest: str, lock: bytes | None) -> str:
    """Name a manifest and a lock file by their bytes, for what a watch is not to apply."""
    return hashlib.sha256(f"{manifest_digest}\0".encode() + (lock or b"")).hexdigest()


def names_since(models: Iterable[ModelId], manifests: Iterable[Manifest]) -> dict[ModelId, ModelId]:
    """Follow `models` through the manifests applied since, oldest first; gives those renamed."""
    names = {key: key for key in models}
    for manifest in manifests:
        renames = {spec.renamed_from: key for key, spec in manifest.models.items()}
        names = {key: renames.get(name, name) for key, name in names.items()}
    return {key: name for key, name in names.items() if name != key}


def desired_then(target: Return, pins: Lock, lock_digest: str) -> Desired:
    """Give what was asked for and applied then; `pins` are all pins of then.

    What that run could not apply stays as it is now. Raises `ManifestInvalid`.
    """
    specs = target.manifest.models
    stalled = {
        key: Stall(
            reason=f"generation {target.generation.number} was applied without it, "
            "so it stays as it is now",
            hint=_HINT,
        )
        for key in specs
        if key not in pins.pins or not _is_applied(key, pins.pins[key], target.ledger)
    }
    desired = expand(target.manifest, pins, lock_digest=lock_digest, stalled=stalled)
    return replace(desired, renames={**desired.renames, **target.renamed})


def _is_applied(model: ModelId, pin: Pin, ledger: Ledger) -> bool:
    applied = ledger.models.get(model)
    return applied is not None and all(
        file.path in applied.files
        and file.path in ledger.files
        and ledger.files[file.path].sha256 == file.sha256
        for file in pin.files
    )


def gone_back(plan: Plan, target: Return) -> Plan:
    """Give a plan for `desired_then` with what going back adds to it.

    The config ends with the bytes of then, where it would end with their meaning anyway, and the
    ledger says of its entries what it said then. What must be fetched is told.
    """
    number = target.generation.number
    reason = f"generation {number} was gone back to by hand"
    ledger = replace(
        plan.ledger_after, stalled=target.held, stalled_reason=reason if target.held else ""
    )
    missing = sum(
        item.size_bytes - item.have_bytes for item in plan.actions if isinstance(item, Download)
    )
    if missing:
        told = f"{human_bytes(missing)} of generation {number} are no longer kept: they are fetched"
        plan = replace(plan, warnings=(told, *plan.warnings))
    if _means_the_same(plan, target):
        plan = replace(plan, config_after=target.config)
        ledger = _with_entries_of(target.ledger, ledger)
    return replace(plan, ledger_after=ledger)


def _means_the_same(plan: Plan, target: Return) -> bool:
    """Whether the plan writes a config that differs from the one of then in its letters alone."""
    path, after = plan.config_path, plan.config_after
    if path is None or after is None or target.config is None or plan.stalled:
        return False
    if path != target.ledger.config_path or after == (plan.config_before or b""):
        return False
    return read_config(after, path).data == read_config(target.config, path).data


def _with_entries_of(then: Ledger, ledger: Ledger) -> Ledger:
    """What was known of the entries and what is around them holds for the very bytes of then."""
    models = {
        key: replace(model, entry=then.models[key].entry, group=then.models[key].group)
        if key in then.models
        else model
        for key, model in ledger.models.items()
    }
    return replace(ledger, models=models, scaffold=then.scaffold)
