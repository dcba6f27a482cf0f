"""Headers are read as the format's own writer means them, and no further than they may go."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFWriter

from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.header import Header, read_header
from reconciler.core.gguf.window import LONGEST_HEADER_BYTES, WINDOW_BYTES
from reconciler.demo.gguf_bytes import tiny_mmproj, tiny_model
from reconciler.errors import GgufInvalid
from tests.support.gguf_headers import (
    ARRAY,
    STRING,
    UINT8,
    UINT64,
    InMemory,
    array,
    header,
    number,
    pair,
    string,
    tensor,
    text,
)


def read(data: bytes) -> Header:
    """Read the header at the start of `data`."""
    return read_header(InMemory(data))


def written(path: Path, writer: GGUFWriter) -> bytes:
    """Let the writer write everything, and give the bytes."""
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def a_model(*, endianess: GGUFEndian = GGUFEndian.LITTLE) -> GGUFWriter:
    """Give a writer that knows every fact there is about a made-up model."""
    writer = GGUFWriter(None, "qwen3moe", endianess=endianess)
    writer.add_type("model")
    writer.add_name("Made Up 30B")
    writer.add_basename("Made-Up")
    writer.add_size_label("30B-A3B")
    writer.add_finetune("Instruct")
    writer.add_license("apache-2.0")
    writer.add_quantized_by("somebody")
    writer.add_base_model_count(1)
    writer.add_base_model_repo_url(0, "https://example.org/made-up")
    writer.add_file_type(15)
    writer.add_context_length(262_144)
    writer.add_block_count(48)
    writer.add_embedding_length(2048)
    writer.add_head_count(32)
    writer.add_head_count_kv([4, 8, 4])
    writer.add_key_length(128)
    writer.add_value_length(64)
    writer.add_expert_count(128)
    writer.add_expert_used_count(8)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "a", "für"])
    writer.add_token_scores([0.5, 1.0, 2.0])
    writer.add_chat_template("{% if tools %}{{ tools }}{% endif %}")
    writer.add_bool("qwen3moe.unheard_of", True)
    writer.add_float64("another.thing", 0.1)
    writer.add_uint16("split.no", 0)
    writer.add_uint16("split.count", 1)
    writer.add_int32("split.tensors.count", 2)
    rows = np.zeros((2, 144), dtype=np.uint8)
    writer.add_tensor("token_embd.weight", rows, raw_dtype=GGMLQuantizationType.Q4_K)
    writer.add_tensor("output_norm.weight", np.zeros(7, dtype=np.float32))
    return writer


def test_every_fact_is_found(tmp_path: Path) -> None:
    """Whatever the format's own writer wrote about a model is told."""
    assert read(written(tmp_path / "m.gguf", a_model())).facts == GgufFacts(
        architecture="qwen3moe",
        type="model",
        name="Made Up 30B",
        basename="Made-Up",
        size_label="30B-A3B",
        finetune="Instruct",
        license="apache-2.0",
        quantized_by="somebody",
        base_model_url="https://example.org/made-up",
        quant="Q4_K_M",
        context_length=262_144,
        block_count=48,
        embedding_length=2048,
        head_counts=(32,),
        kv_head_counts=(4, 8, 4),
        key_length=128,
        value_length=64,
        expert_count=128,
        expert_used_count=8,
        tokenizer="gpt2",
        has_chat_template=True,
        template_knows_tools=True,
        split_number=0,
        split_count=1,
        split_tensor_count=2,
    )


@pytest.mark.parametrize("alignment", [8, 32, 4096])
def test_the_tensor_table_is_the_one_that_the_formats_reader_sees(
    tmp_path: Path, alignment: int
) -> None:
    """Names, shapes, types and places agree with the `gguf` package, whatever the alignment."""
    writer = a_model()
    writer.add_custom_alignment(alignment)
    path = tmp_path / "m.gguf"
    ours = read(written(path, writer))
    theirs = GGUFReader(path)
    assert ours.alignment_bytes == theirs.alignment == alignment
    assert ours.data_start == theirs.data_offset
    seen = [
        (item.name, item.dimensions, item.type, ours.data_start + item.offset, item.size_bytes)
        for item in ours.tensors
    ]
    assert seen == [
        (
            item.name,
            tuple(int(length) for length in item.shape),
            int(item.tensor_type),
            item.data_offset,
            item.n_bytes,
        )
        for item in theirs.tensors
    ]


def test_versions_2_and_3_are_read_and_no_others(tmp_path: Path) -> None:
    """Version 2 is as good as 3; 0, 1, one to come and big-endian files are refused by name."""
    data = written(tmp_path / "m.gguf", a_model())
    assert read(data).version == 3
    older = data[:4] + struct.pack("<I", 2) + data[8:]
    assert read(older).version == 2
    assert read(older).facts == read(data).facts
    for version in (0, 1, 4):
        with pytest.raises(GgufInvalid, match=f"version {version}"):
            read(data[:4] + struct.pack("<I", version) + data[8:])
    big = written(tmp_path / "big.gguf", a_model(endianess=GGUFEndian.BIG))
    with pytest.raises(GgufInvalid, match="big-endian"):
        read(big)


