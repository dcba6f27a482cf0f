"""Damages headers at random and reads them: `python -m tests.fuzz_gguf --count 1000000`."""

from __future__ import annotations

import argparse
import random
import sys
import tracemalloc

from reconciler.core.gguf.header import extent_complaint, read_header
from reconciler.core.gguf.shards import check_shards
from reconciler.demo.gguf_bytes import tiny_mmproj, tiny_model
from reconciler.errors import GgufInvalid
from tests.support.gguf_headers import STRING, InMemory, array, header, mutated, tensor, text

_MOST_MEMORY_BYTES = 4 * 1024 * 1024


def fuzz(count: int, *, seed: int) -> int:
    """Read `count` damaged headers, and give how many were refused.

    Raises what the reader should never have, or `AssertionError` where it took too much memory.
    """
    chance = random.Random(seed)  # noqa: S311 - the same every time is the point
    whole = _headers()
    refused = 0
    tracemalloc.start()
    try:
        for place in range(count):
            data = mutated(chance, chance.choice(whole))
            # At times the file is, or says it is, much longer than its header.
            size_bytes = len(data) * chance.choice((1, 1, 2))
            source = InMemory(data + bytes(size_bytes - len(data)))
            error = _read(source)
            if error is not None:
                refused += 1
                assert error.reason, f"no reason given at number {place}"
                assert 0 <= error.offset <= size_bytes, f"no such place at number {place}"
            if place % 1000 == 0:
                peak_bytes = tracemalloc.get_traced_memory()[1]
                assert peak_bytes < _MOST_MEMORY_BYTES, f"{peak_bytes} bytes at number {place}"
    finally:
        tracemalloc.stop()
    return refused


def _read(source: InMemory) -> GgufInvalid | None:
    """Read everything that can be told of a header, and give what it was refused for."""
    try:
        found = read_header(source)
    except GgufInvalid as error:
        return error
    extent_complaint(found, source.size_bytes)
    check_shards([found])
    return None


def _headers() -> list[bytes]:
    """Give whole headers of each kind, a little of their data behind them."""
    tokens = b"".join(text(f"token {place}") for place in range(200))
    return [
        tiny_model("m", payload_bytes=1, seed=1, chat_template="{{ tools }}"),
        tiny_model("m", payload_bytes=1, seed=1, shard=(2, 3)),
        tiny_mmproj("m", payload_bytes=1, seed=1)[:400],
        header(
            array("tokenizer.ggml.tokens", STRING, 200, tokens),
            array("llama.attention.head_count_kv", 4, 4, bytes(16)),
            tensors=[tensor(f"t{place}", offset=128 * place) for place in range(5)],
        ),
    ]


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    refused = fuzz(options.count, seed=options.seed)
    sys.stdout.write(
        f"{options.count} headers: {refused} refused, {options.count - refused} read, no crash\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
