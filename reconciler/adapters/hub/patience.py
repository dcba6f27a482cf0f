"""When to ask again: as late as we are told, else after a growing random time; not for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.adapters.base.breaker import CircuitOpen
from reconciler.core.ports.clock import Clock
from reconciler.errors import Waiting

if TYPE_CHECKING:
    from tenacity import RetryCallState

_T = TypeVar("_T")

_TRIES: Final = 5
# 1, 2, 4, 8 seconds at most between five tries: a hiccup passes in that time, an outage does not.
_LONGEST_PAUSE_SECONDS: Final = 8.0
# The hub counts requests in windows of 300 s; who asks us to wait longer than that one is told to
# the caller, who has better things to do meanwhile.
_LONGEST_TOLD_SECONDS: Final = 300.0
# What is left is rounded down by the server.
_ROUNDING_SECONDS: Final = 1.0


def patiently(ask: Callable[[], _T], *, clock: Clock) -> _T:
    """Call `ask` until it succeeds, five times at most, waiting between the calls.

    A `Waiting` error is worth another try, unless it asks for more than 300 s, or the server is
    left alone as it is; any other passes at once. The error of the last try is the one raised.
    """
    # Loading it takes time that a run which asks the hub nothing need not spend.
    import tenacity

    # Full jitter: many hosts that fell over together do not come back together.
    jitter = tenacity.wait_random_exponential(multiplier=1, max=_LONGEST_PAUSE_SECONDS)

    def pause_seconds(state: RetryCallState) -> float:
        told = _told_seconds(state.outcome.exception() if state.outcome else None)
        return jitter(state) if told is None else told + _ROUNDING_SECONDS

    retrying = tenacity.Retrying(
        sleep=clock.sleep,
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=pause_seconds,
        retry=tenacity.retry_if_exception(_may_pass_soon),
        reraise=True,
    )
    return retrying(ask)


def _may_pass_soon(error: BaseException) -> bool:
    if not isinstance(error, Waiting) or isinstance(error, CircuitOpen):
        return False
    return (_told_seconds(error) or 0) <= _LONGEST_TOLD_SECONDS


def _told_seconds(error: BaseException | None) -> float | None:
    return error.retry_after_seconds if isinstance(error, Waiting) else None