def test_a_projector_tells_what_it_sees_and_hears() -> None:
    """A projector says so; sound and pictures are told apart."""
    facts = read(tiny_mmproj("eyes", payload_bytes=1000, seed=1)).facts
    assert (facts.architecture, facts.type, facts.projector) == ("clip", "mmproj", "mlp")
    assert (facts.sees_pictures, facts.hears_sound) == (True, False)
    ears = pair("clip.has_audio_encoder", 7, b"\x01")
    assert read(header(ears)).facts == GgufFacts(hears_sound=True)


@pytest.mark.parametrize(
    ("file_type", "quant"),
    [(0, "F32"), (15, "Q4_K_M"), (32, "BF16"), (38, "MXFP4_MOE"), (4, "ftype-4"), (99, "ftype-99")],
)
def test_the_quant_is_a_name_for_people(file_type: int, quant: str) -> None:
    """Known numbers have their usual name, others their number; a guess is named like any."""
    assert read(header(number("general.file_type", file_type))).facts.quant == quant
    assert read(header(number("general.file_type", file_type | 1024))).facts.quant == quant


def test_an_embedding_model_says_how_it_pools() -> None:
    """The pooling is named, also where its number came after us, and may stand before the name of
    the architecture.
    """
    for value, name in ((1, "mean"), (3, "last"), (9, "pooling-9")):
        data = header(number("bert.pooling_type", value), string("general.architecture", "bert"))
        assert read(data).facts.pooling == name


@pytest.mark.parametrize(
    ("template", "knows"),
    [
        ("{{ tools | tojson }}", True),
        ("{% if builtin_tools %}", True),
        ("{{ toolsmith }}", False),
        ("{{ messages }}", False),
    ],
)
def test_tool_use_is_found_in_the_text_of_the_template(template: str, knows: bool) -> None:
    """The template is searched for the name that lists of tools have, and never run."""
    facts = read(header(string("tokenizer.chat_template", template))).facts
    assert (facts.has_chat_template, facts.template_knows_tools) == (True, knows)


def test_a_template_of_its_own_for_tools_is_enough() -> None:
    """A second template named for tools says that the model knows them."""
    facts = read(header(string("tokenizer.chat_template.tool_use", "{{ messages }}"))).facts
    assert facts.template_knows_tools


def test_a_text_longer_than_one_mebibyte_is_passed_over() -> None:
    """It is there, but not kept: neither its bytes nor what they would have told."""
    long = "tools " * 200_000
    source = InMemory(
        header(string("tokenizer.chat_template", long), string("general.name", "after it"))
    )
    facts = read_header(source).facts
    assert (facts.has_chat_template, facts.template_knows_tools) == (True, False)
    assert facts.name == "after it"
    assert source.read_bytes < len(long)


def test_values_of_another_kind_tell_nothing() -> None:
    """A name that is a number, a length below zero and a truth that is a count are not told."""
    data = header(
        number("general.name", 7),
        string("general.architecture", "llama"),
        pair("llama.context_length", 5, struct.pack("<i", -1)),
        pair("llama.block_count", 6, struct.pack("<f", 1.5)),
        pair("llama.expert_count", 7, b"\x01"),
        number("clip.has_vision_encoder", 1),
        array("llama.attention.head_count", STRING, 1, text("four")),
    )
    assert read(data).facts == GgufFacts(architecture="llama")


def test_a_large_vocabulary_is_skipped_without_being_kept() -> None:
    """A long header is read once, in small windows, and no string of it is lost."""
    tokens = b"".join(text(f"token {place}") for place in range(50_000))
    source = InMemory(
        header(
            array("tokenizer.ggml.tokens", STRING, 50_000, tokens),
            array("tokenizer.ggml.scores", 6, 50_000, bytes(200_000)),
            string("general.name", "behind"),
            tensors=[tensor()],
        )
    )
    found = read_header(source)
    assert found.facts.name == "behind"
    assert found.data_start - source.size_bytes < 32
    assert source.most_at_once == WINDOW_BYTES
    assert source.read_bytes < source.size_bytes + 30 * WINDOW_BYTES // 10


