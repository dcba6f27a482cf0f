"""llama-swap that somebody else runs: nothing is known of it, and it is never started or ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from reconciler.core.observed import RuntimeState, RuntimeStatus, Sight
from reconciler.errors import RuntimeFailed


class UnmanagedRuntime:
    """The runtime `none`; implements the port `Runtime`."""

    def observe(self) -> RuntimeState:
        """Give that nobody manages it; nothing is asked."""
        return RuntimeState(kind="none", status=RuntimeStatus.UNMANAGED)

    def restart(self) -> None:
        """Refuse: there is nothing here that is ours to restart. Raises `RuntimeFailed`."""
        raise _not_ours("restart it")

    def hang_up(self) -> None:
        """Refuse, as `restart` does."""
        raise _not_ours("send it a signal")

    def read_inside(self, path: str) -> bytes | None:  # noqa: ARG002 - the port's signature
        """Give nothing: whether it sees our files as we do is not known."""
        return None

    def sights(self, paths: Sequence[str]) -> Mapping[str, Sight]:  # noqa: ARG002 - the port's
        """Give nothing, for the same reason."""
        return {}

    def log_since(self, moment: datetime) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        """Give nothing: its log is not ours to read."""
        return ()

    def last_log_lines(self, count: int) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        """Give nothing: its log is not ours to read."""
        return ()


def _not_ours(what: str) -> RuntimeFailed:
    return RuntimeFailed(
        f"llama-swap does not run in a container that we manage, so we cannot {what}",
        hint="restart it yourself, start it with -watch-config, or name its container with "
        "--runtime docker --container NAME",
    )
