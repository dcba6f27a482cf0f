"""llama-swap that somebody else runs: we know at most its URL, and never start or stop it."""

from __future__ import annotations

from reconciler.core.observed import PathMapping, RuntimeState, RuntimeStatus
from reconciler.errors import RuntimeFailed


class UnmanagedRuntime:
    """The runtime `none`; implements the port `Runtime`.

    `mappings` are what `--path-map` says of how llama-swap sees our paths; none means that it sees
    them as we do.
    """

    def __init__(self, *, url: str | None = None, mappings: tuple[PathMapping, ...] = ()) -> None:
        self._state = RuntimeState(
            kind="none", status=RuntimeStatus.UNMANAGED, mappings=mappings, url=url
        )

    def observe(self) -> RuntimeState:
        """Give what we were told; nothing is asked."""
        return self._state

    def restart(self) -> None:
        """Refuse: there is nothing here that is ours to restart. Raises `RuntimeFailed`."""
        raise RuntimeFailed(
            "llama-swap does not run in a container that we manage, so we cannot restart it",
            hint="restart it yourself, start it with -watch-config, or name its container with "
            "--runtime docker --container NAME",
        )

    def last_log_lines(self, count: int) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        """Give nothing: its log is not ours to read."""
        return ()
