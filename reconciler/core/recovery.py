"""Work out what is ours where the ledger is lost: from the lock, the disk and the config alone.

A file is ours where lock and digest agree and our `.sha256` stands beside it; an entry where the
lock names the model and its `cmd` names the locked path, or where it is word for word what is
generated for an undeclared file. Everything else counts as found. The copy of the ledger is a hint:
it may add what stood there before us, and take a claim back, never make one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.core.edits import ConfigView, EntryView
from reconciler.core.generated import generated_for
from reconciler.core.ledger import (
    Ledger,
    LedgerEntry,
    LedgerField,
    LedgerFile,
    LedgerModel,
    Provenance,
    Scaffold,
)
from reconciler.core.llamaswap.commandline import UnbalancedQuote, split_command
from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import ModelSpec
from reconciler.core.mapping import as_served
from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.observed import Observed
from reconciler.core.values import same
from reconciler.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What recovery is decided from.

    `observed` holds the digests of the files at the lock's paths, and `stamps` those that the
    `.sha256` beside them name. `config` is None where none is managed. `declared` are the
    manifest's models, and `hint` is the copy of the ledger, if there is one. `remembered`: an
    earlier run is known to have applied models to this folder. `server` is llama-server's path in
    commands where the manifest asks for generated entries, None where it does not.
    """

    lock: Lock
    observed: Observed
    stamps: Mapping[RelPath, Sha256]
    config: ConfigView | None
    declared: Mapping[ModelId, ModelSpec]
    hint: Ledger | None
    remembered: bool
    server: str | None = None

    @property
    def speaks_of_us(self) -> bool:
        """Whether anything says that we were here before; else this is a first run."""
        return bool(self.stamps) or self.hint is not None or self.remembered


def recover_ledger(evidence: Evidence) -> Ledger:
    """Give what can be proven to be ours; an empty ledger where that is nothing."""
    if not evidence.speaks_of_us:
        return Ledger()
    hint = _hint_for_this_config(evidence)
    models: dict[ModelId, LedgerModel] = {}
    files: dict[RelPath, LedgerFile] = {}
    for key, pin in evidence.lock.pins.items():
        stamped = _stamped_files(pin, evidence, hint)
        entry = _our_entry(key, pin, evidence, hint)
        if not stamped and entry is None:
            continue
        before = hint.models.get(key)
        files |= stamped
        models[key] = LedgerModel(
            id=key,
            files=tuple(file.path for file in pin.files),
            entry=entry,
            protect=before is not None and before.protect,
            source=pin.asked.source,
        )
    models = {model.id: model for model in _generated(evidence)} | models
    if not models:
        return Ledger()
    return Ledger(
        models=models,
        files=files,
        scaffold=hint.scaffold if any(model.entry for model in models.values()) else Scaffold(),
        config_path=evidence.observed.config_path,
        container=hint.container,
        device=evidence.observed.device,
    )


def _hint_for_this_config(evidence: Evidence) -> Ledger:
    """What the hint says of entries holds for the config that it was written for."""
    hint = evidence.hint or Ledger()
    if hint.config_path == evidence.observed.config_path:
        return hint
    models = {key: replace(model, entry=None) for key, model in hint.models.items()}
    return replace(hint, models=models, scaffold=Scaffold())


def _stamped_files(pin: Pin, evidence: Evidence, hint: Ledger) -> dict[RelPath, LedgerFile]:
    """Give the files that have our `.sha256`; one whose bytes do not prove it counts as found."""
    stamped = {}
    for file in pin.files:
        if evidence.stamps.get(file.path) != file.sha256:
            continue
        seen = evidence.observed.files.get(file.path)
        known = hint.files.get(file.path)
        is_proven = seen is not None and seen.sha256 == file.sha256
        is_ours = is_proven and (known is None or known.provenance is Provenance.BROUGHT)
        stamped[file.path] = LedgerFile(
            path=file.path,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            provenance=Provenance.BROUGHT if is_ours else Provenance.FOUND,
        )
    return stamped


def _generated(evidence: Evidence) -> Iterator[LedgerModel]:
    """Give the models of the entries that read as they are generated for undeclared files."""
    if evidence.config is None or evidence.server is None:
        return
    for name, view in evidence.config.models.items():
        path = generated_for(view, evidence.observed, evidence.server)
        if path is not None:
            key = ModelId(name)
            entry = LedgerEntry(
                made=True, fields={"cmd": LedgerField(value=view.fields["cmd"].value)}
            )
            yield LedgerModel(id=key, files=(), entry=entry, discovered=path)


def _our_entry(model: ModelId, pin: Pin, evidence: Evidence, hint: Ledger) -> LedgerEntry | None:
    view = evidence.config.models.get(model) if evidence.config is not None else None
    if view is None or not _names(view, pin, evidence.observed):
        return None
    before = hint.models.get(model)
    if before is not None and before.entry is not None:
        return before.entry
    declared = evidence.declared.get(model)
    wanted = declared.serve.fields if declared is not None else {}
    fields = {
        key: LedgerField(value=field.value)
        for key, field in view.fields.items()
        if key in wanted and same(field.value, wanted[key])
    }
    # Somebody may have added words to the command: as found, only the paths in it are changed.
    command = LedgerField(value=view.fields["cmd"].value, found=True)
    return LedgerEntry(made=True, fields={"cmd": command, **fields})


def _names(view: EntryView, pin: Pin, observed: Observed) -> bool:
    """Whether the entry's command names the model's first file, as llama-swap sees it."""
    command = view.fields["cmd"].value if "cmd" in view.fields else None
    first = next((file.path for file in pin.files if file.role == "model"), None)
    if not isinstance(command, str) or first is None:
        return False
    try:
        place, words = as_served(first, observed), split_command(command)
    except (Refused, UnbalancedQuote):
        return False
    return any(word == place or word.endswith(f"={place}") for word in words)
