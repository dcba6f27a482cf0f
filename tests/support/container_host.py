"""A host whose llama-swap runs in a container, so that where things lie is read off that."""

from __future__ import annotations

from typing import Any

from tests.support.engine import Engine, SwapContainer, start_llama_swap
from tests.support.sandbox import Sandbox


def serve(
    host: Sandbox, engine: Engine, *, health_timeout: str = "20", **how: Any
) -> SwapContainer:
    """Start llama-swap on the host's config, and point the command at the container alone.

    `how` is what `start_llama_swap` takes besides.
    """
    swap = start_llama_swap(engine, config=host.config, models=host.models, **how)
    host.settings = {
        "DOCKER_HOST": engine.url,
        "RECONCILER_CONTAINER": swap.name,
        "RECONCILER_RUNTIME": "",
        "RECONCILER_MODELS_DIR": "",
        "RECONCILER_CONFIG": "",
        "RECONCILER_HEALTH_TIMEOUT": health_timeout,
    }
    return swap


def started_at(swap: SwapContainer) -> str:
    """Give when the container was last started."""
    swap.container.reload()
    return str(swap.container.attrs["State"]["StartedAt"])
