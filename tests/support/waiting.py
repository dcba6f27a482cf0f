"""Wait for what will happen, and fail where it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Ask again and again until `condition()` holds; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        # Nothing sets it: the machine is left to the others for a moment.
        pause.wait(0.02)
