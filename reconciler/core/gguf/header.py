"""A whole header, from the magic bytes to where the tensor data begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reconciler.core.gguf import metadata, tensors
from reconciler.core.gguf.facts import ENDINGS, KEYS, GgufFacts, facts_of
from reconciler.core.gguf.metadata import Metadata
from reconciler.core.gguf.tensors import Tensor
from reconciler.core.gguf.window import ByteSource, Window

_VERSIONS: Final = (2, 3)
_USUAL_ALIGNMENT_BYTES: Final = 32
_LARGEST_ALIGNMENT_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the tensor data, which begin at byte `data_start` of the file."""

    version: int
    alignment_bytes: int
    facts: GgufFacts
    tensors: tuple[Tensor, ...]
    data_start: int


def read_header(source: ByteSource) -> Header:
    """Read the header of a little-endian GGUF file of version 2 or 3, whoever made it.

    Time and memory are bounded by what is there, never by what it says of itself. The source is
    read forward, in windows; nothing of a template is run.

    Raises:
        GgufInvalid: it is no such header, or past the limits of `window`, `metadata` and `tensors`.
        ReconcilerError: what the source raises.
    """
    window = Window(source)
    if window.take(4) != b"GGUF":
        raise window.invalid("it does not begin with GGUF")
    version = window.uint32()
    if version and version & 0xFFFF == 0:
        raise window.invalid("its numbers are big-endian")
    if version not in _VERSIONS:
        raise window.invalid(f"version {version} is not one of {_VERSIONS}")
    tensor_count, key_count = window.uint64(), window.uint64()
    tensors.check_count(window, tensor_count)
    metadata.check_count(window, key_count)
    found = metadata.read_metadata(window, key_count, keys=KEYS, endings=ENDINGS)
    alignment_bytes = _alignment(window, found)
    table = tensors.read_tensors(window, tensor_count)
    return Header(
        version=version,
        alignment_bytes=alignment_bytes,
        facts=facts_of(found),
        tensors=table,
        data_start=tensors.padded(window.offset, alignment_bytes),
    )


def extent_complaint(header: Header, size_bytes: int) -> str:
    """Say what is wrong with the extent of a file of `size_bytes`, from its header alone.

    Empty where nothing is, or where it cannot be told because a type's size is not known. The last
    tensor's padding may be missing.
    """
    expected = 0
    for tensor in header.tensors:
        length_bytes = tensor.size_bytes
        if length_bytes is None:
            return ""
        if tensor.offset != expected:
            return f"tensor data at {tensor.offset} of the data, where {expected} was due"
        expected += tensors.padded(length_bytes, header.alignment_bytes)
    end = header.data_start + (tensors.data_bytes(header.tensors) or 0)
    if header.tensors and size_bytes < end:
        return f"cut short: its tensors end at byte {end}, the file at {size_bytes}"
    if size_bytes > header.data_start + expected:
        return f"{size_bytes - header.data_start - expected} bytes too long for its tensors"
    return ""


def _alignment(window: Window, found: Metadata) -> int:
    value = found.get("general.alignment", _USUAL_ALIGNMENT_BYTES)
    # A power of two has one bit, which goes when one is taken away.
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not 0 < value <= _LARGEST_ALIGNMENT_BYTES
        or value & (value - 1)
    ):
        raise window.invalid("its alignment is no power of two up to 1 MiB")
    return value
