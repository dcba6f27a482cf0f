"""Embedded hubs for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_server import HubServer


@contextmanager
def running_hub(*, direct: bool = False, tree_page_size: int = 1000) -> Iterator[HubServer]:
    """Give a hub without repositories, stopped at the end."""
    with HubServer(direct=direct, tree_page_size=tree_page_size) as hub:
        yield hub


def sharded_model(name: str, *, shards: int, payload_bytes: int, seed: int) -> dict[str, bytes]:
    """Give the files of one model cut in `shards`, by file name."""
    return {
        f"{name}-{number:05}-of-{shards:05}.gguf": tiny_model(
            name, payload_bytes=payload_bytes, seed=seed, shard=(number, shards)
        )
        for number in range(1, shards + 1)
    }
