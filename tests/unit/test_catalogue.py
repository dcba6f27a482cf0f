"""What is told of each model, from the ledger and from what its files say."""

from __future__ import annotations

import pytest

from reconciler.core.catalogue import Listed, catalogue, list_files, shard_sets
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.ledger import (
    Ledger,
    LedgerEntry,
    LedgerField,
    LedgerFile,
    LedgerModel,
    Provenance,
)
from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.values import Json


def ledger_of(**models: list[str]) -> Ledger:
    """Give a ledger of models by the paths of their files, each file of 10 bytes."""
    return Ledger(
        models={
            ModelId(key): LedgerModel(id=ModelId(key), files=tuple(map(RelPath, paths)))
            for key, paths in models.items()
        },
        files={
            RelPath(path): LedgerFile(
                path=RelPath(path),
                size_bytes=10,
                sha256=digest(path),
                provenance=Provenance.BROUGHT,
            )
            for paths in models.values()
            for path in paths
        },
    )


def digest(path: str) -> Sha256:
    """Give a digest that stands for the bytes at a path."""
    return Sha256(path.encode().hex()[-60:].rjust(64, "0"))


def only(ledger: Ledger, **facts: GgufFacts) -> Listed:
    """Give the one model of a ledger, with facts by the stem of the file's name."""
    by_digest = {
        file.sha256: facts[file.path.name.removesuffix(".gguf")]
        for file in ledger.files.values()
        if file.path.name.removesuffix(".gguf") in facts
    }
    (model,) = catalogue(ledger, by_digest)
    return model


def test_models_are_sorted_as_people_sort() -> None:
    """Capitals do not put a name before others."""
    ledger = ledger_of(b=["b.gguf"], A=["a.gguf"], C=["c.gguf"], a=["a2.gguf"])
    assert [item.model for item in catalogue(ledger, {})] == ["A", "a", "b", "C"]


def test_what_the_files_say_comes_first_and_the_name_after() -> None:
    """The quant is the header's; where that is silent, the one that the file's name speaks of."""
    ledger = ledger_of(m=["acme/m-GGUF/Q8_0/m.gguf"])
    assert only(ledger, m=GgufFacts(architecture="llama", quant="Q4_K_M")).quant == "Q4_K_M"
    assert only(ledger, m=GgufFacts(architecture="llama")).quant == "Q8_0"
    assert only(ledger_of(m=["acme/m.gguf"])).quant is None


def test_sizes_and_files_are_of_the_whole_set() -> None:
    """A model is all its files; one that two models use counts for both."""
    ledger = ledger_of(m=["a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf", "a/mmproj.gguf"])
    model = only(ledger)
    assert (model.size_bytes, model.files) == (30, 3)
    assert "split" in model.tags


def test_a_projector_adds_sight_and_describes_nothing_else() -> None:
    """Architecture and context are the model's, wherever its projector stands among the files."""
    model = GgufFacts(architecture="qwen2vl", context_length=32768, has_chat_template=True)
    projector = GgufFacts(architecture="clip", sees_pictures=True, hears_sound=True, quant="F16")
    for paths in (["a/mmproj.gguf", "a/m.gguf"], ["a/m.gguf", "a/mmproj.gguf"]):
        found = only(ledger_of(m=paths), m=model, mmproj=projector)
        assert (found.architecture, found.context_length) == ("qwen2vl", 32768)
        assert (found.vision, found.audio) == (True, True)
        assert found.tags == ("chat", "vision", "audio")


def test_a_projector_does_not_stand_for_a_model_that_says_nothing() -> None:
    """Where the model's own header cannot be read only sight is known; alone it is what it is."""
    projector = GgufFacts(architecture="clip", sees_pictures=True, quant="F16")
    found = only(ledger_of(m=["a/m-Q4_0.gguf", "a/mmproj.gguf"]), mmproj=projector)
    assert (found.architecture, found.quant, found.vision) == (None, "Q4_0", True)
    assert only(ledger_of(m=["a/mmproj.gguf"]), mmproj=projector).architecture == "clip"


@pytest.mark.parametrize(
    ("facts", "tags"),
    [
        (GgufFacts(has_chat_template=True, template_knows_tools=True), ("chat", "tools")),
        (GgufFacts(pooling="mean"), ("embedding",)),
        (GgufFacts(pooling="none"), ()),
        (GgufFacts(pooling="rank"), ("reranker",)),
        (GgufFacts(expert_count=128), ("moe",)),
        (GgufFacts(expert_count=0), ()),
    ],
)
def test_tags_say_what_a_model_can_do(facts: GgufFacts, tags: tuple[str, ...]) -> None:
    """They are the words that people search for."""
    assert only(ledger_of(m=["a/m.gguf"]), m=facts).tags == tags


@pytest.mark.parametrize(
    ("value", "names"),
    [(["x", "y"], ("x", "y")), ([1, None], ()), ("one", ("one",)), (None, ()), ({"a": 1}, ())],
)
def test_aliases_are_what_the_entry_has(value: Json, names: tuple[str, ...]) -> None:
    """Whatever stands in the field, only texts are names."""
    entry = LedgerEntry(made=True, fields={"aliases": LedgerField(value=value)})
    model = LedgerModel(id=ModelId("m"), files=(), entry=entry, source="acme/m:Q8_0")
    (found,) = catalogue(Ledger(models={model.id: model}), {})
    assert (found.aliases, found.source, found.quant) == (names, "acme/m:Q8_0", None)


def test_shards_are_grouped_whatever_their_number() -> None:
    """Shards of one name and count are one set, in order; all else stands alone."""
    paths = ["b-00002-of-00002.gguf", "a.gguf", "b-00001-of-00002.gguf", "b-00001-of-00003.gguf"]
    assert shard_sets(map(RelPath, paths)) == (
        ("a.gguf",),
        ("b-00001-of-00002.gguf", "b-00002-of-00002.gguf"),
        ("b-00001-of-00003.gguf",),
    )


def test_files_nobody_declares_are_told_by_the_first() -> None:
    """Their name is the first one's path, and unreadable ones say nothing."""
    paths = [RelPath("x/m-Q4_0-00001-of-00002.gguf"), RelPath("x/m-Q4_0-00002-of-00002.gguf")]
    found = list_files(paths, size_bytes=5, facts=[None, GgufFacts()])
    assert (found.model, found.quant, found.files) == (paths[0], "Q4_0", 2)
    assert (found.architecture, found.source) == (None, "")
