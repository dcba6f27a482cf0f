"""Desired state: the manifest with the lock's pins filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from reconciler.core.lock import Lock, PinnedFile
from reconciler.core.manifest import Manifest, ModelSpec, Policy
from reconciler.core.names import ModelId, RelPath
from reconciler.errors import Fault, ManifestInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredModel:
    """One model that should be here: what was declared, and the files it resolved to."""

    spec: ModelSpec
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Why a declared model cannot be applied now. `waiting`: it may pass without a person."""

    reason: str
    hint: str = ""
    waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the manifest and the lock together ask of the host.

    `stalled` holds the models that are declared but could not be resolved, each with the reason:
    whatever the ledger has of them stays as it is. `renames` gives the earlier ID of each declared
    model that names one. `digest` names this manifest and lock together.
    """

    models: Mapping[ModelId, DesiredModel]
    stalled: Mapping[ModelId, Stall] = field(default_factory=dict)
    renames: Mapping[ModelId, ModelId] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    digest: str = ""


def expand(
    manifest: Manifest, lock: Lock, *, lock_digest: str, stalled: Mapping[ModelId, Stall]
) -> Desired:
    """Join the manifest with its pins; a model without a pin must be in `stalled`.

    Raises:
        ManifestInvalid: two models want different bytes at one path, or one a file where the
            other needs a folder.
    """
    models: dict[ModelId, DesiredModel] = {}
    claimed: dict[RelPath, tuple[ModelSpec, PinnedFile]] = {}
    faults: list[Fault] = []
    for model_id, spec in manifest.models.items():
        if model_id in stalled:
            continue
        files = lock.pins[model_id].files
        models[model_id] = DesiredModel(spec=spec, files=files)
        for file in files:
            other, claim = claimed.setdefault(file.path, (spec, file))
            if claim.sha256 != file.sha256:
                faults.append(_clash(spec, other, file))
    owners = {str(path): spec for path, (spec, _) in claimed.items()}
    for path, (spec, _) in claimed.items():
        for folder in map(str, PurePosixPath(path).parents):
            if folder in owners:
                faults.append(_nested(spec, owners[folder], path, folder))
    if faults:
        raise ManifestInvalid(faults)
    digest = hashlib.sha256(f"{manifest.digest}{lock_digest}".encode()).hexdigest()
    return Desired(
        models=models,
        stalled=dict(stalled),
        renames={
            model_id: spec.renamed_from
            for model_id, spec in manifest.models.items()
            if spec.renamed_from is not None
        },
        policy=manifest.policy,
        digest=digest,
    )


def _clash(spec: ModelSpec, other: ModelSpec, file: PinnedFile) -> Fault:
    return Fault(
        path=spec.path,
        line=spec.line,
        column=1,
        message=f"{spec.id!r} and {other.id!r} want different bytes at {file.path}: "
        "give both the same revision, or drop one",
    )


def _nested(spec: ModelSpec, other: ModelSpec, path: RelPath, file: str) -> Fault:
    return Fault(
        path=spec.path,
        line=spec.line,
        column=1,
        message=f"{spec.id!r} wants {path}, but {file} is a file of {other.id!r}: drop one",
    )
