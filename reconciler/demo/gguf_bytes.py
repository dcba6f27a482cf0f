"""Writes tiny but real GGUF files: a full header and a payload nobody could talk to.

They are what the demo and the tests download: valid by the format's specification (version 3,
little-endian), the same for the same arguments for ever, and as small as asked.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_ALIGNMENT: Final = 32
_ROW: Final = 256  # elements in a row of our one matrix; a whole number of blocks of every type

# Value types of the header.
_UINT16: Final = 2
_UINT32: Final = 4
_INT32: Final = 5
_BOOL: Final = 7
_STRING: Final = 8
_ARRAY: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class _TensorType:
    """How a tensor type stores its elements: `block_bytes` bytes for `block_elements` of them."""

    number: int
    block_elements: int
    block_bytes: int

    def size_bytes(self, elements: int) -> int:
        return elements // self.block_elements * self.block_bytes


_F32: Final = _TensorType(number=0, block_elements=1, block_bytes=4)
_F16: Final = _TensorType(number=1, block_elements=1, block_bytes=2)
_Q3_K: Final = _TensorType(number=11, block_elements=256, block_bytes=110)
_Q4_K: Final = _TensorType(number=12, block_elements=256, block_bytes=144)
_Q5_K: Final = _TensorType(number=13, block_elements=256, block_bytes=176)

# `general.file_type` to the type most of such a file's tensors have; F16 for those not listed.
_TYPE_OF_FILE: Final = {
    0: _F32,
    1: _F16,
    2: _TensorType(number=2, block_elements=32, block_bytes=18),  # Q4_0
    7: _TensorType(number=8, block_elements=32, block_bytes=34),  # Q8_0
    8: _TensorType(number=6, block_elements=32, block_bytes=22),  # Q5_0
    10: _TensorType(number=10, block_elements=256, block_bytes=84),  # Q2_K
    11: _Q3_K,
    12: _Q3_K,
    13: _Q3_K,
    14: _Q4_K,
    15: _Q4_K,
    16: _Q5_K,
    17: _Q5_K,
    18: _TensorType(number=14, block_elements=256, block_bytes=210),  # Q6_K
    25: _TensorType(number=20, block_elements=32, block_bytes=18),  # IQ4_NL
    30: _TensorType(number=23, block_elements=256, block_bytes=136),  # IQ4_XS
    32: _TensorType(number=30, block_elements=1, block_bytes=2),  # BF16
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """One tensor's name, type and shape; its bytes are made when the file is."""

    name: str
    type: _TensorType
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        elements = 1
        for dimension in self.shape:
            elements *= dimension
        return self.type.size_bytes(elements)


def tiny_model(
    name: str,
    *,
    quant_file_type: int = 15,
    payload_bytes: int,
    seed: int,
    architecture: str = "llama",
    chat_template: str | None = None,
    shard: tuple[int, int] | None = None,
    context_length: int = 4096,
) -> bytes:
    """Give the bytes of a GGUF model.

    Args:
        name: `general.name`.
        quant_file_type: `general.file_type`; 15 is Q4_K_M.
        payload_bytes: size of the largest tensor, rounded up to whole rows.
        seed: what the payload is made of; another seed gives another digest.
        architecture: `general.architecture`, and the prefix of the keys of its kind.
        chat_template: `tokenizer.chat_template`, left out where None.
        shard: `(2, 3)` is the second of three. As in files cut by llama.cpp's own splitter, only
            the first shard describes the model; the others say no more than which shard they are.
        context_length: `{architecture}.context_length`, in tokens.
    """
    kind = _TYPE_OF_FILE.get(quant_file_type, _F16)
    number, count = shard or (1, 1)
    header: list[bytes] = []
    if number == 1:
        header += [
            _string("general.architecture", architecture),
            _string("general.type", "model"),
            _string("general.name", name),
            _uint32("general.file_type", quant_file_type),
            _uint32("general.quantization_version", 2),
            _uint32(f"{architecture}.context_length", context_length),
            _uint32(f"{architecture}.embedding_length", _ROW),
            _uint32(f"{architecture}.block_count", 1),
            _uint32(f"{architecture}.attention.head_count", 4),
            _uint32(f"{architecture}.attention.head_count_kv", 2),
        ]
        header += _tokenizer(chat_template)
    if shard is not None:
        header += [
            _key("split.no", _UINT16) + struct.pack("<H", number - 1),
            _key("split.count", _UINT16) + struct.pack("<H", count),
            _key("split.tensors.count", _INT32) + struct.pack("<i", count + 1),
        ]
    main = "token_embd.weight" if number == 1 else f"blk.{number - 2}.ffn_up.weight"
    tensors = [_matrix(main, kind, payload_bytes)]
    if number == 1:
        tensors.append(_Tensor(name="output_norm.weight", type=_F32, shape=(_ROW,)))
    return _file(header, tensors, label=f"{name} {seed} {number}")


def tiny_mmproj(name: str, *, payload_bytes: int, seed: int, projector_type: str = "mlp") -> bytes:
    """Give the bytes of a GGUF multimodal projector that sees pictures; see `tiny_model`."""
    header = [
        _string("general.architecture", "clip"),
        _string("general.type", "mmproj"),
        _string("general.name", name),
        _uint32("general.file_type", 1),
        _key("clip.has_vision_encoder", _BOOL) + b"\x01",
        _string("clip.projector_type", projector_type),
    ]
    tensors = [_matrix("mm.0.weight", _F16, payload_bytes)]
    return _file(header, tensors, label=f"{name} {seed} mmproj")


def _tokenizer(chat_template: str | None) -> list[bytes]:
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab"]
    token_types = struct.pack(f"<{len(tokens)}i", 2, 3, 3, 1, 1, 1)
    keys = [
        _string("tokenizer.ggml.model", "llama"),
        _array("tokenizer.ggml.tokens", _STRING, len(tokens), b"".join(map(_text, tokens))),
        _array("tokenizer.ggml.token_type", _INT32, len(tokens), token_types),
    ]
    if chat_template is not None:
        keys.append(_string("tokenizer.chat_template", chat_template))
    return keys


def _matrix(name: str, kind: _TensorType, payload_bytes: int) -> _Tensor:
    rows = max(1, -(-payload_bytes // kind.size_bytes(_ROW)))
    return _Tensor(name=name, type=kind, shape=(_ROW, rows))


def _file(header: Sequence[bytes], tensors: Iterable[_Tensor], *, label: str) -> bytes:
    infos: list[bytes] = []
    payload: list[bytes] = []
    offset = 0
    for tensor in tensors:
        infos.append(
            _text(tensor.name)
            + struct.pack("<I", len(tensor.shape))
            + struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
            + struct.pack("<IQ", tensor.type.number, offset)
        )
        # An extendable digest is noise that compresses no better than weights do, and unlike a
        # random generator's it is the same in every Python.
        noise = hashlib.shake_128(f"{label} {tensor.name}".encode()).digest(tensor.size_bytes)
        payload.append(_padded(noise))
        offset += len(payload[-1])
    start = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(header))
    return _padded(b"".join([start, *header, *infos])) + b"".join(payload)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _key(key: str, value_type: int) -> bytes:
    return _text(key) + struct.pack("<I", value_type)


def _string(key: str, value: str) -> bytes:
    return _key(key, _STRING) + _text(value)


def _uint32(key: str, value: int) -> bytes:
    return _key(key, _UINT32) + struct.pack("<I", value)


def _array(key: str, element_type: int, count: int, elements: bytes) -> bytes:
    return _key(key, _ARRAY) + struct.pack("<IQ", element_type, count) + elements
