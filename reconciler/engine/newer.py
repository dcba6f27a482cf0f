"""What upstream has newer for tracked models: asked once for each branch, told once for each model.

Nothing is written. A pin has moved where the digest of a file did, not merely the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.asked import Named
from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import Manifest
from reconciler.core.names import Commit, ModelId, RepoId
from reconciler.core.ports.hub import Hub, RemoteFile, Upstream
from reconciler.core.tracking import (
    clashing_moves,
    describe_move,
    followed_models,
    may_have_newer,
)
from reconciler.engine.host import Host
from reconciler.engine.resolve import resolve
from reconciler.errors import Offline, Stalled, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """What was found: in words with the next step of each, and the pins as they could move."""

    findings: tuple[tuple[str, str], ...] = ()
    moves: Mapping[ModelId, Pin] = field(default_factory=dict)


def find_newer(
    host: Host,
    manifest: Manifest,
    pins: Mapping[ModelId, Pin],
    *,
    asked: Iterable[ModelId],
    refused: Mapping[ModelId, Pin],
    window_hours: float | None,
) -> Newer:
    """Look for newer files of the tracked models of `asked`; `pins` are those of all models.

    Each repository and revision costs one request, and its list of files is asked for where the
    commit is another and the repository changed within the window (None: whenever it changed). The
    first answer that does not come ends it. `refused` are pins that are not to be moved to.
    """
    followed = followed_models(manifest.models, {key: pins[key] for key in asked})
    found, findings = _look_up(
        {named for model in followed.values() for named in model.commits}, host
    )
    late = [
        key
        for key, model in followed.items()
        if may_have_newer(model, found, now=host.clock.now(), window_hours=window_hours)
    ]
    if not late:
        return Newer(findings=tuple(findings))
    resolution = resolve(
        replace(manifest, models={key: manifest.models[key] for key in late}),
        Lock(pins={key: pins[key] for key in late}),
        hub=_Heard(hub=host.hub, found=found),
        transfer=host.transfer,
        local=host.local,
        models_dir=str(host.folder.root),
        move=late,
    )
    for key, error in resolution.stalled.items():
        findings.append(
            (f"what upstream has now for {key} is not usable: {error.message}", error.hint)
        )
    newer = {key: resolution.lock.pins[key] for key in resolution.changed}
    clashing = clashing_moves(newer, pins)
    here = {file.sha256 for pin in pins.values() for file in pin.files}
    moves = {}
    for key, pin in newer.items():
        what = f"upstream has newer for {key}: {describe_move(pins[key], pin, here)}"
        if key in clashing:
            hint = f"it is not moved by itself, for {clashing[key]} wants the old bytes at its path"
        elif key in refused and refused[key].contents == pin.contents:
            hint = f"it failed the health gate; `reconcile update {key}` would have it tried again"
        else:
            moves[key] = pin
            hint = f"`reconcile update {key}` moves the pin; `reconcile --watch` does by itself"
        findings.append((what, hint))
    return Newer(findings=tuple(findings), moves=moves)


def _look_up(
    names: Iterable[Named], host: Host
) -> tuple[dict[Named, Upstream], list[tuple[str, str]]]:
    found: dict[Named, Upstream] = {}
    findings: list[tuple[str, str]] = []
    for repo, revision in sorted(names, key=str):
        try:
            found[repo, revision] = host.hub.look_up(repo, revision)
        except Stalled as error:
            findings.append((f"{repo} could not be followed: {error.message}", error.hint))
        except Offline:
            findings.append(("tracked models were not followed: --offline forbids it", ""))
            break
        except Waiting as error:
            findings.append((f"tracked models could not be followed: {error.message}", error.hint))
            break
    return found, findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """The hub, which is not asked again for what it has just said."""

    hub: Hub
    found: Mapping[Named, Upstream]

    def resolve_revision(self, repo: RepoId, revision: str | None, *, anew: bool = False) -> Commit:
        """See `Hub.resolve_revision`."""
        heard = self.found.get((repo, revision))
        return heard.commit if heard else self.hub.resolve_revision(repo, revision, anew=anew)

    def look_up(self, repo: RepoId, revision: str | None) -> Upstream:
        """See `Hub.look_up`."""
        return self.found.get((repo, revision)) or self.hub.look_up(repo, revision)

    def list_files(
        self, repo: RepoId, commit: Commit, *, anew: bool = False
    ) -> tuple[RemoteFile, ...]:
        """See `Hub.list_files`."""
        return self.hub.list_files(repo, commit, anew=anew)
