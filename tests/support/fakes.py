"""The ports that cannot be had for real in a test: time, and llama-swap in its container."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.core.names import Sha256
from reconciler.core.observed import PathMapping, RuntimeState, RuntimeStatus, Sight
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.reporting import Batch, Progress, Reporter
from reconciler.core.ports.serving import RunningModel, Runtime, Server
from reconciler.core.ports.transfer import Brought, Piece, Stretch, Transfer
from reconciler.core.source import Origin
from reconciler.core.yamltext.config import read_config
from reconciler.errors import ServerUnreachable


class FakeClock(Clock):
    """Time that passes only where somebody sleeps; each look at the date is a millisecond later."""

    def __init__(self) -> None:
        self.slept_seconds: list[float] = []
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def seconds(self) -> float:
        """All that was slept."""
        return sum(self.slept_seconds)

    def now(self) -> datetime:
        """The time now, in UTC."""
        self._now += timedelta(milliseconds=1)
        return self._now + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds since the start of the test."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once, and remember for how long."""
        self.slept_seconds.append(seconds)


class _NoProgress(Progress):
    def advance(self, count_bytes: int) -> None:
        """Nobody looks."""

    def skip(self, count_bytes: int) -> None:
        """Nobody looks."""


class NoTransfer(Transfer):
    """A transfer nobody should use; a test says otherwise where it does."""

    def fetch(
        self,
        origin: Origin,
        partial: Path,
        *,
        size_bytes: int,
        sha256: Sha256,
        progress: Progress,
        known: Sequence[Stretch | Piece] = (),
    ) -> Brought:
        """Not expected."""
        raise AssertionError(
            f"{origin} was fetched: {partial} {size_bytes} {sha256} {progress} {known}"
        )

    def read(self, origin: Origin, start: int, end: int, *, size_bytes: int) -> bytes:
        """Not expected."""
        raise AssertionError(f"{origin} was read: {start} to {end} of {size_bytes}")

    def measure(self, url: str) -> int:
        """Not expected."""
        raise AssertionError(f"{url} was measured")

    def stop(self) -> None:
        """Nothing is ever under way."""


class Heard(Reporter, Batch):
    """Keeps what it is told, line by line."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warnings: list[str] = []
        self.hints: list[str] = []
        self.tasks: list[str] = []

    @contextmanager
    def task(self, doing: str, name: str, size_bytes: int) -> Iterator[Progress]:  # noqa: ARG002 - the port's
        """Keep what is being done to which file."""
        self.tasks.append(f"{doing} {name}")
        yield _NoProgress()

    @contextmanager
    def batch(self, files: int, size_bytes: int) -> Iterator[Batch]:  # noqa: ARG002 - the port's
        """Keep what is done to its files."""
        yield self

    def leave_out(self, size_bytes: int) -> None:
        """Nobody looks."""

    def say(self, message: str) -> None:
        """Keep it."""
        self.said.append(message)

    def warn(self, message: str, hint: str = "") -> None:
        """Keep it."""
        self.warnings.append(message)
        self.hints.append(hint)


def _accepts(_config: str) -> bool:
    return True


@dataclass
class FakeLlamaSwap(Runtime, Server):
    """A container with llama-swap in it, which reads its config when it is restarted.

    `accepts` decides whether it comes up with a config. It sees `models` under the same path.
    """

    config: Path
    models: Path
    accepts: Callable[[str], bool] = _accepts
    status: RuntimeStatus = RuntimeStatus.RUNNING
    restarts: int = 0
    up: bool = True
    listed: frozenset[str] = field(default_factory=frozenset)
    loaded: list[str] = field(default_factory=list)
    requests: dict[str, int] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._load()

    def observe(self) -> RuntimeState:
        """Look at it."""
        return RuntimeState(
            kind="docker",
            status=self.status,
            name="swap",
            mappings=(PathMapping(host=str(self.models), container=str(self.models)),),
            config_path=str(self.config),
            url="http://127.0.0.1:9",
        )

    def restart(self) -> None:
        """Read the config anew."""
        self.restarts += 1
        self.status = RuntimeStatus.RUNNING
        self._load()

    def hang_up(self) -> None:
        """Read the config anew, and keep the old one where that is not accepted."""
        if self.accepts(self.config.read_text()):
            self._load()

    def read_inside(self, path: str) -> bytes | None:
        """It sees this host's files under the same paths."""
        return Path(path).read_bytes() if Path(path).is_file() else None

    def sights(self, paths: Sequence[str]) -> Mapping[str, Sight]:
        """It can read every file that is there."""
        return {path: Sight.READABLE if Path(path).exists() else Sight.ABSENT for path in paths}

    def log_since(self, moment: datetime) -> tuple[str, ...]:  # noqa: ARG002 - the port's
        """It has logged nothing."""
        return ()

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """One line is all it logs."""
        return ("the last words",)[:count]

    def open(self, url: str) -> Server:
        """Give its HTTP interface."""
        assert url == self.observe().url
        return self

    def is_healthy(self) -> bool:
        """Whether it came up."""
        return self.up

    def model_ids(self) -> frozenset[str]:
        """The IDs of the config it came up with."""
        if not self.up:
            raise ServerUnreachable("no answer")
        return self.listed

    def version(self) -> str | None:
        """It does not say."""
        return None

    def running(self) -> tuple[RunningModel, ...]:
        """The models that the test says are loaded."""
        return tuple(RunningModel(id=model, state="ready") for model in self.loaded)

    def in_flight(self) -> Mapping[str, int] | None:
        """The requests that the test says are under way."""
        return self.requests

    def is_busy(self, model: str) -> bool | None:
        """Its server does not say."""
        assert model in self.loaded
        return None

    def unload(self, model: str | None) -> None:
        """Stop one model, or all."""
        self.loaded = [] if model is None else [name for name in self.loaded if name != model]

    def probe(self, model: str, timeout_seconds: float) -> str:
        """It answers, where it is one of the config's, and what it would load is accepted."""
        if not (timeout_seconds and model in self.listed):
            return "status 404"
        return "" if self.accepts(self.config.read_text()) else "status 502"

    def load(self, model: str, timeout_seconds: float) -> str:
        """Load it, as `probe` does."""
        self.loaded.append(model)
        return self.probe(model, timeout_seconds)

    def _load(self) -> None:
        data = self.config.read_bytes() if self.config.exists() else b""
        self.up = self.accepts(data.decode())
        if self.up:
            self.listed = frozenset(read_config(data, "config").models)
