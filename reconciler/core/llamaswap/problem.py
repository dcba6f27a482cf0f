"""A rule of llama-swap's loader that a config breaks, and which versions enforce it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reconciler.core.llamaswap.shapes import Place

# The builds the rules were measured on: 173 (2025), and 250 (2026). SIGHUP and the 2026 loader came
# with 205; since 218 a group member that names no model ends the start; by 250 macros are expanded
# in every value and profiles are mappings. Between 173 and 205 nothing was measured.
OLD: Final = 173
NEW: Final = 205
MEMBERS: Final = 218
NEWEST: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken rule. `rule` and `subject` together name it, whatever the rest of the file is.

    `path` is the keys down to the place, a position in a list as a decimal number.
    """

    rule: str
    subject: str
    message: str
    path: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem and who rejects it: `old`, the 2025 builds; `since`, every build from there on."""

    problem: Problem
    old: bool = True
    since: int | None = NEW

    def is_rejected_by(self, version: int | None) -> bool:
        """Whether `version` refuses the config for this; an unknown one where all known ones do."""
        if version is None or OLD < version < NEW:
            return self.old and self.since is not None
        if version <= OLD:
            return self.old
        return self.since is not None and version >= self.since


def finding(
    rule: str,
    place: Place,
    message: str,
    *,
    subject: str = "",
    old: bool = True,
    since: int | None = NEW,
) -> Finding:
    """Make a finding whose subject is, unless given, its place."""
    where = ".".join(place)
    problem = Problem(
        rule=rule,
        subject=subject or where,
        message=f"{where}: {message}" if where else message,
        path=place,
    )
    return Finding(problem=problem, old=old, since=since)
