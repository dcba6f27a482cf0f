"""The tiny GGUF files are real ones: the format's own reader agrees."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from reconciler.demo.gguf_bytes import tiny_mmproj, tiny_model


def read(tmp_path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the fields' values and the tensors, by name, as the `gguf` package sees them."""
    path = tmp_path / "file.gguf"
    path.write_bytes(data)
    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


def test_a_model_describes_itself(tmp_path: Path) -> None:
    """Name, kind, quant, context length, tokenizer and template are what was asked for."""
    data = tiny_model(
        "Tiny Writer",
        payload_bytes=5000,
        seed=1,
        architecture="qwen3",
        chat_template="{{ messages }} für",
        context_length=32768,
    )
    fields, _ = read(tmp_path, data)
    assert fields["GGUF.version"] == 3
    assert fields["general.architecture"] == "qwen3"
    assert fields["general.type"] == "model"
    assert fields["general.name"] == "Tiny Writer"
    assert fields["general.file_type"] == 15
    assert fields["qwen3.context_length"] == 32768
    assert fields["tokenizer.chat_template"] == "{{ messages }} für"
    assert fields["tokenizer.ggml.tokens"] == ["<unk>", "<s>", "</s>", "a", "b", "ab"]
    assert fields["tokenizer.ggml.token_type"] == [2, 3, 3, 1, 1, 1]
    assert "split.count" not in fields


def test_no_template_is_no_key(tmp_path: Path) -> None:
    """A model without a chat template does not carry an empty one."""
    fields, _ = read(tmp_path, tiny_model("plain", payload_bytes=1, seed=1))
    assert "tokenizer.chat_template" not in fields


@pytest.mark.parametrize(
    ("file_type", "tensor_type"),
    [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (10, "Q2_K"),
        (12, "Q3_K"),
        (15, "Q4_K"),
        (17, "Q5_K"),
        (18, "Q6_K"),
        (25, "IQ4_NL"),
        (30, "IQ4_XS"),
        (32, "BF16"),
        (39, "F16"),
    ],
)
def test_the_file_ends_where_its_tensors_do(
    tmp_path: Path, file_type: int, tensor_type: str
) -> None:
    """Each type's block size is right: tensors follow one another and fill the file exactly."""
    data = tiny_model("m", quant_file_type=file_type, payload_bytes=10_000, seed=1)
    _, tensors = read(tmp_path, data)
    weights = tensors["token_embd.weight"]
    assert weights.tensor_type.name == tensor_type
    assert 10_000 <= weights.n_bytes < 10_000 + 1024
    norm = tensors["output_norm.weight"]
    assert norm.data_offset == weights.data_offset + weights.n_bytes + -weights.n_bytes % 32
    assert len(data) == norm.data_offset + norm.n_bytes


def test_shards_count_themselves_from_zero(tmp_path: Path) -> None:
    """The first shard describes the model; each says which it is and how many tensors there are."""
    seen_tensors = []
    for number in (1, 2, 3):
        data = tiny_model("m", payload_bytes=600, seed=1, shard=(number, 3))
        fields, tensors = read(tmp_path, data)
        assert fields["split.no"] == number - 1
        assert fields["split.count"] == 3
        assert fields["split.tensors.count"] == 4
        assert ("general.architecture" in fields) == (number == 1)
        seen_tensors += list(tensors)
    assert len(seen_tensors) == len(set(seen_tensors)) == 4


def test_a_projector_is_no_model(tmp_path: Path) -> None:
    """A projector says that it is one, and that it sees."""
    fields, tensors = read(tmp_path, tiny_mmproj("eyes", payload_bytes=700, seed=1))
    assert fields["general.architecture"] == "clip"
    assert fields["general.type"] == "mmproj"
    assert fields["clip.has_vision_encoder"] is True
    assert fields["clip.projector_type"] == "mlp"
    assert list(tensors) == ["mm.0.weight"]


def test_equal_arguments_give_equal_bytes() -> None:
    """A file is the same on every machine and in every year; name and seed change its payload."""
    data = tiny_model("m", payload_bytes=1000, seed=1)
    assert data == tiny_model("m", payload_bytes=1000, seed=1)
    digest = hashlib.sha256(data).hexdigest()
    assert digest == "f56bc0e64fd15079238bc2aab5f8238e5538a5adbef260fe72b74cc7fc74e6f6"
    assert data[-1024:] != tiny_model("m", payload_bytes=1000, seed=2)[-1024:]
    assert data[-1024:] != tiny_model("n", payload_bytes=1000, seed=1)[-1024:]
