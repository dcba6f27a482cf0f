"""Whether llama-swap would load a config: the judge of everything that is written."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from tests.support.llama_swap_loader import BEHAVIOURS, ENV_MACRO, ConfigRefused, load


# What one plan makes is what the next one starts from.
@lru_cache(maxsize=64)
def accepted_by(data: bytes) -> frozenset[str]:
    """Give the behaviours that load a config, whatever the environment has to hold for it."""
    environ = dict.fromkeys(ENV_MACRO.findall(data.decode("utf-8", "replace")), "value")
    accepting = set()
    for behave in BEHAVIOURS:
        with suppress(ConfigRefused):
            load(data, behave=behave, environ=environ)
            accepting.add(behave)
    return frozenset(accepting)
