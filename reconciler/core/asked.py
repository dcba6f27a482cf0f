"""What is asked for: a model's words by role, and what each of its sources means."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from reconciler.core.lock import Asked, Lock, Pin
from reconciler.core.manifest import ModelSpec
from reconciler.core.names import Commit, InvalidName, ModelId, RepoId
from reconciler.core.reading.source_text import parse_source
from reconciler.core.source import HubOrigin, HubPath, HubQuant, Source

HubSource = HubQuant | HubPath
# A repository and what its revision is called; None is the default branch.
Named = tuple[RepoId, str | None]


def asked_by(spec: ModelSpec) -> Asked:
    """Give the words by which a pin of this model is recognised."""
    return Asked(
        source=spec.source_text,
        revision=spec.revision,
        mmproj=spec.mmproj,
        draft=spec.draft_text,
        files=dict(spec.file_texts),
    )


def still_asked(pin: Pin | None, spec: ModelSpec) -> Pin | None:
    """Give the pin where it is what the manifest asks for; else there is none."""
    if pin is None or pin.asked != asked_by(spec):
        return None
    if spec.sha256 is not None and pin.files[0].sha256 != spec.sha256:
        return None
    return pin


def sources_by_role(
    source: Source, draft: Source | None, files: Mapping[str, Source]
) -> dict[str, Source]:
    """Give what is asked for by role, in the order in which a pin lists it."""
    drafts = {"draft": draft} if draft is not None else {}
    return {
        "model": source,
        **drafts,
        **{f"file.{name}": files[name] for name in sorted(files)},
    }


def revision_of(role: str, source: HubSource, model: Source, revision: str | None) -> str | None:
    """Say which revision `source` means: its own, else the model's where that is its repository."""
    if isinstance(source, HubPath) and source.revision is not None:
        return source.revision
    if role == "model":
        return revision
    if isinstance(model, HubQuant | HubPath) and model.repo == source.repo:
        return revision_of("model", model, model, revision)
    return None


def known_commits(lock: Lock, move: Collection[ModelId]) -> dict[Named, dict[Commit, None]]:
    """Give the commits that pins hold, by what they were asked as, in the order of model IDs.

    Pins that are to move give none: whoever needs a commit would take the one they leave.
    """
    known: dict[Named, dict[Commit, None]] = {}
    for model_id in sorted(lock.pins):
        if model_id in move:
            continue
        for named, commit in commits_of(lock.pins[model_id]):
            known.setdefault(named, {})[commit] = None
    return known


def commits_of(pin: Pin) -> Iterator[tuple[Named, Commit]]:
    """Give each file's commit on the hub, with what that was asked as."""
    asked = pin.asked
    try:
        # Only sources on the hub matter here, so the folder of `./path` does not.
        sources = sources_by_role(
            parse_source(asked.source, base="/"),
            parse_source(asked.draft, base="/") if asked.draft is not None else None,
            {name: parse_source(text, base="/") for name, text in asked.files.items()},
        )
    except InvalidName:
        return  # Written by hand, or by a version that knew other words.
    for file in pin.files:
        role = "model" if file.role == "mmproj" else file.role
        source = sources.get(role)
        if isinstance(file.origin, HubOrigin) and isinstance(source, HubQuant | HubPath):
            revision = revision_of(role, source, sources["model"], asked.revision)
            yield (source.repo, revision), file.origin.commit
