"""What a search over the models that are here has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One model that was found. What its files do not say is None."""

    model: str
    architecture: str | None
    quant: str | None
    context_length: int | None
    size_bytes: int
    files: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The best ones, best first, and how many there are in all."""

    best: tuple[Match, ...] = ()
    count: int = 0
