"""What runs llama-swap, and what it answers."""

from __future__ import annotations

from typing import Protocol

from reconciler.core.observed import RuntimeState


class Runtime(Protocol):
    """What runs llama-swap: a Docker container, or nothing that we manage."""

    def observe(self) -> RuntimeState:
        """Look at it anew. Raises `RuntimeUnavailable`."""

    def restart(self) -> None:
        """Stop it with enough grace for running answers to end, and start it again.

        Raises:
            RuntimeUnavailable: the engine does not answer, or the container is gone.
            RuntimeFailed: the engine refused.
        """

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest `count` lines it logged; empty where there is no log. Never raises."""


class Server(Protocol):
    """llama-swap's own HTTP interface."""

    def is_healthy(self) -> bool:
        """Whether `/health` answers 200 now. Never raises: no answer is False."""

    def model_ids(self) -> frozenset[str]:
        """Every ID that `/v1/models` lists, aliases left out. Raises `ServerUnreachable`."""

    def alias_ids(self) -> frozenset[str]:
        """Every alias `/v1/models` tells of in `meta.llamaswap.aliases`. Raises as `model_ids`."""

    def version(self) -> str | None:
        """What `/api/version` says; None where it does not say. Never raises."""


class ServerFactory(Protocol):
    """Opens llama-swap's HTTP interface once its URL is known."""

    def __call__(self, url: str) -> Server:
        """Give the interface at `url`; nothing is asked yet."""
