"""From the text of manifest files to the manifest: all that is wrong is found at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.manifest import Discover, Manifest, ModelSpec, Policy, Prune
from reconciler.core.names import ModelId, Sha256
from reconciler.core.reading.manifest_checks import parse_max_prune
from reconciler.core.reading.manifest_file import ManifestFile, ManifestText, read_file
from reconciler.core.reading.manifest_merge import Words, merge
from reconciler.core.reading.manifest_model import read_model
from reconciler.core.reading.shape_faults import Place, suggestion
from reconciler.errors import Fault, ManifestInvalid

__all__ = ["ManifestText", "parse_manifest"]


def parse_manifest(texts: Sequence[ManifestText]) -> Manifest:
    """Read one manifest out of all its files.

    Raises:
        ManifestInvalid: it is wrong in one or more places; each is told with its line and column,
            but only one for each place.
    """
    if not texts:
        raise ManifestInvalid([Fault(path="manifest", line=0, column=0, message="there is none")])
    files = [read_file(text) for text in texts]
    reader = _Reader(files=files)
    manifest = reader.manifest()
    faults = [fault for file in files for fault in file.faults]
    if faults:
        raise ManifestInvalid(_one_for_each_place(faults))
    return manifest


def _one_for_each_place(faults: Iterable[Fault]) -> list[Fault]:
    first: dict[tuple[str, int, int], Fault] = {}
    for fault in faults:
        first.setdefault((fault.path, fault.line, fault.column), fault)
    return [first[place] for place in sorted(first)]


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Joins the files; every fault goes to the file it stands in."""

    files: Sequence[ManifestFile]
    presets: dict[str, Words] = field(default_factory=dict)
    _bases: dict[tuple[str, ...], Words] = field(default_factory=dict)

    def manifest(self) -> Manifest:
        for file in self.files:
            for name, preset in file.section("presets").items():
                if not isinstance(name, str):
                    continue
                if name in self.presets:
                    file.complain(
                        ("presets", name),
                        f"the preset {name!r} is declared in another file too",
                        at_key=True,
                    )
                self.presets.setdefault(name, preset)
        self._bases[()] = self._only_section("defaults")
        policy = self._only_section("policy")
        models: dict[ModelId, ModelSpec] = {}
        declared: dict[str, ManifestFile] = {}
        for file in self.files:
            for name, words in file.section("models").items():
                if name in declared:
                    other = declared[name]
                    line, _ = other.yaml.place(("models", name), at_key=True)
                    file.complain(
                        ("models", name),
                        f"the model {name!r} is declared twice; first in {other.text.path}:{line}",
                        at_key=True,
                    )
                    continue
                declared[name] = file
                if not isinstance(name, str):
                    continue
                own = words or {}
                base = self._base(file, ("models", name), own)
                spec = read_model(file, name, own, base, self._layers(own))
                if spec is not None:
                    models[spec.id] = spec
        self._check_aliases(models, declared)
        self._check_renames(models, declared)
        return Manifest(
            models=models,
            policy=_policy(policy),
            paths=tuple(file.text.path for file in self.files),
            digest=_digest([file.text for file in self.files]),
            texts=tuple(file.text for file in self.files),
        )

    def _only_section(self, key: str) -> Words:
        """Give what the one file that may have `key` says there."""
        having = [file for file in self.files if key in file.words]
        for file in having[1:]:
            file.complain(
                (key,),
                f"{key!r} may stand in one file only, and stands in {having[0].text.path} too",
                at_key=True,
            )
        return having[0].section(key) if having else {}

    def _base(self, file: ManifestFile, place: Place, own: Words) -> Words:
        """Give what lies under a model: defaults, and its presets upon them in order."""
        names = _preset_names(own)
        for name in names:
            if name not in self.presets:
                near = suggestion(name, tuple(self.presets)) or "; none is declared by that name"
                file.complain((*place, "preset"), f"unknown preset {name!r}{near}")
        known = tuple(name for name in names if name in self.presets)
        if known not in self._bases:
            base = self._bases[()]
            for name in known:
                base = merge(base, self.presets[name])
            self._bases[known] = base
        return self._bases[known]

    def _layers(self, own: Words) -> list[tuple[str, Words]]:
        """Give what a model's words are merged from, each by its name, the strongest first."""
        presets = [name for name in _preset_names(own) if name in self.presets]
        return [
            ("model", own),
            *((f"preset {name}", self.presets[name]) for name in reversed(presets)),
            ("defaults", self._bases[()]),
        ]

    def _check_aliases(
        self, models: Mapping[ModelId, ModelSpec], declared: Mapping[str, ManifestFile]
    ) -> None:
        holders: dict[str, ModelId] = {}
        for model_id, spec in models.items():
            for index, alias in enumerate(_aliases(spec)):
                problem = ""
                if alias in declared:
                    problem = f"the alias {alias!r} is the ID of a model"
                elif alias in holders:
                    where = models[holders[alias]]
                    problem = (
                        f"the alias {alias!r} is given twice; first to {holders[alias]!r} "
                        f"({where.path}:{where.line})"
                    )
                if problem:
                    place = ("models", model_id, "serve", "aliases", index)
                    declared[model_id].complain(place, problem)
                holders.setdefault(alias, model_id)

    def _check_renames(
        self, models: Mapping[ModelId, ModelSpec], declared: Mapping[str, ManifestFile]
    ) -> None:
        heirs: dict[ModelId, ModelId] = {}
        for model_id, spec in models.items():
            old = spec.renamed_from
            if old is None:
                continue
            problem = ""
            if old in declared:
                line, _ = declared[old].yaml.place(("models", old), at_key=True)
                problem = (
                    f"{old!r} is declared itself ({declared[old].text.path}:{line}), "
                    "so nothing can be renamed from it"
                )
            elif old in heirs:
                where = models[heirs[old]]
                problem = f"{old!r} is renamed to {where.id!r} ({where.path}:{where.line}) already"
            if problem:
                declared[model_id].complain(("models", model_id, "renamed_from"), problem)
            heirs.setdefault(old, model_id)


def _preset_names(own: Words) -> Sequence[str]:
    written: str | Sequence[str] = own.get("preset") or []
    return [written] if isinstance(written, str) else written


def _aliases(spec: ModelSpec) -> Sequence[str]:
    aliases = spec.serve.fields.get("aliases")
    return aliases if isinstance(aliases, list) else []


def _policy(words: Words) -> Policy:
    return Policy(
        prune=Prune(words.get("prune", Prune.TRASH)),
        max_prune=parse_max_prune(words.get("max_prune", "25%")),
        discover=Discover(words.get("discover", Discover.OFF)),
    )


def _digest(texts: Sequence[ManifestText]) -> Sha256:
    whole = hashlib.sha256()
    for text in sorted(texts, key=lambda text: text.path):
        whole.update(text.data)
    return Sha256(whole.hexdigest())
