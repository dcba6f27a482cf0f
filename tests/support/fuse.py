"""A process that ends at an instant of our choice: right before or after its nth lasting change."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

from reconciler.cli.console import Console
from reconciler.cli.settings import load_settings
from reconciler.cli.wiring import load_manifest, open_host
from reconciler.engine.host import Host
from reconciler.engine.prepared import Options
from reconciler.engine.run import RunResult, run_once
from tests.support.fakes import FakeClock, FakeLlamaSwap
from tests.support.sandbox import Sandbox

PORTS = ("folder", "inventory", "config", "lock", "moved", "digests", "transfer", "runtime")
# Every call that changes something that lasts.
CHANGES = {
    "put",
    "stamp",
    "take_back",
    "discard",
    "restore",
    "delete",
    "remove_empty_folders",
    "remove",
    "stage_again",
    "stage_shared",
    "drop_staged",
    "empty_trash",
    "write",
    "save_rollout",
    "end_rollout",
    "save_ledger",
    "record",
    "fetch",
    "restart",
    "hang_up",
}


class Killed(BaseException):
    """The process ends here; nothing in it may catch this."""


class Fuse:
    """Ends the process right before or right after its `number`th lasting change.

    With `only`, the changes of that name alone are counted; number 0 never ends it.
    """

    def __init__(self, number: int = 0, *, after: bool = False, only: str = "") -> None:
        self.number = number
        self.after = after
        self.only = only
        self.names: list[str] = []

    @property
    def count(self) -> int:
        """How many changes were begun."""
        return len(self.names)

    def guard(self, port: Any) -> Any:
        """Wrap a port, so that its changes are counted."""
        return _Guarded(port, self)


class _Guarded:
    """A real port, but for the end of the world."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in ({self._fuse.only} if self._fuse.only else CHANGES):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._fuse.names.append(name)
            here = self._fuse.count == self._fuse.number
            if here and not self._fuse.after:
                raise Killed
            result = found(*arguments, **named)
            if here:
                raise Killed
            return result

        return call


@contextlib.contextmanager
def opened(host: Sandbox, swap: FakeLlamaSwap | None = None) -> Iterator[tuple[Host, Any]]:
    """Open the ports of a host, with `swap` as its container; gives also its manifest."""
    environment = host.environment()
    console = Console(quiet=True, log_format="text", no_color=True)
    with mock.patch.dict(os.environ, environment, clear=True), contextlib.chdir(host.home):
        settings = load_settings(mock.NonCallableMock(spec=[]), environment)
        manifest = load_manifest(settings)
        with open_host(settings, console, for_writing=True) as real:
            if swap is None:
                yield real, manifest
            else:
                clock = FakeClock()
                yield replace(real, runtime=swap, open_server=swap.open, clock=clock), manifest


def run_killed(host: Sandbox, fuse: Fuse, swap: FakeLlamaSwap | None = None) -> bool:
    """Run one pass with every port on the fuse; whether it was killed."""
    with opened(host, swap) as (real, manifest):
        guarded = replace(real, **{name: fuse.guard(getattr(real, name)) for name in PORTS})
        try:
            run_once(guarded, manifest, Options(runtime_named=True), approve=lambda _: True)
        except Killed:
            return True
    return False


def run_pass(
    host: Sandbox,
    swap: FakeLlamaSwap | None = None,
    *,
    wrap: Mapping[str, Callable[[Any], Any]] | None = None,
    runtime_named: bool = True,
    **changes: Any,
) -> RunResult:
    """Run one pass that nobody kills.

    `changes` are ports to put in the place of others; `wrap` makes ports out of the real ones.
    """
    with opened(host, swap) as (real, manifest):
        wrapped = {name: make(getattr(real, name)) for name, make in (wrap or {}).items()}
        ports = replace(real, **changes, **wrapped)
        options = Options(runtime_named=runtime_named)
        return run_once(ports, manifest, options, approve=lambda _: True)
