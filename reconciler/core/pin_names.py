"""Pins by the IDs that models have now: a model that was renamed keeps what it was pinned to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from reconciler.core.manifest import ModelSpec
from reconciler.core.names import ModelId

T = TypeVar("T")


def under_new_names(
    pins: Mapping[ModelId, T], specs: Mapping[ModelId, ModelSpec]
) -> dict[ModelId, T]:
    """Give what is kept by model ID with the IDs that the manifest's models have now.

    What is kept under a new ID already wins over what its old one has.
    """
    renamed = {
        spec.renamed_from: key
        for key, spec in specs.items()
        if spec.renamed_from in pins and spec.renamed_from not in specs and key not in pins
    }
    return {renamed.get(key, key): pin for key, pin in pins.items()} if renamed else dict(pins)
