"""Lines of a text, and changes to it that are gathered first and made together.

A text may end without a line break, and then nothing here adds one: what is put at its end brings
a break in front instead, and takes the same break away again. So nothing needs to be remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_SPACES: Final = re.compile(r" *")


def line_start(text: str, index: int) -> int:
    """Give the start of the line that `index` lies in."""
    return text.rfind("\n", 0, index) + 1


def line_end(text: str, index: int) -> int:
    """Give the end of the line that `index` lies in, before its line break."""
    end = text.find("\n", index)
    if end < 0:
        return len(text)
    return end - 1 if end > index and text[end - 1] == "\r" else end


def next_line(text: str, index: int) -> int:
    """Give the start of the line after the one that `index` lies in, or the end of the text."""
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1


def column_of(text: str, index: int) -> int:
    """Give how many characters stand before `index` in its line."""
    return index - line_start(text, index)


def indent_of(text: str, start: int) -> int:
    """Give how many spaces the line that starts at `start` begins with."""
    match = _SPACES.match(text, start)
    return match.end() - start if match else 0


def is_blank(text: str, start: int) -> bool:
    """Whether the line that starts at `start` holds nothing but white space."""
    return not text[start : line_end(text, start)].strip()


def is_comment(text: str, start: int) -> bool:
    """Whether the line that starts at `start` holds a comment alone."""
    return text[start : line_end(text, start)].lstrip().startswith("#")


def newline_of(text: str) -> str:
    r"""Give the line break of the text's first line, `\n` where there is none."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def empty_line_before(text: str, start: int) -> int | None:
    """Give the start of the line above `start` where that line is wholly empty."""
    if start == 0:
        return None
    above = line_start(text, start - 1)
    return above if line_end(text, above) == above else None


def is_open_end(text: str, index: int) -> bool:
    """Whether `index` lies in a last line that no line break ends."""
    return text.find("\n", index) < 0


@dataclass(slots=True)
class Changes:
    """Changes to one text, given in its own places and made all at once by `apply`."""

    text: str
    _spans: list[tuple[int, int, str]] = field(default_factory=list)
    _lines: list[tuple[int, int]] = field(default_factory=list)

    def replace(self, start: int, end: int, new: str) -> None:
        """Put `new` in the place of a span."""
        if self.text[start:end] != new:
            self._spans.append((start, end, new))

    def add_lines(self, index: int, new: str) -> None:
        """Put lines, given without a last line break, where a line starts or the text ends."""
        newline = newline_of(self.text)
        if index == len(self.text) and self.text and not self.text.endswith("\n"):
            self._spans.append((index, index, newline + new))
        else:
            self._spans.append((index, index, new + newline))

    def remove_lines(self, start: int, end: int) -> None:
        """Take whole lines out: `start` is a line's start, `end` the next line's, or the end."""
        self._lines.append((start, end))

    def apply(self) -> str:
        """Give the changed text."""
        pieces: list[str] = []
        done = 0
        for start, end, new in sorted(self._all_spans(), key=lambda span: span[:2]):
            pieces += [self.text[done:start], new]
            done = max(done, end)
        return "".join([*pieces, self.text[done:]])

    def place_before(self, index: int) -> int:
        """Give where in the text stood what is at `index` now; of what is new, where it came in."""
        before = now = 0
        for start, end, new in sorted(self._all_spans(), key=lambda span: span[:2]):
            kept = max(start - before, 0)
            if index < now + kept:
                break
            if index < now + kept + len(new):
                return start
            now += kept + len(new)
            before = max(before, end)
        return min(before + index - now, len(self.text))

    def _all_spans(self) -> list[tuple[int, int, str]]:
        spans = list(self._spans)
        runs = self._runs()
        if runs and self._ends_openly(runs[-1][1]):
            # The last of the lines put in front of those that go now ends the text, without a
            # break; where there are none, it is the line above.
            start, end = runs[-1]
            above = [number for number, span in enumerate(spans) if span[:2] == (start, start)]
            if above:
                spans[above[-1]] = (start, start, without_break(spans[above[-1]][2]))
            else:
                runs[-1] = (len(without_break(self.text[:start])), end)
        return spans + [(start, end, "") for start, end in runs]

    def _runs(self) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        for start, end in sorted(self._lines):
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
            else:
                runs.append((start, end))
        return runs

    def _ends_openly(self, end: int) -> bool:
        return end == len(self.text) and not self.text.endswith("\n")


def without_break(text: str) -> str:
    """Give `text` without the line break that ends it, if one does."""
    return text.removesuffix("\n").removesuffix("\r")
