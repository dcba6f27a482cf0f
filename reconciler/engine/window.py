"""Keep to the windows: nothing is fetched, and llama-swap not disturbed, outside of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from reconciler.core.actions import Download
from reconciler.core.desired import Desired, Stall
from reconciler.core.drain import reach_of
from reconciler.core.names import ModelId, Sha256
from reconciler.core.observed import Observed, RuntimeState
from reconciler.core.plan import Plan
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.reporting import Progress
from reconciler.engine.host import Host
from reconciler.errors import Interrupted, WindowClosed

_HINT = "it comes by itself with --watch; to fetch now, say --download-window off"


def held_models(
    plan: Plan, desired: Desired, observed: Observed, host: Host
) -> Mapping[ModelId, Stall]:
    """Find the models that need bytes from the network while the window is closed."""
    wanted = {item.sha256 for item in plan.actions if isinstance(item, Download)}
    if not wanted or host.download_times.is_open(now := host.clock.now()):
        return {}
    opens = host.download_times.opens_at(now)
    reason = f"it must be fetched, and the download window opens at {opens:%H:%M}"
    return {
        key: Stall(reason=reason, hint=_HINT, waiting=True)
        for key in lacking_models(desired, observed, wanted)
    }


def lacking_models(
    desired: Desired, observed: Observed, digests: Collection[Sha256]
) -> Mapping[ModelId, Sha256]:
    """Give the enabled models that want one of `digests` where it is not yet, with the first."""
    lacking: dict[ModelId, Sha256] = {}
    for key, model in desired.models.items():
        for file in model.files if model.spec.enabled else ():
            seen = observed.files.get(file.path)
            if file.sha256 in digests and (seen is None or seen.sha256 != file.sha256):
                lacking.setdefault(key, file.sha256)
    return lacking


def opens_in_seconds(host: Host) -> float:
    """Give how long it is until bytes may be fetched; 0 where they may be now."""
    now = host.clock.now()
    return (host.download_times.opens_at(now) - now).total_seconds()


def rollout_waits_seconds(plan: Plan, runtime: RuntimeState, host: Host) -> float:
    """Give how long a plan that would disturb llama-swap must wait for it; 0 where it need not."""
    # A plan that disturbs nothing is the same at any time, and so may be remembered.
    if reach_of(plan, runtime) is None or host.restart_times.is_open(now := host.clock.now()):
        return 0.0
    return (host.restart_times.opens_at(now) - now).total_seconds()


def waiting_rollout(host: Host) -> str:
    """Say that a rollout waits, and until when."""
    opens = host.restart_times.opens_at(host.clock.now())
    return (
        f"the restart window opens at {opens:%H:%M}: until then bytes are fetched, and llama-swap "
        "is left as it is"
    )


@contextmanager
def within_window(host: Host, progress: Progress) -> Iterator[Progress]:
    """Let the block fetch with the progress it is given, until the window closes.

    Raises:
        WindowClosed: it is closed, or it closed meanwhile; what arrived is kept.
    """
    left_seconds = host.download_times.seconds_left(host.clock.now())
    if left_seconds is None:
        yield progress
        return
    closing = _Closing(progress, host.clock, left_seconds)
    try:
        closing.advance(0)
        yield closing
    except Interrupted as error:
        if not closing.is_closed:
            raise
        opens = host.download_times.opens_at(host.clock.now())
        raise WindowClosed(
            f"the download window is closed, and opens at {opens:%H:%M}; what arrived is kept",
            hint=_HINT,
        ) from error


class _Closing:
    """A file's progress that ends the work once the window has closed."""

    def __init__(self, progress: Progress, clock: Clock, left_seconds: float) -> None:
        self._progress = progress
        self._clock = clock
        self._closes_at = clock.monotonic() + left_seconds

    @property
    def is_closed(self) -> bool:
        """Whether the time is over."""
        return self._clock.monotonic() >= self._closes_at

    def advance(self, count_bytes: int) -> None:
        """Pass it on; raises `Interrupted` once the window has closed."""
        self._progress.advance(count_bytes)
        if self.is_closed:
            raise Interrupted("the download window has closed")

    def skip(self, count_bytes: int) -> None:
        """Pass it on: nothing is fetched while this is told."""
        self._progress.skip(count_bytes)
