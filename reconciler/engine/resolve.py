"""From what the manifest asks to what the lock pins: names become commits, sizes and digests."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar, assert_never

from reconciler.core.asked import (
    HubSource,
    Named,
    asked_by,
    known_commits,
    revision_of,
    sources_by_role,
    still_asked,
)
from reconciler.core.destination import destination
from reconciler.core.filesets import (
    FileSet,
    list_mmproj,
    match_mmproj,
    match_path,
    match_quant,
    shard_paths,
)
from reconciler.core.lock import Lock, Pin, PinnedFile
from reconciler.core.manifest import Manifest, ModelSpec
from reconciler.core.names import Commit, InvalidName, ModelId, RelPath, RepoId, Sha256
from reconciler.core.pin_names import under_new_names
from reconciler.core.ports.digests import LocalFiles
from reconciler.core.ports.hub import Hub, RemoteFile
from reconciler.core.ports.transfer import Transfer
from reconciler.core.source import (
    HubOrigin,
    HubPath,
    HubQuant,
    LocalOrigin,
    LocalPath,
    Origin,
    PlainUrl,
    UrlOrigin,
)
from reconciler.errors import (
    FileMissing,
    NoMatch,
    ReconcilerError,
    RevisionMissing,
    Stalled,
    Waiting,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The lock as it should be, the models that could not be pinned, and those pinned anew.

    `hints` are for people: what a repository has that a model pinned now does not ask for.
    """

    lock: Lock
    stalled: Mapping[ModelId, ReconcilerError]
    changed: tuple[ModelId, ...]
    hints: tuple[str, ...] = ()


def resolve(
    manifest: Manifest,
    lock: Lock,
    *,
    hub: Hub,
    transfer: Transfer,
    local: LocalFiles,
    models_dir: str | None,
    move: Collection[ModelId] = (),
    progress: Callable[[ModelId], None] = lambda _: None,
) -> Resolution:
    """Pin every declared model; a pin that is what the manifest asks for is kept unasked.

    A missing pin takes the commit that another pin has for the same repository and revision, where
    that commit has the files, else the newest that the hub is known to have. The pins of `move` are
    resolved to the newest there is now, and move only where the files or their digests differ. Pins
    of undeclared models are dropped.
    `progress` hears of each model before it is resolved. `models_dir` is absolute.

    A model that was renamed takes over the pin of its old ID.

    Raises nothing of `Stalled` or `Waiting`: what fails one model is in `stalled`, and the others
    go on. Such a model keeps its pin if that is still what the manifest asks for.
    """
    resolver = _Resolver(
        upstream=_Upstream(hub=hub),
        transfer=transfer,
        local=local,
        models_dir=models_dir,
        known=known_commits(lock, move),
    )
    pins: dict[ModelId, Pin] = {}
    stalled: dict[ModelId, ReconcilerError] = {}
    changed: list[ModelId] = []
    there = under_new_names(lock.pins, manifest.models)
    for model_id, spec in manifest.models.items():
        pin = still_asked(there.get(model_id), spec)
        try:
            if pin is not None:
                pins[model_id] = pin = _brought_here(pin, spec, models_dir)
                if model_id not in move:
                    continue
            progress(model_id)
            found = resolver.pin(spec, newest=model_id in move)
        except (Stalled, Waiting) as error:
            stalled[model_id] = error
            continue
        if pin is None or pin.contents != found.contents:
            pins[model_id] = found
            changed.append(model_id)
    return Resolution(
        lock=Lock(pins=pins),
        stalled=stalled,
        changed=tuple(changed),
        hints=tuple(resolver.hints),
    )


