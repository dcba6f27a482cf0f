"""Which llama-swap judges a config: the builds whose loader was measured, and a build's number."""

from __future__ import annotations

import re
from typing import Final

# The builds the rules were measured on: 173 (2025), and 250 (2026). SIGHUP and the 2026 loader came
# with 205; since 218 a group member that names no model ends the start; by 250 macros are expanded
# in every value and profiles are mappings. Between 173 and 205 nothing was measured.
OLD: Final = 173
NEW: Final = 205
MEMBERS: Final = 218
NEWEST: Final = 250

# `250`, `v250`, and what is built some commits after it: `v250+5`, `250-5-g0a1b2c3`.
_NUMBER: Final = re.compile(r"v?([1-9][0-9]{0,4})(?:[+-].*)?", re.ASCII)


def parse_version(text: str | None) -> int | None:
    """Give the number of a build by what it says of itself.

    None where that is no number: a build of one's own calls itself `0` or `local_<commit>`.
    """
    number = _NUMBER.fullmatch(text.strip()) if text is not None else None
    return int(number[1]) if number is not None else None


def is_measured(version: int) -> bool:
    """Whether the rules of that build's loader are known."""
    return not OLD < version < NEW


def knows_capabilities(version: int | None) -> bool:
    """Whether that build reads a model's `capabilities`; an unknown one is taken to."""
    return version is None or version >= NEW
