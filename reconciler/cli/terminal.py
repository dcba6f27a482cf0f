"""How text is shown on one stream: colours, the width there is, sizes and shortened paths."""

from __future__ import annotations

import os
import re
from itertools import accumulate
from typing import Final, TextIO

_STYLES: Final = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}
# Narrower than this nothing can be laid out; lines then wrap as the terminal likes.
_NARROWEST: Final = 40
_USUAL: Final = 80


# What moves the cursor, changes colours or turns the reading direction. A line break is text.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def printable(text: str) -> str:
    """Give text from outside as a terminal may show it: nothing in it can act on the terminal."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


class Style:
    """Colours and width of one stream; neither where it is no terminal."""

    def __init__(self, stream: TextIO, *, no_color: bool) -> None:
        terminal = is_terminal(stream)
        self._on = terminal and not no_color and os.environ.get("TERM") != "dumb"
        self.width = max(_columns(stream), _NARROWEST) if terminal else None

    def __call__(self, text: str, style: str) -> str:
        """Give `text` in a style: a colour, `bold` or `dim`."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._on else text


def is_terminal(stream: TextIO) -> bool:
    """Whether a person may be at the other end of `stream`."""
    return not stream.closed and stream.isatty()


def _columns(terminal: TextIO) -> int:
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    # A terminal that does not know its size says 0.
    return os.get_terminal_size(terminal.fileno()).columns or _USUAL


def human_seconds(seconds: float) -> str:
    """Say how long something takes, as a clock does: `0:12`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def elapsed(seconds: float) -> str:
    """Say how long something took: `0.4 s`, and from a minute on as `human_seconds` does."""
    return f"{seconds:.1f} s" if seconds < 60 else human_seconds(seconds)


def counted(number: int, noun: str) -> str:
    """Say a number of things: `1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, room: int) -> str:
    """Fit `text` into `room` columns by leaving out of its middle; its end tells files apart."""
    if width_of(text) <= room:
        return text
    tail = min(2 * room // 3, room - 1)
    return f"{_beginning(text, room - 1 - tail)}…{_beginning(text[::-1], tail)[::-1]}"


def width_of(text: str) -> int:
    """How many columns a terminal gives to `text`: some characters take two, and accents none."""
    return len(text) if text.isascii() else sum(map(_width_of_one, text))


def _width_of_one(character: str) -> int:
    from unicodedata import combining, east_asian_width

    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _beginning(text: str, room: int) -> str:
    """Give as many of the first characters as fit into `room` columns."""
    widths = accumulate(map(_width_of_one, text))
    return "".join(one for one, width in zip(text, widths, strict=True) if width <= room)
