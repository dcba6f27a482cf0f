"""How far the tests look that try whatever may come."""

from __future__ import annotations

import os

from hypothesis import settings

_EXAMPLES = os.environ.get("RECONCILER_HYPOTHESIS_EXAMPLES")


def trying(few: int) -> settings:
    """Try so many cases, the same ones each time; whoever searches for more sets the number for all
    tests by `RECONCILER_HYPOTHESIS_EXAMPLES`, and looks elsewhere each time.
    """
    return settings(
        max_examples=int(_EXAMPLES or few), deadline=None, derandomize=_EXAMPLES is None
    )
