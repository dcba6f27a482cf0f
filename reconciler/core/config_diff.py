"""How a config changes, line by line, fit to be shown to anybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from reconciler.core.config_secrets import without_secrets

# In blocks up to this size every line counts; in larger ones those that come all the time (empty
# lines, `ttl: 300`) are no places to hold on to, or thousands of lines would take minutes.
_SMALL_LINES: Final = 200


class LineKind(StrEnum):
    """What a line of a diff tells; the value is the sign it is shown with."""

    PLACE = "@"
    SAME = " "
    REMOVED = "-"
    ADDED = "+"
    NOTE = "\\"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """One line of a diff: `text` stands without its sign, and is safe to print."""

    kind: LineKind
    text: str

    def __str__(self) -> str:
        """Give the line as it is printed."""
        return self.text if self.kind is LineKind.PLACE else f"{self.kind}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    kind: LineKind
    old: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two texts: its lines as they are, and as they are shown."""

    lines: Sequence[str]
    shown: Sequence[str]


def diff_lines(before: bytes, after: bytes, *, context: int = 2) -> tuple[DiffLine, ...]:
    """Give the change from `before` to `after` as a unified diff; empty where there is none.

    Lines end at line feeds alone. Secrets are hidden, also where they are what changes; signs that
    would act on a terminal or reorder a line are shown as escapes, and carriage returns too, unless
    every line has one.

    Raises:
        ConfigUnreadable: one of them is no YAML, and it cannot be told what of it is secret.
    """
    texts = [data.decode("utf-8", "backslashreplace") for data in (before, after)]
    in_dos = all(line.endswith("\r\n") for text in texts for line in _lines(text))
    old, new = (_side(text, in_dos=in_dos) for text in texts)
    rows = list(_rows(old.lines, new.lines))
    changed = [number for number, row in enumerate(rows) if row.kind is not LineKind.SAME]
    return tuple(
        line
        for first, last in _hunks(changed, context, len(rows))
        for line in _hunk(rows[first:last], old, new)
    )


def _lines(text: str) -> list[str]:
    """Give the lines of `text`, each with its break; the last may lack it."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _side(text: str, *, in_dos: bool) -> _Side:
    shown = (line.removesuffix("\n") for line in _lines(without_secrets(text)))
    if in_dos:
        shown = (line.removesuffix("\r") for line in shown)
    return _Side(lines=_lines(text), shown=[_printable(line) for line in shown])


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        sign if sign.isprintable() or sign == "\t" else sign.encode("unicode_escape").decode()
        for sign in line
    )


def _rows(old: Sequence[str], new: Sequence[str]) -> Iterator[_Row]:
    """Give every line of both texts once, in the order of a diff."""
    for tag, first, last, start, end in _blocks(old, new):
        if tag == "equal":
            for offset in range(last - first):
                yield _Row(kind=LineKind.SAME, old=first + offset, new=start + offset)
            continue
        for number in range(first, last):
            yield _Row(kind=LineKind.REMOVED, old=number, new=start)
        for number in range(start, end):
            yield _Row(kind=LineKind.ADDED, old=last, new=number)


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    for block in SequenceMatcher(None, old, new).get_opcodes():
        tag, first, last, start, end = block
        if tag != "replace" or max(last - first, end - start) > _SMALL_LINES:
            yield block
            continue
        inner = SequenceMatcher(None, old[first:last], new[start:end], autojunk=False)
        for tag, one, two, three, four in inner.get_opcodes():
            yield tag, first + one, first + two, start + three, start + four


def _hunks(changed: Sequence[int], context: int, count: int) -> Iterator[tuple[int, int]]:
    """Give the spans of rows to show: what changed, and `context` rows around it."""
    span: tuple[int, int] | None = None
    for number in changed:
        first, last = max(number - context, 0), min(number + context + 1, count)
        if span is not None and first > span[1]:
            yield span
            span = None
        span = (span[0] if span else first, last)
    if span is not None:
        yield span


def _hunk(rows: Sequence[_Row], old: _Side, new: _Side) -> Iterator[DiffLine]:
    removed = sum(row.kind is not LineKind.ADDED for row in rows)
    added = sum(row.kind is not LineKind.REMOVED for row in rows)
    places = f"-{_place(rows[0].old, removed)} +{_place(rows[0].new, added)}"
    yield DiffLine(kind=LineKind.PLACE, text=f"@@ {places} @@")
    for row in rows:
        side, number = (new, row.new) if row.kind is LineKind.ADDED else (old, row.old)
        yield DiffLine(kind=row.kind, text=side.shown[number])
        if not side.lines[number].endswith("\n"):
            yield DiffLine(kind=LineKind.NOTE, text=" No newline at end of file")


def _place(first: int, count: int) -> str:
    """Give where a hunk begins in one text, and how many lines of it follow."""
    # Of no lines, the place is the line before them.
    start = first + 1 if count else first
    return f"{start}" if count == 1 else f"{start},{count}"
