"""What each model that was applied here is: joined from the ledger and from what its files say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.filesets import quant_in_name
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.ledger import Ledger, LedgerModel
from reconciler.core.names import RelPath, Sha256
from reconciler.core.reading.source_text import SHARD
from reconciler.core.values import Json

# The architecture that llama.cpp gives projectors, which are no models of their own.
_PROJECTOR: Final = "clip"
_SILENT: Final = GgufFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One model, or a set of files that no model declares, as it is listed.

    `model` is its ID, for files nobody declares the path of the first. What its files do not say
    is None. `name` and `size_label` are their own words for it. `quant` is theirs too, else the
    one that the path speaks of. `source` is the manifest's word on where it comes from, empty where
    there is none. `tags` are single words on what it can do and how it is made.
    """

    model: str
    name: str | None
    architecture: str | None
    quant: str | None
    size_label: str | None
    context_length: int | None
    layers: int | None
    experts: int | None
    pooling: str | None
    vision: bool
    audio: bool
    chat_template: bool
    tools: bool
    size_bytes: int
    files: int
    source: str
    tags: tuple[str, ...]
    aliases: tuple[str, ...]


def catalogue(ledger: Ledger, facts: Mapping[Sha256, GgufFacts]) -> tuple[Listed, ...]:
    """Give every model of the ledger, sorted by its ID as people sort, capitals aside."""
    models = (_listed(model, ledger, facts) for model in ledger.models.values())
    return tuple(sorted(models, key=lambda item: (item.model.lower(), item.model)))


def list_files(
    paths: Sequence[RelPath], *, size_bytes: int, facts: Sequence[GgufFacts | None]
) -> Listed:
    """Give files that no model declares: one, or the shards of one set in order."""
    return _described(
        paths[0], paths, size_bytes=size_bytes, said=[item for item in facts if item is not None]
    )


def shard_sets(paths: Iterable[RelPath]) -> tuple[tuple[RelPath, ...], ...]:
    """Group the shards of one set, in order; any other file stands alone. Sorted by path."""
    groups: dict[tuple[str, ...], list[RelPath]] = {}
    for path in sorted(paths):
        shard = SHARD.fullmatch(path)
        key = (shard["prefix"], shard["count"]) if shard else (path,)
        groups.setdefault(key, []).append(path)
    return tuple(tuple(group) for group in groups.values())


def _listed(model: LedgerModel, ledger: Ledger, facts: Mapping[Sha256, GgufFacts]) -> Listed:
    files = [ledger.files[path] for path in model.files if path in ledger.files]
    return _described(
        model.id,
        [file.path for file in files],
        size_bytes=sum(file.size_bytes for file in files),
        said=[facts[file.sha256] for file in files if file.sha256 in facts],
        source=model.source,
        aliases=_aliases(model),
    )


def _described(
    model: str,
    paths: Sequence[RelPath],
    *,
    size_bytes: int,
    said: Sequence[GgufFacts],
    source: str = "",
    aliases: tuple[str, ...] = (),
) -> Listed:
    # Shards after the first describe nothing, and a projector only what it adds.
    main = next(
        (item for item in said if item.architecture not in (None, _PROJECTOR)),
        said[0] if said and len(paths) == 1 else _SILENT,
    )
    vision = any(item.sees_pictures for item in said)
    audio = any(item.hears_sound for item in said)
    return Listed(
        model=model,
        name=main.name,
        architecture=main.architecture,
        quant=main.quant or (quant_in_name(paths[0]) if paths else "") or None,
        size_label=main.size_label,
        context_length=main.context_length,
        layers=main.block_count,
        experts=main.expert_count,
        pooling=main.pooling,
        vision=vision,
        audio=audio,
        chat_template=main.has_chat_template,
        tools=main.template_knows_tools,
        size_bytes=size_bytes,
        files=len(paths),
        source=source,
        tags=_tags(main, vision=vision, audio=audio, is_split=any(map(SHARD.fullmatch, paths))),
        aliases=aliases,
    )


def _tags(main: GgufFacts, *, vision: bool, audio: bool, is_split: bool) -> tuple[str, ...]:
    """Name what the model can do, in words that people search for."""
    pools = main.pooling not in (None, "none")
    return tuple(
        tag
        for tag, holds in (
            ("chat", main.has_chat_template),
            ("tools", main.template_knows_tools),
            ("vision", vision),
            ("audio", audio),
            ("reranker", main.pooling == "rank"),
            ("embedding", pools and main.pooling != "rank"),
            ("moe", bool(main.expert_count)),
            ("split", is_split),
        )
        if holds
    )


def _aliases(model: LedgerModel) -> tuple[str, ...]:
    """Give the further names that llama-swap knows it by."""
    fields = model.entry.fields if model.entry else {}
    values: list[Json] = [fields[key].value for key in ("name", "aliases") if key in fields]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return tuple(item for item in flat if isinstance(item, str))
