"""GGUF files that no model declares: which are models, and the entries that are made for them.

A generated entry is scaffolded: what is missing is filled in, what somebody edits stays. It is of
our making, and goes when its file does; the file itself is never ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.core.desired import Desired, Stall
from reconciler.core.difference import Differences, claimed_paths
from reconciler.core.discovered_keys import Naming, taken_names
from reconciler.core.edits import ConfigView, EntryView
from reconciler.core.filesets import (
    FileSet,
    list_mmproj,
    list_model_sets,
    name_without_quant,
    quant_in_name,
    shard_paths,
)
from reconciler.core.generated import generated_command
from reconciler.core.ledger import Ledger, LedgerModel
from reconciler.core.llamaswap.commandline import UnbalancedQuote, split_command, strip_comments
from reconciler.core.llamaswap.macros import expand, macro_texts
from reconciler.core.manifest import Discover
from reconciler.core.mapping import as_served
from reconciler.core.names import InvalidName, ModelId, RelPath
from reconciler.core.observed import GgufFile, Observed, OnDisk
from reconciler.core.ownership import EntryDifference, scaffold_entry, withdraw_entry
from reconciler.core.ports.hub import RemoteFile
from reconciler.core.refusal import Refusal
from reconciler.errors import Refused

# What a file says of itself that is no model of its own.
_NO_MODEL_TYPES: Final = frozenset({"adapter", "mmproj", "imatrix", "vocab", "control_vector"})
_NO_MODEL_ARCHITECTURES: Final = frozenset({"clip", "controlvector", "imatrix"})
LONGEST_KEY: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredSet:
    """A model on the disk that the manifest does not declare, of one file or of its shards.

    `path` is that of the first; `files` counts them, `size_bytes` is that of all. `mmproj` is the
    projector beside it. `model` is the entry that we make for it, `served_by` one of somebody else
    that serves it; `problem` says why there can be none. All are empty or None where there is none.
    """

    path: RelPath
    size_bytes: int
    files: int
    architecture: str | None = None
    quant: str | None = None
    mmproj: RelPath | None = None
    model: ModelId | None = None
    served_by: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What is on the disk beyond the manifest, and what becomes of the entries for it.

    `models` are those that have an entry of our making afterwards, by ID with their first path;
    `removed` those that had one and lose it. `stalled` are refused for their name.
    """

    sets: tuple[DiscoveredSet, ...] = ()
    models: Mapping[ModelId, RelPath] = field(default_factory=dict)
    removed: tuple[ModelId, ...] = ()
    entries: tuple[EntryDifference, ...] = ()
    stalled: Mapping[ModelId, Stall] = field(default_factory=dict)

    def joined(self, differences: Differences) -> Differences:
        """Give `differences` with what is discovered."""
        return replace(
            differences,
            entries=(*differences.entries, *self.entries),
            removed=(*differences.removed, *self.removed),
        )


def discover(
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    differences: Differences,
    *,
    config: ConfigView | None,
    leaving: Collection[RelPath],
    server: str,
    max_key_length: int,
) -> Discovery:
    """Find the models that nobody declares, and decide on their entries.

    `leaving` are files of ours that the same plan takes away. `config` is None where none is
    managed: then there are no entries, and what the ledger has of them stays.
    """
    kept = desired.stalled.keys() | differences.foreign.keys()
    known = {
        key: model
        for key, model in ledger.models.items()
        if model.discovered is not None and key not in desired.models and key not in kept
    }
    if observed.on_disk is None and not known:
        return Discovery()
    claimed = claimed_paths(desired, ledger, kept) | set(leaving)
    found = tuple(_undeclared(observed.on_disk or OnDisk(), claimed, leaving))
    if config is None:
        models = {key: path for key, model in known.items() if (path := model.discovered)}
        return Discovery(sets=found, models=models)
    served_by = _served_by(config, ledger) if found else {}
    found = tuple(replace(item, served_by=_first(served_by, item, observed)) for item in found)
    if desired.policy.discover is not Discover.SERVE:
        return _withdrawn(found, known, {}, config, observed)
    taken = taken_names(desired, config, known)
    naming = Naming(known=known, taken=taken, longest=max_key_length)
    keys = naming.keys([item.path for item in found if _may_be_served(item)])
    served: dict[ModelId, RelPath] = {}
    entries: list[EntryDifference] = []
    stalled: dict[ModelId, Stall] = {}
    sets: list[DiscoveredSet] = []
    for item in found:
        key = keys.get(item.path)
        if isinstance(key, Stall):
            stalled[ModelId(item.path)] = key
            sets.append(replace(item, problem=key.reason))
            continue
        if key is None:
            sets.append(item)
            continue
        try:
            cmd = generated_command(item.path, item.mmproj, observed, server)
        except Refused as error:
            stalled[ModelId(item.path)] = Stall(reason=error.message, hint=error.hint)
            sets.append(replace(item, problem=error.message))
            continue
        served[key] = item.path
        owned = known[key].entry if key in known else None
        view = config.models.get(key)
        entries.append(scaffold_entry(key, {"cmd": cmd}, view=view, owned=owned))
        sets.append(replace(item, model=key))
    unseen = observed.on_disk.unreadable if observed.on_disk else frozenset()
    for key, model in known.items():
        if key not in served and model.discovered in unseen and model.discovered is not None:
            # Nobody knows whether it is gone.
            served[key] = model.discovered
            entries.append(EntryDifference(model=key, after=model.entry))
    withdrawn = _withdrawn((), known, served, config, observed)
    return replace(
        withdrawn,
        sets=tuple(sets),
        models=served,
        entries=(*entries, *withdrawn.entries),
        stalled=stalled,
    )


