"""What the metadata of a GGUF file tell of the model in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from reconciler.core.gguf.metadata import Metadata

_TEMPLATE: Final = "tokenizer.chat_template"
_TOOL_TEMPLATE: Final = "tokenizer.chat_template.tool_use"
# A name of its own in the template: `message.tool_calls` alone is not yet a list of tools.
_TOOLS: Final = re.compile(r"\b(tools|builtin_tools|custom_tools)\b")
_GUESSED: Final = 1024  # the bit that says that a tool guessed the file type

# Which keys are read; those of an architecture have its name before their first point.
KEYS: Final = frozenset(
    {
        "general.alignment",
        "general.architecture",
        "general.base_model.0.repo_url",
        "general.basename",
        "general.file_type",
        "general.finetune",
        "general.license",
        "general.name",
        "general.quantized_by",
        "general.size_label",
        "general.type",
        "clip.has_audio_encoder",
        "clip.has_vision_encoder",
        "clip.projector_type",
        "split.count",
        "split.no",
        "split.tensors.count",
        "tokenizer.ggml.model",
        _TEMPLATE,
        _TOOL_TEMPLATE,
    }
)
ENDINGS: Final = frozenset(
    {
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "block_count",
        "context_length",
        "embedding_length",
        "expert_count",
        "expert_used_count",
        "pooling_type",
    }
)

_POOLING: Final = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
_QUANTS: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """What a file says of itself; None (an empty tuple, False) where it does not.

    Texts are as they stand in the file, up to 1 MiB: whoever prints one makes control and direction
    characters harmless first. `quant` is a name for people, never what tells one file from another:
    many recipes share a number. `head_counts` and `kv_head_counts` hold one number for all layers,
    or one for each. `split_number` counts from zero.
    """

    architecture: str | None = None
    type: str | None = None
    name: str | None = None
    basename: str | None = None
    size_label: str | None = None
    finetune: str | None = None
    license: str | None = None
    quantized_by: str | None = None
    base_model_url: str | None = None
    quant: str | None = None
    context_length: int | None = None
    block_count: int | None = None
    embedding_length: int | None = None
    head_counts: tuple[int, ...] = ()
    kv_head_counts: tuple[int, ...] = ()
    key_length: int | None = None
    value_length: int | None = None
    expert_count: int | None = None
    expert_used_count: int | None = None
    pooling: str | None = None
    tokenizer: str | None = None
    sees_pictures: bool = False
    hears_sound: bool = False
    projector: str | None = None
    has_chat_template: bool = False
    template_knows_tools: bool = False
    split_number: int | None = None
    split_count: int | None = None
    split_tensor_count: int | None = None


def facts_of(metadata: Metadata) -> GgufFacts:
    """Give what `metadata` tell. A value that is not of its key's kind tells nothing."""
    architecture = _text(metadata, "general.architecture")
    own = f"{architecture}."
    pooling = _number(metadata, f"{own}pooling_type")
    return GgufFacts(
        architecture=architecture,
        type=_text(metadata, "general.type"),
        name=_text(metadata, "general.name"),
        basename=_text(metadata, "general.basename"),
        size_label=_text(metadata, "general.size_label"),
        finetune=_text(metadata, "general.finetune"),
        license=_text(metadata, "general.license"),
        quantized_by=_text(metadata, "general.quantized_by"),
        base_model_url=_text(metadata, "general.base_model.0.repo_url"),
        quant=_quant(_number(metadata, "general.file_type")),
        context_length=_number(metadata, f"{own}context_length"),
        block_count=_number(metadata, f"{own}block_count"),
        embedding_length=_number(metadata, f"{own}embedding_length"),
        head_counts=_numbers(metadata, f"{own}attention.head_count"),
        kv_head_counts=_numbers(metadata, f"{own}attention.head_count_kv"),
        key_length=_number(metadata, f"{own}attention.key_length"),
        value_length=_number(metadata, f"{own}attention.value_length"),
        expert_count=_number(metadata, f"{own}expert_count"),
        expert_used_count=_number(metadata, f"{own}expert_used_count"),
        pooling=None if pooling is None else _POOLING.get(pooling, f"pooling-{pooling}"),
        tokenizer=_text(metadata, "tokenizer.ggml.model"),
        sees_pictures=metadata.get("clip.has_vision_encoder") is True,
        hears_sound=metadata.get("clip.has_audio_encoder") is True,
        projector=_text(metadata, "clip.projector_type"),
        has_chat_template=_TEMPLATE in metadata or _TOOL_TEMPLATE in metadata,
        template_knows_tools=_TOOL_TEMPLATE in metadata
        or _TOOLS.search(_text(metadata, _TEMPLATE) or "") is not None,
        split_number=_number(metadata, "split.no"),
        split_count=_number(metadata, "split.count"),
        split_tensor_count=_number(metadata, "split.tensors.count"),
    )


def _text(metadata: Metadata, key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) else None


def _number(metadata: Metadata, key: str) -> int | None:
    """Give a whole number; writers differ in its type, so any will do."""
    value = metadata.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _numbers(metadata: Metadata, key: str) -> tuple[int, ...]:
    value = metadata.get(key)
    several = value if isinstance(value, tuple) else (value,)
    return tuple(item for item in several if isinstance(item, int) and not isinstance(item, bool))


def _quant(file_type: int | None) -> str | None:
    if file_type is None:
        return None
    number = file_type & ~_GUESSED
    return _QUANTS.get(number, f"ftype-{number}")
