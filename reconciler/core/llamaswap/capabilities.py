"""What llama-swap is told that a model can do, from the headers of the model's own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from reconciler.core.llamaswap.commandline import UnbalancedQuote, split_command, strip_comments
from reconciler.core.llamaswap.macros import expand

if TYPE_CHECKING:
    from reconciler.core.gguf.facts import GgufFacts
    from reconciler.core.values import Json

_CONTEXT_FLAGS: Final = ("-c", "--ctx-size")
_EMBEDDING_POOLINGS: Final = frozenset({"mean", "cls", "last"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the headers of a model's first file and of its projector say (None: it has none)."""

    model: GgufFacts
    projector: GgufFacts | None = None


def capabilities_of(
    contents: Contents, cmd: str, macros: Mapping[str, object]
) -> Mapping[str, Json] | None:
    """Give the `capabilities` of a model that `cmd` serves; `macros` are expanded in it.

    None where there is nothing to say: llama-swap has no word for embeddings, and a file that says
    neither how it reads a conversation nor how long a text may be is no language model.
    """
    facts, projector = contents.model, contents.projector
    if facts.pooling in _EMBEDDING_POOLINGS:
        return None
    if facts.context_length is None and not facts.has_chat_template:
        return None
    context = _asked_context(cmd, macros) or facts.context_length
    told: dict[str, Json] = {"in": ["text"], "out": ["text"]}
    if facts.pooling == "rank":
        told = {"in": ["text"], "reranker": True}
    if projector is not None:
        seen = (("image", projector.sees_pictures), ("audio", projector.hears_sound))
        told["in"] = ["text", *(word for word, can in seen if can)]
    if facts.template_knows_tools:
        told["tools"] = True
    if context is not None and context > 0:
        told["context"] = context
    return told


def _asked_context(cmd: str, macros: Mapping[str, object]) -> int | None:
    """Give how long a context the command asks for; None or 0 where it leaves that to the model."""
    try:
        words = split_command(expand(strip_comments(cmd), macros))
    except UnbalancedQuote:
        return None
    asked = ""
    for word, following in pairwise([*words, ""]):
        flag, equals, value = word.partition("=")
        if flag in _CONTEXT_FLAGS:
            asked = value if equals else following
    return int(asked) if asked.isascii() and asked.isdecimal() else None
