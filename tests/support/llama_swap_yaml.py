"""YAML as llama-swap reads it, apart from the product's own reader."""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError

from tests.support.llama_swap_values import ConfigRefused, mapping


def read_yaml(data: bytes) -> dict[str, Any]:
    """Read the first document of a config. Raises `ConfigRefused`."""
    return deepcopy(_read_once(data))


# Most is asked of several versions, and before and after a change: reading takes the most time.
@lru_cache(maxsize=64)
def _read_once(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig")
        try:
            # llama-swap's own reader goes back to this parser.
            root = first_document(text, pure=False)
        except YAMLError:
            # It takes no anchor that is defined twice; that is legal, and people do it.
            root = first_document(text, pure=True)
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigRefused(f"yaml: {error}") from error
    return mapping(root, "the config")


def first_document(text: str, *, pure: bool) -> Any:
    """Read a text with the parser in C or, `pure`, with the one that shares nothing with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)
        return next(iter(YAML(typ="safe", pure=pure).load_all(text)), None)
