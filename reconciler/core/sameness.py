"""Whether two messages say the same, though they measure something that moves on."""

from __future__ import annotations

import re
from typing import Final

# A number with a unit after it, a moment, and the name of a run or a request. The `8B` in a model's
# name is none; and a number is looked at from its first digit alone, for a name may be long.
_QUANTITY: Final = re.compile(
    r"(?<![\w./-])\d+(?:[.,]\d+)?\s*"
    r"(?:[kMGT]i?B|B|bytes|%|ms|s|min|h|seconds?|minutes?|hours?|requests?)\b"
)
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
)
_NAME: Final = re.compile(r"(?<=\brun )\S+|(?<=, request )\S+")


def sameness(*texts: str) -> str:
    """Give what is equal for messages that differ only in sizes, times, and runs or requests."""
    text = "\n".join(texts)
    for pattern, put in ((_MOMENT, "@"), (_QUANTITY, "#"), (_NAME, "@")):
        text = pattern.sub(put, text)
    return text
