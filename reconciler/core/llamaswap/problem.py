"""A rule of llama-swap's loader that a config breaks, and which versions enforce it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.llamaswap.shapes import Place
from reconciler.core.llamaswap.version import NEW


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

    def is_rejected_by(self, version: int) -> bool:
        """Whether `version` refuses the config for this; those before 205 judge as 2025's do."""
        if version < NEW:
            return self.old
        return self.since is not None and version >= self.since

    @property
    def told(self) -> Problem:
        """The problem, where it is not known which build judges; with those that refuse it."""
        if self.old or self.since is None:
            return self.problem
        note = f"(llama-swap from {self.since} on does not start with this)"
        return replace(self.problem, message=f"{self.problem.message} {note}")


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
