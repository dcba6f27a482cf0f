"""What runs llama-swap, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.core.observed import RuntimeState, Sight


class Runtime(Protocol):
    """What runs llama-swap: a Docker container, or nothing that we manage."""

    def observe(self) -> RuntimeState:
        """Look at it anew. Raises `RuntimeUnavailable`."""

    def restart(self) -> None:
        """Stop it with enough grace for running answers to end, and start it again.

        One that is stopped is started.

        Raises:
            RuntimeUnavailable: the engine does not answer, or the container is gone.
            RuntimeFailed: the engine refused.
        """

    def hang_up(self) -> None:
        """Send SIGHUP to its main process. Raises as `restart`, where it does not run too."""

    def read_inside(self, path: str) -> bytes | None:
        """Give the bytes of the file that it sees at an absolute path of its own.

        None where it sees no file there, or where nobody can look. Raises `RuntimeUnavailable`.
        """

    def sights(self, paths: Sequence[str]) -> Mapping[str, Sight]:
        """Say how it sees absolute paths of its own; one of which nothing is known is missing.

        Raises `RuntimeUnavailable`.
        """

    def log_since(self, moment: datetime) -> tuple[str, ...]:
        """Give the lines it logged from `moment` on, the oldest first. Never raises."""

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest `count` lines it logged; empty where there is no log. Never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningModel:
    """One model that llama-swap runs, and its word for how that stands: `ready`, `starting`."""

    id: str
    state: str


class Server(Protocol):
    """llama-swap's own HTTP interface."""

    def is_healthy(self) -> bool:
        """Whether `/health` answers 200 now. Never raises: no answer is False."""

    def model_ids(self) -> frozenset[str]:
        """Every ID that `/v1/models` lists, aliases left out. Raises `ServerUnreachable`."""

    def version(self) -> str | None:
        """What `/api/version` says; None where it does not say. Never raises."""

    def running(self) -> tuple[RunningModel, ...]:
        """Give the models that are loaded, or about to be. Raises `ServerUnreachable`.

        Versions before 2026 tell of those that are ready alone.
        """

    def in_flight(self) -> Mapping[str, int] | None:
        """Count the requests that are being answered now, by model; None where it cannot be seen.

        The name is `""` for those whose model it does not tell. Raises `ServerUnreachable`.
        """

    def is_busy(self, model: str) -> bool | None:
        """Whether the server of a model that `running` gives works on a request now.

        None where that cannot be seen. Ask of no other model: it would be loaded. Raises
        `ServerUnreachable`.
        """

    def unload(self, model: str | None) -> None:
        """Stop one model, or with None all of them; no harm where it is not loaded.

        Raises:
            ServerUnreachable: it does not answer, or refuses; requests in flight may be cut then.
        """

    def probe(self, model: str, timeout_seconds: float) -> str:
        """Load a model and have it answer one token; gives why it did not, empty where it did.

        Never raises.
        """

    def load(self, model: str, timeout_seconds: float) -> str:
        """Load a model; gives why it did not come up, empty where it did. Never raises."""


class ServerFactory(Protocol):
    """Opens llama-swap's HTTP interface once its URL is known."""

    def __call__(self, url: str) -> Server:
        """Give the interface at `url`; nothing is asked yet."""