def _brought_here(pin: Pin, spec: ModelSpec, models_dir: str | None) -> Pin:
    """Let local files lie where the manifest says now: a checkout may have moved, or be another."""
    sources = sources_by_role(spec.source, spec.draft, spec.files)

    def brought(file: PinnedFile) -> PinnedFile:
        source = sources.get(file.role)
        if not isinstance(file.origin, LocalOrigin) or not isinstance(source, LocalPath):
            return file
        name = posixpath.basename(file.origin.path)
        origin = LocalOrigin(path=posixpath.join(posixpath.dirname(source.path), name))
        if models_dir is None and origin == file.origin:
            return file
        return replace(file, origin=origin, path=_destination(origin, models_dir))

    files = tuple(brought(file) for file in pin.files)
    return pin if files == pin.files else replace(pin, files=files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upstream:
    """The hub, asked each thing once; a failure is remembered like an answer."""

    hub: Hub
    _commits: dict[tuple[Named, bool], Commit | ReconcilerError] = field(default_factory=dict)
    _files: dict[tuple[RepoId, Commit], tuple[RemoteFile, ...] | ReconcilerError] = field(
        default_factory=dict
    )

    def newest(self, repo: RepoId, revision: str | None, *, anew: bool) -> Commit:
        try:
            # A commit stands for itself; whether it exists shows when its files are listed.
            return Commit(revision or "")
        except InvalidName:
            return _once(
                self._commits,
                ((repo, revision), anew),
                lambda: self.hub.resolve_revision(repo, revision, anew=anew),
            )

    def files(self, repo: RepoId, commit: Commit) -> tuple[RemoteFile, ...]:
        return _once(self._files, (repo, commit), lambda: self.hub.list_files(repo, commit))


K = TypeVar("K")


def _once(memory: dict[K, T | ReconcilerError], key: K, ask: Callable[[], T]) -> T:
    if key not in memory:
        try:
            memory[key] = ask()
        except ReconcilerError as error:
            memory[key] = error
    answer = memory[key]
    if isinstance(answer, ReconcilerError):
        raise answer
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolver:
    """Resolves one model after the other."""

    upstream: _Upstream
    transfer: Transfer
    local: LocalFiles
    models_dir: str | None
    known: Mapping[Named, Mapping[Commit, None]]
    hints: list[str] = field(default_factory=list)

    def pin(self, spec: ModelSpec, *, newest: bool) -> Pin:
        """Pin one model; `newest` says that no commit of another pin will do."""
        files: list[PinnedFile] = []
        for role, source in sources_by_role(spec.source, spec.draft, spec.files).items():
            match source:
                case HubQuant() | HubPath():
                    files += self._from_hub(spec, role, source, newest=newest)
                case PlainUrl(url=url):
                    files.append(self._from_url(spec, role, url))
                case LocalPath(path=path):
                    files += self._from_disk(role, path)
                case _:
                    assert_never(source)
        return Pin(asked=asked_by(spec), files=tuple(files))

    def _from_hub(
        self, spec: ModelSpec, role: str, source: HubSource, *, newest: bool
    ) -> Iterator[PinnedFile]:
        mmproj = spec.mmproj if role == "model" else "none"
        revision = revision_of(role, source, spec.source, spec.revision)
        candidates = () if newest else tuple(self.known.get((source.repo, revision), ()))
        commit, model, projector = self._first_that_fits(
            source, revision, candidates, mmproj, newest=newest
        )
        if role == "model" and not projector:
            self._hint_at_mmproj(spec, source.repo, commit)
        for part, found in ((role, model), ("mmproj", projector)):
            for file in found:
                if file.sha256 is not None:  # Always: a set without one does not match.
                    origin = HubOrigin(repo=source.repo, commit=commit, path=file.path)
                    yield self._pinned(part, origin, file.size_bytes, file.sha256)

    def _hint_at_mmproj(self, spec: ModelSpec, repo: RepoId, commit: Commit) -> None:
        projectors = list_mmproj(self.upstream.files(repo, commit))
        if projectors:
            self.hints.append(
                f"{spec.id}: {repo} has {projectors[0]} too; `mmproj: auto` would serve it"
            )

    def _first_that_fits(
        self,
        source: HubSource,
        revision: str | None,
        commits: tuple[Commit, ...],
        mmproj: str,
        *,
        newest: bool,
    ) -> tuple[Commit, FileSet, FileSet]:
        for commit in commits:
            try:
                return commit, *self._match(source, commit, mmproj)
            except (NoMatch, FileMissing, RevisionMissing):
                continue  # The newest may have what this one has not.
        commit = self.upstream.newest(source.repo, revision, anew=newest)
        try:
            return commit, *self._match(source, commit, mmproj)
        except (NoMatch, FileMissing, RevisionMissing):
            # The hub may have said so some hours ago; what is missing may have come since.
            now = self.upstream.newest(source.repo, revision, anew=True)
            if now == commit:
                raise
            return now, *self._match(source, now, mmproj)

    def _match(self, source: HubSource, commit: Commit, mmproj: str) -> tuple[FileSet, FileSet]:
        files = self.upstream.files(source.repo, commit)
        match source:
            case HubQuant(repo=repo, quant=quant):
                model = match_quant(files, quant, repo)
            case HubPath(repo=repo, path=path):
                model = match_path(files, path, repo)
            case _:
                assert_never(source)
        return model, match_mmproj(files, model, mmproj, source.repo)

    def _from_url(self, spec: ModelSpec, role: str, url: str) -> PinnedFile:
        if spec.sha256 is None:
            raise NoMatch(
                f"nothing vouches for the bytes at {url}", hint="Give the sha256 in the manifest."
            )
        return self._pinned(role, UrlOrigin(url=url), self.transfer.measure(url), spec.sha256)

    def _from_disk(self, role: str, path: str) -> Iterator[PinnedFile]:
        try:
            paths = shard_paths(path)
        except InvalidName as error:
            raise NoMatch(str(error), hint="Name a piece that is within its set.") from error
        for each in paths:
            found = self.local.describe(each)
            yield self._pinned(role, LocalOrigin(path=each), found.size_bytes, found.sha256)

    def _pinned(self, role: str, origin: Origin, size_bytes: int, sha256: Sha256) -> PinnedFile:
        path = _destination(origin, self.models_dir)
        return PinnedFile(role=role, path=path, size_bytes=size_bytes, sha256=sha256, origin=origin)


def _destination(origin: Origin, models_dir: str | None) -> RelPath:
    try:
        return destination(origin, models_dir)
    except InvalidName as error:
        raise NoMatch(str(error), hint="Name a file that lies elsewhere.") from error
