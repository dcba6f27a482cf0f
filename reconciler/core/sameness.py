"""Whether two messages say the same, though they measure something that moves on."""

from __future__ import annotations

import re
from typing import Final

# A number with a unit after it, a moment, and the name of a run.
_QUANTITY: Final = re.compile(
    r"\d+(?:[.,]\d+)?\s*(?:[kMGT]i?B|B|bytes|%|ms|s|min|h|seconds?|minutes?|hours?|requests?)\b"
)
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
)
_RUN: Final = re.compile(r"\brun \S+")


def sameness(*texts: str) -> str:
    """Give what is equal for messages that differ in sizes, times and names of runs alone."""
    text = "\n".join(texts)
    for pattern, put in ((_MOMENT, "@"), (_QUANTITY, "#"), (_RUN, "run @")):
        text = pattern.sub(put, text)
    return text
