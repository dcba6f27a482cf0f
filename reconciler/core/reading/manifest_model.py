"""From one model's words to its specification: what takes more than the shape of each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.manifest import ModelSpec, Serve
from reconciler.core.names import ModelId, Sha256
from reconciler.core.reading.manifest_file import ManifestFile
from reconciler.core.reading.manifest_merge import Words, merge, origins, without_nulls
from reconciler.core.reading.shape_faults import Place
from reconciler.core.reading.source_text import parse_source
from reconciler.core.source import HubPath, HubQuant, PlainUrl, Source


def read_model(
    file: ManifestFile,
    name: str,
    own: Words,
    under: Words,
    layers: Sequence[tuple[str, Words]],
) -> ModelSpec | None:
    """Give the model that says `own` over `under` (defaults and presets).

    `layers` are these one by one, each with its name, the strongest first.
    None where the words do not suffice for one; all that is wrong is among the file's faults.
    """
    place: Place = ("models", name)
    model_id = file.check(place, lambda: ModelId(name), at_key=True)
    model = _Model(file=file, place=place, own=own, all=merge(under, own))
    source, revision = model.source()
    sha256 = model.sha256(source)
    mmproj = model.mmproj(source)
    draft, files = model.further("draft"), model.further_files()
    if model_id is None or source is None:
        return None
    line, _ = file.yaml.place(place, at_key=True)
    return ModelSpec(
        id=model_id,
        source=source,
        source_text=own["source"],
        revision=revision,
        sha256=sha256,
        mmproj=mmproj,
        draft=draft,
        draft_text=own.get("draft"),
        files=files,
        file_texts=dict(own.get("files") or {}),
        serve=_serve(model.all.get("serve") or {}, layers),
        enabled=model.all.get("enabled") is not False,
        protect=model.all.get("protect"),
        track=model.tracks(source),
        renamed_from=model.renamed_from(),
        path=file.text.path,
        line=line,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """One model's words: its `own`, and `all` with what lies under them."""

    file: ManifestFile
    place: Place
    own: Words
    all: Words

    def complain(self, key: str, message: str) -> None:
        self.file.complain((*self.place, key), message)

    def source(self) -> tuple[Source | None, str | None]:
        """Give the source, and the revision where the source does not hold its own."""
        text = self.own.get("source")
        source = None if text is None else self._parse(("source",), text)
        revision: str | None = self.all.get("revision")
        own: str | None = self.own.get("revision")
        match source:
            case None | HubQuant():
                return source, revision
            case HubPath(revision=None):
                return source, revision
            case HubPath(revision=held):
                if own not in (None, held):
                    self.complain("revision", f"the source names {held!r} already: leave this out")
            case _:
                if own is not None:
                    self.complain("revision", "only a source on the hub has a revision")
        return source, None

    def sha256(self, source: Source | None) -> Sha256 | None:
        written: str | None = self.own.get("sha256")
        if isinstance(source, PlainUrl):
            if written is None:
                # A faulty one has been told of, and is not here any more.
                if "sha256" not in self.file.written(self.place):
                    self.complain("source", "a plain URL needs sha256: nothing else vouches for it")
                return None
            return Sha256(written)
        if source is not None and written is not None:
            self.complain("sha256", "only a plain URL has a sha256 here: the lock holds the others")
        return None

    def mmproj(self, source: Source | None) -> str:
        choice: str = self.all.get("mmproj") or "none"
        if source is None or isinstance(source, HubQuant | HubPath):
            return choice
        if self.own.get("mmproj") not in (None, "none"):
            self.complain("mmproj", "only a source on the hub has one: name it under files")
        return "none"

    def tracks(self, source: Source | None) -> bool:
        if source is None or isinstance(source, HubQuant | HubPath):
            return self.all.get("update") == "track"
        if self.own.get("update") == "track":
            self.complain("update", "only a source on the hub can be tracked")
        return False

    def renamed_from(self) -> ModelId | None:
        old: str | None = self.own.get("renamed_from")
        if old is None:
            return None
        return self.file.check((*self.place, "renamed_from"), lambda: ModelId(old))

    def further(self, key: str) -> Source | None:
        text = self.own.get(key)
        return None if text is None else self._further((key,), text)

    def further_files(self) -> dict[str, Source]:
        texts = self.own.get("files") or {}
        found = {name: self._further(("files", name), text) for name, text in texts.items()}
        return {name: source for name, source in found.items() if source is not None}

    def _further(self, keys: Place, text: str) -> Source | None:
        source = self._parse(keys, text)
        if isinstance(source, PlainUrl):
            self.file.complain(
                (*self.place, *keys),
                "a plain URL cannot stand here, where no sha256 vouches for it: "
                "name a file on the hub or on this machine",
            )
        return source

    def _parse(self, keys: Place, text: str) -> Source | None:
        base = self.file.text.folder
        return self.file.check((*self.place, *keys), lambda: parse_source(text, base=base))


def _serve(words: Words, layers: Sequence[tuple[str, Words]]) -> Serve:
    fields = without_nulls({key: value for key, value in words.items() if key != "args"})
    cmd, group = fields.pop("cmd", None), fields.pop("group", None)
    if "capabilities" in words and words["capabilities"] is None:
        # Nothing is written then, where otherwise the file's own words are.
        fields["capabilities"] = None
    # A null argument is kept: it says that a default, and nothing else, is taken away.
    return Serve(
        args=words.get("args"),
        cmd=cmd,
        group=group,
        fields=fields,
        origins=origins((name, layer.get("serve") or {}) for name, layer in layers),
    )
