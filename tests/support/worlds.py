"""Whole worlds for the pure core: desired, observed and ledger, and what applying a plan makes of
them, without a disk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.actions import Place, Prune, Replace
from reconciler.core.comparison import compare_states
from reconciler.core.desired import Desired, DesiredModel, Stall
from reconciler.core.discover import LONGEST_KEY
from reconciler.core.filesystems import Mount, Room
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.lock import PinnedFile
from reconciler.core.manifest import ModelSpec, Policy, Serve
from reconciler.core.names import Commit, ModelId, RelPath, RepoId, Sha256
from reconciler.core.observed import (
    Observed,
    ObservedFile,
    PathMapping,
    RuntimeState,
    RuntimeStatus,
)
from reconciler.core.plan import Plan, build_plan
from reconciler.core.source import HubOrigin, HubQuant

CONFIG = b"# theirs\nmodels:\n  mine:\n    cmd: llama-server --port ${PORT} -m /mine.gguf\n"
ROOMY = 10**12
MODELS_MOUNT = PathMapping(host="/models", container="/models")


def digest(content: str) -> Sha256:
    """Give the digest of some made-up content."""
    return Sha256(hashlib.sha256(content.encode()).hexdigest())


def pinned(model: str, content: str, *, name: str = "m.gguf", role: str = "model") -> PinnedFile:
    """Give a pinned file of 100 bytes at `acme/<model>/<name>`."""
    repo = RepoId(f"acme/{_repo_name(model)}")
    return PinnedFile(
        role=role,
        path=RelPath(f"{repo}/{name}"),
        size_bytes=100,
        sha256=digest(content),
        origin=HubOrigin(repo=repo, commit=Commit("0" * 40), path=RelPath(name)),
    )


def _repo_name(model: str) -> str:
    """Give the name of a model's repository: not every sign of an ID may stand in it."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", model)


def model(
    name: str,
    *files: PinnedFile,
    serve: Serve | None = None,
    enabled: bool = True,
    protect: bool | None = None,
    renamed_from: str | None = None,
) -> DesiredModel:
    """Give a desired model."""
    source = HubQuant(repo=RepoId(f"acme/{_repo_name(name)}"), quant="Q4_K_M")
    spec = ModelSpec(
        id=ModelId(name),
        source=source,
        source_text=f"acme/{_repo_name(name)}",
        serve=serve or Serve(),
        enabled=enabled,
        protect=protect,
        renamed_from=ModelId(renamed_from) if renamed_from else None,
    )
    return DesiredModel(spec=spec, files=files or (pinned(name, f"{name}-1"),))


def desired(
    *models: DesiredModel, policy: Policy | None = None, stalled: Mapping[str, str] | None = None
) -> Desired:
    """Give a desired state."""
    return Desired(
        models={item.spec.id: item for item in models},
        stalled={ModelId(key): Stall(reason=why) for key, why in (stalled or {}).items()},
        renames={item.spec.id: item.spec.renamed_from for item in models if item.spec.renamed_from},
        policy=policy or Policy(),
        digest="digest",
    )


def planned(
    wanted: Desired,
    observed: Observed,
    ledger: Ledger,
    *,
    max_key_length: int = LONGEST_KEY,
    **options: Any,
) -> Plan:
    """Compare and plan; `options` are those of `build_plan`."""
    compared = compare_states(
        wanted, observed, ledger, server="llama-server", max_key_length=max_key_length
    )
    return build_plan(compared, **options)


@dataclass(frozen=True, kw_only=True)
class World:
    """A host without a disk: contents by path, the config, the ledger."""

    contents: Mapping[RelPath, Sha256] = field(default_factory=dict)
    config: bytes = CONFIG
    ledger: Ledger = field(default_factory=Ledger)
    running: bool = False
    free_bytes: int = ROOMY
    mount: Mount | None = None

    def observed(self) -> Observed:
        """Give the snapshot that would be taken of it."""
        files = {
            path: ObservedFile(
                path=path,
                identity=FileIdentity(device=1, inode=hash(path), size_bytes=100, mtime_ns=1),
                sha256=content,
            )
            for path, content in self.contents.items()
        }
        status = RuntimeStatus.RUNNING if self.running else RuntimeStatus.UNMANAGED
        return Observed(
            models_dir="/models",
            device=1,
            files=files,
            config_path="/etc/config.yaml",
            config=self.config,
            runtime=RuntimeState(
                kind="docker" if self.running else "none",
                status=status,
                name="llama-swap",
                mappings=(MODELS_MOUNT,) if self.running else (),
            ),
            room=Room(device=1, free_bytes=self.free_bytes),
            mount=self.mount,
        )

    def plan(self, wanted: Desired, *, allow_prune: bool = True) -> Plan:
        """Plan for it."""
        return planned(wanted, self.observed(), self.ledger, allow_prune=allow_prune)

    def applied(self, plan: Plan) -> World:
        """Give the world after everything in `plan` has been done."""
        contents = dict(self.contents)
        for action in plan.actions:
            if isinstance(action, Place | Replace):
                contents[action.path] = action.sha256
            elif isinstance(action, Prune):
                del contents[action.path]
        config = self.config if plan.config_after is None else plan.config_after
        return replace(self, contents=contents, config=config, ledger=plan.ledger_after)

    def reached(self, wanted: Desired) -> World:
        """Plan and apply."""
        return self.applied(self.plan(wanted))
