"""The files that llama-swap merges with the config we write, as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# What our own file is called in a folder of configs, and the first build that reads such a folder.
OUR_FILE: Final = "reconciler.yaml"
SINCE: Final = 230


@dataclass(frozen=True, slots=True, kw_only=True)
class Siblings:
    """The bytes of the other files, by path, as llama-swap merges them before ours and after it."""

    before: Mapping[str, bytes] = field(default_factory=dict)
    after: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def texts(self) -> Mapping[str, bytes]:
        """All of them."""
        return {**self.before, **self.after}