_TENSOR = tensor()
HOSTILE = {
    "more keys": header(key_count=65_537),
    "more tensors": header(tensor_count=1_048_577),
    "a negative count": header(tensor_count=2**64 - 1),
    "an empty key": header(string("", "x")),
    "a long key": header(string(b"k" * 65_536, "x")),
    "an endless key": header(struct.pack("<Q", 2**63)),
    "an endless string": header(pair("k", STRING, struct.pack("<Q", 2**64 - 1))),
    "an endless kept string": header(pair("general.name", STRING, struct.pack("<Q", 2**20))),
    "an endless array": header(array("k", UINT64, 2**61, b"")),
    "an endless array of strings": header(array("k", STRING, 2**61, b"")),
    "an endless string in an array": header(array("k", STRING, 1, struct.pack("<Q", 2**62))),
    "an array one element too long": header(array("k", UINT8, 9, bytes(8))),
    "an array of arrays": header(array("k", ARRAY, 1, struct.pack("<IQ", UINT8, 0))),
    "an array of nothing known": header(array("k", 13, 0, b"")),
    "a value of nothing known": header(pair("k", 13, bytes(8))),
    "a key twice": header(string("k", "x"), number("k", 1)),
    "a long key twice": header(string(b"k" * 99, "x"), number(b"k" * 99, 1)),
    "an alignment of zero": header(number("general.alignment", 0)),
    "an alignment that is no power of two": header(number("general.alignment", 33)),
    "an alignment of two gibibytes": header(number("general.alignment", 2**31)),
    "an alignment in words": header(string("general.alignment", "32")),
    "a tensor's name of 64 bytes": header(tensors=[tensor("t" * 64)]),
    "an endless tensor's name": header(tensors=[struct.pack("<Q", 2**64 - 1)]),
    "a tensor's name that is no text": header(tensors=[tensor(b"\xff")]),
    "a tensor twice": header(tensors=[_TENSOR, _TENSOR]),
    "five dimensions": header(tensors=[tensor(dimensions=(1, 1, 1, 1, 1))]),
    "endless dimensions": header(tensors=[text("t") + struct.pack("<I", 2**32 - 1)]),
    "a product that wraps": header(tensors=[tensor(dimensions=(2**32, 2**32))]),
    "a negative dimension": header(tensors=[tensor(dimensions=(0, 2**64 - 1))]),
    "another file": b"<!DOCTYPE html><html></html>",
    "nothing": b"",
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_what_no_writer_would_write_is_refused(what: str) -> None:
    """Each limit has a header past it, and each ends in the one typed error, at little cost."""
    source = InMemory(HOSTILE[what] + bytes(64 if what != "an array one element too long" else 0))
    with pytest.raises(GgufInvalid) as caught:
        read_header(source)
    assert caught.value.reason
    assert str(caught.value.offset) in caught.value.message
    assert source.most_at_once <= max(WINDOW_BYTES, 65_536)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("more keys", "it says it has 65537 keys, more than 65536"),
        ("more tensors", "it says it has 1048577 tensors, more than 1048576"),
        ("an endless array", f"an array of {2**61} elements goes on past the end"),
        ("an endless array of strings", f"an array of {2**61} elements goes on past the end"),
        ("an array of arrays", "an array of arrays"),
        ("a product that wraps", "a tensor has more elements than can be counted"),
    ],
)
def test_a_limit_is_named_before_anything_behind_it_is_looked_at(what: str, reason: str) -> None:
    """The reason is the limit itself, not what would come of passing it."""
    with pytest.raises(GgufInvalid) as caught:
        read(HOSTILE[what] + bytes(64))
    assert caught.value.reason == reason


def test_the_limits_themselves_are_allowed() -> None:
    """A key, a name and an alignment of exactly the largest size are read."""
    found = read(
        header(
            string(b"k" * 65_535, "x"),
            number("general.alignment", 2**20),
            string("general.name", "n" * 2**20),
            tensors=[tensor("t" * 63, dimensions=(2**15, 2**16, 2**16, 2**15))],
        )
    )
    assert found.alignment_bytes == found.data_start / 2 == 2**20
    assert found.facts.name == "n" * 2**20


def test_a_header_ends_somewhere_even_in_an_endless_file() -> None:
    """What would lead past the longest header is refused before it is read."""
    data = header(pair("k", STRING, struct.pack("<Q", LONGEST_HEADER_BYTES)))
    source = InMemory(data, size_bytes=2**50)
    with pytest.raises(GgufInvalid, match=f"past {LONGEST_HEADER_BYTES} bytes"):
        read_header(source)
    assert source.read_bytes <= WINDOW_BYTES


def test_what_is_kept_of_many_keys_stays_small() -> None:
    """Lists for thousands of made-up architectures are not gathered; the real one's number is."""
    many = [array(f"a{place}.block_count", UINT8, 1024, bytes(1024)) for place in range(4000)]
    data = header(string("general.architecture", "llama"), number("llama.block_count", 3), *many)
    tracemalloc.start()
    facts = read(data).facts
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts.block_count == 3
    assert peak_bytes < 8_000_000


def test_cut_anywhere_a_header_is_refused() -> None:
    """Whatever the byte it ends at, a header is whole or the typed error."""
    data = tiny_model("m", payload_bytes=1, seed=1, chat_template="{{ tools }}", shard=(1, 2))
    whole = read(data)
    for length in range(whole.data_start):
        # The padding may be missing: it tells nothing.
        if length > whole.data_start - whole.alignment_bytes and not any(
            data[length : whole.data_start]
        ):
            continue
        with pytest.raises(GgufInvalid) as caught:
            read(data[:length])
        assert caught.value.offset <= length
    assert read(data[: whole.data_start]) == whole


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    """Fewer bytes than there were said to be are the typed error too."""
    data = tiny_model("m", payload_bytes=1, seed=1)
    with pytest.raises(GgufInvalid, match="past the end of the file"):
        read_header(InMemory(data[:100], size_bytes=len(data)))
