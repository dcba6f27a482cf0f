"""The project's documents, read: their blocks in order, their tables, their links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DOCUMENTS = tuple(
    sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")], key=lambda path: path.name)
)

_PARTS = re.compile(
    r"^```(?P<language>\w*) *(?P<words>[^\n]*)\n(?P<text>.*?)^```$"
    r"|^<!-- meanwhile: (?P<meanwhile>[^\n]*?) -->$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its language, the words after it, its text, and its line (from 1)."""

    language: str
    words: str
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanwhile:
    """Something that happens to the host between two blocks; a comment, so people do not see it."""

    what: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a console block, and the output that is shown below it (empty: none is)."""

    line: int
    text: str
    shown: str


@dataclass(frozen=True, slots=True)
class Document:
    """One Markdown file of the project."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the project."""
        return str(self.path.relative_to(PROJECT))

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @property
    def prose(self) -> str:
        """All of it but the fenced blocks and the comments."""
        return _PARTS.sub("", self.text)

    def parts(self) -> Iterator[Block | Meanwhile]:
        """Give the blocks, and what happens between them, in order."""
        text = self.text
        for found in _PARTS.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            if found["meanwhile"] is not None:
                yield Meanwhile(what=found["meanwhile"], line=line)
            else:
                yield Block(
                    language=found["language"],
                    words=found["words"],
                    text=found["text"],
                    line=line,
                )

    def blocks(self, *languages: str) -> tuple[Block, ...]:
        """Give the blocks in one of these languages."""
        parts = (part for part in self.parts() if isinstance(part, Block))
        return tuple(part for part in parts if part.language in languages)

    def spans(self) -> tuple[str, ...]:
        """Give what the prose sets in code."""
        return tuple(_SPAN.findall(self.prose))

    def links(self) -> tuple[str, ...]:
        """Give the targets of all links in the prose."""
        return tuple(_LINK.findall(self.prose))

    def anchors(self) -> frozenset[str]:
        """Give the anchors that its headings make."""
        headings = re.findall(r"^#{1,6} +(.+?) *$", self.prose, re.MULTILINE)
        return frozenset(_anchor(heading) for heading in headings)

    def section(self, heading: str) -> str:
        """Give the text from one heading to the next of any level; the heading must be there."""
        found = re.search(
            rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", self.prose, re.MULTILINE | re.DOTALL
        )
        assert found, f"{self.name} has no heading {heading!r}"
        return found[1]

    def table(self, first_header: str) -> Mapping[str, tuple[str, ...]]:
        """Give all rows, by first cell, of the tables whose first header is `first_header`."""
        rows: dict[str, tuple[str, ...]] = {}
        inside = False
        for line in self.text.splitlines():
            if not line.startswith("|"):
                inside = False
                continue
            first, *others = (cell.strip() for cell in re.split(r"(?<=\s)\|(?=\s)", line[1:-1]))
            if first.strip("| ") == first_header:
                inside = True
            elif inside and not set(first) <= set("-| "):
                rows[first] = tuple(other.strip("| ") for other in others)
        assert rows, f"{self.name} has no table that begins with {first_header!r}"
        return rows


def commands(block: Block) -> Iterator[Command]:
    """Give a console block's commands, each with the output shown below it."""
    for found in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        line = block.line + 1 + block.text.count("\n", 0, found.start())
        yield Command(line=line, text=found[1], shown=found[2])


def is_shown(shown: str, printed: str) -> bool:
    """Whether `printed` is what a document shows; `...` stands for anything, alone for lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else _line_pattern(line) for line in _lines(shown)
    )
    return re.fullmatch(pattern, _normalised(printed)) is not None


def json_difference(shown: object, printed: object, where: str = "") -> str:
    """Say where two JSON values differ; empty where `printed` is what a document shows.

    In strings `...` stands for anything, alone for any value. Of what differs from run to run only
    the type counts.
    """
    if shown == "...":
        return ""
    if isinstance(shown, dict) and isinstance(printed, dict):
        if shown.keys() != printed.keys():
            return f"{where or 'the top'}: keys {sorted(shown)} are shown, {sorted(printed)} came"
        found = (json_difference(shown[key], printed[key], f"{where}.{key}") for key in shown)
        return next((difference for difference in found if difference), "")
    if isinstance(shown, list) and isinstance(printed, list):
        if len(shown) != len(printed):
            return f"{where}: {len(shown)} items are shown, {len(printed)} came"
        found = (
            json_difference(*pair, f"{where}[{number}]")
            for number, pair in enumerate(zip(shown, printed, strict=True))
        )
        return next((difference for difference in found if difference), "")
    if isinstance(shown, str) and isinstance(printed, str) and is_shown(f"{shown}\n", printed):
        return ""
    varies = where.endswith(("disk_left_bytes", "downtime_seconds", "duration_seconds"))
    if varies and type(shown) is type(printed):
        return ""
    return "" if shown == printed else f"{where}: {shown!r} is shown, {printed!r} came"


def _line_pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("...")) + r"\n"


def _lines(text: str) -> list[str]:
    return _normalised(text).splitlines()


def _normalised(text: str) -> str:
    """Make equal what no two runs have in common: free space, times and names of runs."""
    text = re.sub(r"[\d.]+ [kMGT]?B left on disk", "<free> left on disk", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00", "<time>", text)
    text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{4}", "<run>", text)
    return text if text.endswith("\n") else f"{text}\n"


def _anchor(heading: str) -> str:
    """Name a heading as the pages that show Markdown do."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
