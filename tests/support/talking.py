"""A container that logs what it does, for what is told by its log alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.core.observed import RuntimeState
from reconciler.errors import ServerUnreachable
from tests.support.fakes import FakeLlamaSwap


@dataclass
class Talking(FakeLlamaSwap):
    """A container that logs what it does, watches if told so, and loses some signals.

    `deaf` is how many signals it loses, `stale` how many restarts it takes until it sees the config
    that lies here, and `silent` that its log tells nothing.
    """

    watches: bool | None = False
    build: str | None = "250"
    deaf: int = 0
    signals: int = 0
    stale: int = 0
    silent: bool = False
    log: list[str] = field(default_factory=list)
    unloaded: list[str | None] = field(default_factory=list)
    unloads: bool = True

    def observe(self) -> RuntimeState:
        """Look at it; what watches looks at its config then."""
        state = super().observe()
        if self.watches and self.seen != self.config.read_bytes():
            self._reload()
        return replace(state, watches=self.watches, config_inside=str(self.config))

    def _load(self) -> None:
        self.seen = self.config.read_bytes() if self.config.exists() else b""
        super()._load()

    def read_inside(self, path: str) -> bytes | None:
        """The config, once it was restarted often enough."""
        return super().read_inside(path) if self.restarts >= self.stale else b"another"

    def version(self) -> str | None:
        """The build."""
        return self.build

    def hang_up(self) -> None:
        """Reload, or lose it."""
        self.signals += 1
        if self.signals > self.deaf:
            self._reload()

    def _reload(self) -> None:
        self.seen = self.config.read_bytes()
        if self.accepts(self.seen.decode()):
            self._load()
            self.log += ["reloading configuration", "configuration reloaded"]
        else:
            self.log.append("failed to reload config: as ordered")

    def log_since(self, moment: datetime) -> tuple[str, ...]:  # noqa: ARG002 - the port's
        """All that it logged."""
        return () if self.silent else tuple(self.log)

    def unload(self, model: str | None) -> None:
        """Remember it."""
        if not self.unloads:
            raise ServerUnreachable("no answer")
        self.unloaded.append(model)
