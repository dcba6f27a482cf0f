"""How long requests in flight are waited for, before something is done that would cut them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For `seconds`; with `waits_on` also beyond, until none is left."""

    seconds: float = 300.0
    waits_on: bool = False


FIVE_MINUTES: Final = Patience()
