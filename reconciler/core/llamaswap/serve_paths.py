"""A model's files as llama-swap sees them, and the flags of llama-server that name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler.core.llamaswap.commandline import InexpressibleWord, quote_inside, quote_word
from reconciler.errors import Refused

# Every name llama-server has, or had, for these flags.
MODEL_FLAGS: Final = ("-m", "--model")
MMPROJ_FLAGS: Final = ("-mm", "--mmproj")
DRAFT_FLAGS: Final = ("-md", "--model-draft", "--spec-draft-model")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePaths:
    """Where a model's files lie, as llama-swap sees them; of a split file, the first shard.

    `files` holds the paths of the manifest's `files`, by name.
    """

    model: str
    mmproj: str | None = None
    draft: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def write_word(word: str, *, inside: str = "", macros: bool = False) -> str:
    """Write a word of a command, `inside` a quote that already stands there where one is given.

    Raises:
        Refused: llama-swap's splitting knows no way to write it.
    """
    try:
        return quote_inside(word, inside) if inside else quote_word(word, macros=macros)
    except InexpressibleWord as error:
        hint = "give it a name without such characters"
        raise Refused(str(error), hint=hint) from None
