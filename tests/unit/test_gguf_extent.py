"""Truncation is seen without hashing, and shards that do not belong together are seen at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

from reconciler.core.gguf.header import Header, extent_complaint, read_header
from reconciler.core.gguf.shards import check_shards
from reconciler.demo.gguf_bytes import tiny_mmproj, tiny_model
from tests.support.gguf_headers import InMemory, header, tensor
from tests.support.hub import sharded_model


def read(data: bytes) -> Header:
    """Read the header at the start of `data`."""
    return read_header(InMemory(data))


@pytest.mark.parametrize("kind", sorted(GGML_QUANT_SIZES))
def test_each_types_blocks_are_as_large_as_the_formats_writer_makes_them(
    tmp_path: Path, kind: GGMLQuantizationType
) -> None:
    """A whole file of any type has no complaint, and one byte less is told."""
    _, block_bytes = GGML_QUANT_SIZES[kind]
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    rows = np.zeros((3, 2 * block_bytes), dtype=np.uint8)
    for name in ("a", "b"):
        writer.add_tensor(name, rows, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read((tmp_path / "m.gguf").read_bytes())
    end = found.data_start + found.tensors[1].offset + 6 * block_bytes
    assert found.tensors[0].size_bytes == 6 * block_bytes
    assert extent_complaint(found, (tmp_path / "m.gguf").stat().st_size) == ""
    assert extent_complaint(found, end) == ""
    assert extent_complaint(found, end - 1) == (
        f"cut short: its tensors end at byte {end}, the file at {end - 1}"
    )


@pytest.mark.parametrize("data", [tiny_model("m", payload_bytes=9, seed=1), tiny_mmproj(
    "m", payload_bytes=9, seed=1)])  # fmt: skip
def test_a_whole_file_has_no_complaint(data: bytes) -> None:
    """Nothing is missing in a whole file; what is too much is told to the byte."""
    assert extent_complaint(read(data), len(data)) == ""
    assert "7 bytes too long" in extent_complaint(read(data), len(data) + 7)


def test_a_type_that_came_after_us_leaves_the_extent_open() -> None:
    """Of a type whose blocks are not known, or that its row does not fill, nothing is claimed."""
    for row in (tensor(kind=42), tensor(kind=999), tensor(kind=12, dimensions=(100,))):
        found = read(header(tensors=[row]))
        assert found.tensors[0].size_bytes is None
        assert extent_complaint(found, 0) == ""


def test_tensors_that_do_not_follow_one_another_are_told() -> None:
    """A hole, an overlap or an offset past everything is named by its place."""
    for offset in (0, 64, 256, 2**64 - 1):
        found = read(header(tensors=[tensor("a"), tensor("b", offset=offset)]))
        assert extent_complaint(found, 10**6) == (
            f"tensor data at {offset} of the data, where 128 was due"
        )


def test_a_file_without_tensors_may_end_with_its_header() -> None:
    """A vocabulary alone is a file too, padding or not."""
    data = header()
    assert extent_complaint(read(data), len(data)) == ""


def shards(count: int = 3) -> list[Header]:
    """Give the headers of a whole set."""
    files = sharded_model("m", shards=count, payload_bytes=600, seed=1)
    return [read(files[name]) for name in sorted(files)]


def test_a_whole_set_has_no_complaint() -> None:
    """Shards in their order, and a file that is no shard, are fine; the first describes them."""
    assert check_shards(shards()) == ()
    assert check_shards([read(tiny_model("m", payload_bytes=9, seed=1))]) == ()
    assert check_shards(shards(1)) == ()


def test_a_set_that_does_not_fit_together_says_in_what() -> None:
    """Missing, swapped, foreign and doubled shards are each told apart."""
    first, second, third = shards()
    assert check_shards([first, third]) == (
        "shard 1 of 2 says there are 3",
        "shard 2 of 2 says there are 3",
        "the shards have 3 tensors, and say there are 4",
    )
    assert check_shards([first]) == (
        "shard 1 of 1 says there are 3",
        "the shards have 2 tensors, and say there are 4",
    )
    assert check_shards([first, third, second]) == (
        "shard 2 of 3 says it is number 3",
        "shard 3 of 3 says it is number 2",
    )
    foreign = replace(third, facts=replace(third.facts, architecture="gemma3"))
    assert check_shards([first, second, foreign]) == ("the shards are of 2 architectures",)
    doubled = replace(third, tensors=second.tensors)
    assert check_shards([first, second, doubled]) == ("a tensor stands in more than one shard",)
    plain = read(tiny_model("m", payload_bytes=9, seed=1))
    assert "shard 2 of 2 does not say how many there are" in check_shards([plain, plain])
    nameless = replace(second, facts=replace(second.facts, split_number=None))
    assert check_shards([first, nameless, third]) == ("shard 2 of 3 does not say which it is",)