def guard_discovered(
    discovery: Discovery, desired: Desired, ledger: Ledger, *, allow_prune: bool
) -> tuple[Refusal, ...]:
    """Check the generated entries that a plan takes out: a folder may not be mounted.

    They are counted for themselves, by `policy.max_prune`, so that many declared models do not hide
    them; one may always go. One whose file a declared model has now is no loss.
    """
    wanted = claimed_paths(desired, ledger, ())
    owned = [model for model in ledger.models.values() if model.discovered is not None]
    lost = [key for key in discovery.removed if ledger.models[key].discovered not in wanted]
    share = desired.policy.max_prune
    allowed = max(math.floor(share * len(owned)) if isinstance(share, float) else share, 1)
    if allow_prune or len(lost) <= allowed:
        return ()
    return (
        Refusal(
            message=f"this would take out {len(lost)} of {len(owned)} entries that were made for "
            f"files on the disk; policy.max_prune allows {allowed}",
            hint="mount what they lie on; if they are meant to go, run again with --allow-prune",
        ),
    )


def _undeclared(
    on_disk: OnDisk, claimed: Collection[RelPath], leaving: Collection[RelPath]
) -> Iterator[DiscoveredSet]:
    files = {file.path: file for file in on_disk.files}
    remote = [
        RemoteFile(path=file.path, size_bytes=file.size_bytes, sha256=None)
        for file in on_disk.files
    ]
    sets = list_model_sets(remote)
    projectors = _projectors(sets, remote, leaving)
    for found in sets:
        first = files[found[0].path]
        if any(file.path in claimed for file in found) or _is_no_model(first):
            continue
        yield DiscoveredSet(
            path=first.path,
            size_bytes=sum(file.size_bytes for file in found),
            files=len(found),
            architecture=first.architecture,
            quant=first.quant or quant_in_name(first.path) or None,
            mmproj=projectors.get(first.path.folder),
            problem=_missing(found) or first.problem,
        )


def _is_no_model(file: GgufFile) -> bool:
    return file.type in _NO_MODEL_TYPES or file.architecture in _NO_MODEL_ARCHITECTURES


def _missing(found: FileSet) -> str:
    """Say what a set lacks; empty where it is whole."""
    try:
        expected = shard_paths(found[0].path)
    except InvalidName:
        return "its name says a piece that cannot be"
    there = {file.path for file in found}
    missing = sum(path not in there for path in expected)
    return f"{missing} of its {len(expected)} shards are missing" if missing else ""


def _projectors(
    sets: Collection[FileSet], files: Collection[RemoteFile], leaving: Collection[RelPath]
) -> dict[str, RelPath]:
    """Give, by folder, the one projector there, where its models are one model in several quants.

    With two projectors, or two kinds of models, nobody can tell which belongs to which.
    """
    projectors = [path for path in list_mmproj(tuple(files)) if path not in leaving]
    count = Counter(path.folder for path in projectors)
    names: dict[str, set[str]] = {}
    for found in sets:
        names.setdefault(found[0].path.folder, set()).add(name_without_quant(found[0].path))
    return {
        path.folder: path
        for path in projectors
        if count[path.folder] == 1 and len(names.get(path.folder, ())) == 1
    }


def _may_be_served(item: DiscoveredSet) -> bool:
    return not item.problem and item.served_by is None


def _served_by(config: ConfigView, ledger: Ledger) -> dict[str, str]:
    """Give every word in the commands of entries that we did not generate, with its entry."""
    generated = {key for key, model in ledger.models.items() if model.discovered is not None}
    words: dict[str, str] = {}
    for key, entry in config.models.items():
        if key not in generated:
            for word in _words_of(entry, config):
                words.setdefault(word, key)
    return words


def _words_of(entry: EntryView, config: ConfigView) -> Iterator[str]:
    cmd = entry.fields.get("cmd")
    if cmd is None or not isinstance(cmd.value, str):
        return
    text = strip_comments(cmd.value)
    try:
        words = split_command(expand(text, macro_texts(config.data, entry.model)))
    except UnbalancedQuote:
        words = text.split()
    for word in words:
        yield word
        yield word.partition("=")[2]


def _first(served_by: Mapping[str, str], item: DiscoveredSet, observed: Observed) -> str | None:
    """Give the entry that names one of the set's paths, as llama-swap or as this host sees it."""
    for path in shard_paths(item.path) if not item.problem else (item.path,):
        for seen in _names_of(RelPath(path), observed):
            if seen in served_by:
                return served_by[seen]
    return None


def _names_of(path: RelPath, observed: Observed) -> Iterator[str]:
    yield f"{observed.models_dir}/{path}"
    try:
        yield as_served(path, observed)
    except Refused:
        return


def _withdrawn(
    found: tuple[DiscoveredSet, ...],
    known: Mapping[ModelId, LedgerModel],
    served: Collection[ModelId],
    config: ConfigView,
    observed: Observed,
) -> Discovery:
    """Take the entries out whose file is gone, or is served otherwise now."""
    removed = tuple(key for key in known if key not in served)
    entries = tuple(_withdraw(known[key], config, observed) for key in removed)
    return Discovery(sets=found, removed=removed, entries=entries)


def _withdraw(model: LedgerModel, config: ConfigView, observed: Observed) -> EntryDifference:
    view = config.models.get(model.id)
    if view is not None and model.discovered is not None and model.entry is not None:
        names = set(_names_of(model.discovered, observed))
        if names.isdisjoint(_words_of(view, config)):
            warning = f"{model.id}: its cmd serves something else by now (line {view.line})"
            return EntryDifference(model=model.id, warnings=(f"{warning}, so it stays",))
    return withdraw_entry(model.id, view=view, owned=model.entry)
