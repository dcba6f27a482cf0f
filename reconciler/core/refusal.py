"""What keeps a plan from being applied."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a plan may not be applied, and what would lift that."""

    message: str
    hint: str
