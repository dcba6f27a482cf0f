"""What the headers of files say that have no digest yet, and its form as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.facts_text import facts_from_json, facts_to_json
from reconciler.core.identity import FileIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHeader:
    """What a file's header says; `problem` says why it cannot be read. Neither: it is no GGUF."""

    facts: GgufFacts | None = None
    problem: str = ""


def headers_to_json(headers: Mapping[FileIdentity, SeenHeader]) -> list[Any]:
    """Give them as plain JSON values."""
    return [
        [
            [identity.device, identity.inode, identity.size_bytes, identity.mtime_ns],
            facts_to_json(seen.facts) if seen.facts is not None else None,
            seen.problem,
        ]
        for identity, seen in headers.items()
    ]


def headers_from_json(body: Sequence[Any]) -> dict[FileIdentity, SeenHeader]:
    """Read what `headers_to_json` gave. Raises `TypeError` or `ValueError` on anything else."""
    headers = {}
    for (device, inode, size_bytes, mtime_ns), facts, problem in body:
        identity = FileIdentity(
            device=device, inode=inode, size_bytes=size_bytes, mtime_ns=mtime_ns
        )
        headers[identity] = SeenHeader(
            facts=facts_from_json(facts) if facts is not None else None, problem=problem
        )
    return headers
