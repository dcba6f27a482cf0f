"""Whether a watch still moves: each sign of life says how long it may now be silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from reconciler.adapters.system_clock import SystemClock
from reconciler.core.watching import Pause, Reason

if TYPE_CHECKING:
    from reconciler.cli.work import Total, Work
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult
    from reconciler.errors import ReconcilerError

# The longest single step of a pass that tells nothing on its way: a large file is written out to a
# slow disk, an engine takes its time to restart a container.
_STEP_SECONDS: Final = 600.0


class Pulse:
    """Hears the signs of life of one watch: it listens to its passes, and is shown its work.

    While a pass runs the next sign is due within `step_seconds`; while it rests, at the end of the
    rest. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        step_seconds: float = _STEP_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step_seconds = step_seconds
        self._monotonic = monotonic
        self._due_at = monotonic() + step_seconds

    def beat(self, *, lasting_seconds: float = 0.0) -> None:
        """It moves, and what it does now may last so long."""
        self._due_at = self._monotonic() + lasting_seconds + self._step_seconds

    def overdue_seconds(self) -> float:
        """Give since when a sign of life is missing; 0.0 while none is due.

        Some seconds are ordinary at the end of a rest: the watch looks, or pulls from git.
        """
        return max(self._monotonic() - self._due_at, 0.0)

    def began(self, reason: Reason) -> None:  # noqa: ARG002 - the listener's signature
        """A pass begins."""
        self.beat()

    def planned(self, prepared: Prepared) -> None:  # noqa: ARG002 - the listener's signature
        """It has a plan."""
        self.beat()

    def ended(self, result: RunResult) -> None:  # noqa: ARG002 - the listener's signature
        """A run of it came to its end."""
        self.beat()

    def failed(self, error: ReconcilerError) -> None:  # noqa: ARG002 - the listener's signature
        """It ended by an error."""
        self.beat()

    def rests(self, seconds: float, pause: Pause | None) -> None:  # noqa: ARG002 - the same
        """It has said until when it is silent."""
        self._due_at = self._monotonic() + seconds

    def begin(self, work: Work) -> None:  # noqa: ARG002 - the signature of who shows work
        """Work on a file begins."""
        self.beat()

    def moved(self, work: Work) -> None:  # noqa: ARG002 - the same
        """Some bytes of it are done."""
        self.beat()

    def end(self, work: Work, *, failed: bool) -> None:  # noqa: ARG002 - the same
        """It is over."""
        self.beat()

    def begin_total(self, total: Total) -> None:  # noqa: ARG002 - the same
        """Several files begin."""
        self.beat()

    def end_total(self, total: Total) -> None:  # noqa: ARG002 - the same
        """They are over."""
        self.beat()


class BeatingClock(SystemClock):
    """Real time; who waits by it for a while is alive."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._pulse.beat(lasting_seconds=seconds)
        super().sleep(seconds)
