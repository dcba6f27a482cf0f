"""A runtime of which a person knows more than can be seen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.core.observed import PathMapping, RuntimeState, Sight
from reconciler.core.ports.serving import Runtime


class ToldRuntime:
    """Another runtime, with what the settings say of it: `url` and further `mappings`.

    Host paths of mounts are told without symlinks, as the models folder's own path is.
    """

    def __init__(
        self, runtime: Runtime, *, url: str | None, mappings: tuple[PathMapping, ...]
    ) -> None:
        self._runtime = runtime
        self._url = url
        self._mappings = mappings

    def observe(self) -> RuntimeState:
        """Look at it anew. Raises `RuntimeUnavailable`."""
        state = self._runtime.observe()
        mappings = tuple(
            replace(mapping, host=os.path.realpath(mapping.host))
            for mapping in (*state.mappings, *self._mappings)
        )
        return replace(state, url=self._url or state.url, mappings=mappings)

    def restart(self) -> None:
        """Restart it. Raises `RuntimeUnavailable`, `RuntimeFailed`."""
        self._runtime.restart()

    def hang_up(self) -> None:
        """Send it SIGHUP. Raises `RuntimeUnavailable`, `RuntimeFailed`."""
        self._runtime.hang_up()

    def read_inside(self, path: str) -> bytes | None:
        """Give the bytes it sees at a path of its own. Raises `RuntimeUnavailable`."""
        return self._runtime.read_inside(path)

    def sights(self, paths: Sequence[str]) -> Mapping[str, Sight]:
        """Say how it sees paths of its own. Raises `RuntimeUnavailable`."""
        return self._runtime.sights(paths)

    def log_since(self, moment: datetime) -> tuple[str, ...]:
        """Give the lines it logged from `moment` on. Never raises."""
        return self._runtime.log_since(moment)

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest lines it logged. Never raises."""
        return self._runtime.last_log_lines(count)
