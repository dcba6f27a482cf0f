"""A diff as people read it: coloured, and folded where the terminal ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reconciler.cli.terminal import Style
from reconciler.core.config_diff import DiffLine, LineKind

_COLORS: Final[Mapping[LineKind, str]] = {
    LineKind.ADDED: "green",
    LineKind.REMOVED: "red",
    LineKind.PLACE: "blue",
}
_HANG: Final = " " * 9


def render_diff(lines: Iterable[DiffLine], style: Style, *, indent: str = "") -> Iterator[str]:
    """Give each line to print, without its break; nothing of a line is left out."""
    for line in lines:
        for piece in _folded(str(line), style, room_taken=len(indent)):
            color = _COLORS.get(line.kind)
            yield f"{indent}{style(piece, color) if color else piece}"


def _folded(line: str, style: Style, *, room_taken: int) -> Iterator[str]:
    if style.width is None:
        yield line
        return
    room = style.width - room_taken
    yield line[:room]
    hang = f"{line[:1]}{_HANG}"
    width = room - len(hang)
    for start in range(room, len(line), width):
        yield f"{hang}{line[start : start + width]}"
