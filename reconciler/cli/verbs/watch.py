"""Keep applying: on every change of the manifest, and now and then."""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

from reconciler.adapters.manifest_files import manifest_files
from reconciler.adapters.system_clock import SystemClock
from reconciler.adapters.watch import FolderWatcher
from reconciler.cli.console import Console
from reconciler.cli.settings import Settings, load_settings
from reconciler.cli.watch_contents import Eyes
from reconciler.cli.watch_pass import WatchPass
from reconciler.engine.listening import Listener, Listeners
from reconciler.engine.loop import Schedule, Watched, watch_loop
from reconciler.errors import ReconcilerError, UsageError


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Watch until somebody stops us; that is how it ends, so it is no failure."""
    _expect_folder(settings)
    wake, hung_up = Event(), Event()
    with ExitStack() as whole:
        whole.enter_context(_heeding_hang_up(wake, hung_up))
        listeners: list[Listener] = []
        try:
            while True:
                hung_up.clear()
                _watch(settings, console, Listeners(listeners), wake=wake, ends=hung_up)
                settings = _read_again(options, settings, console)
        except KeyboardInterrupt:
            console.say("stopped")
    return 0


def _watch(
    settings: Settings, console: Console, listener: Listener, *, wake: Event, ends: Event
) -> None:
    """Watch with these settings, until `ends` is set."""
    eyes = Eyes(settings.manifest)
    folder = settings.manifest if settings.manifest.is_dir() else settings.manifest.parent
    # Where the manifest is a link, an edit of its target is an edit of the manifest.
    folders = dict.fromkeys([folder, *(file.resolve().parent for file in _files(settings))])
    with FolderWatcher(
        tuple(folders), wake=wake, debounce_seconds=settings.debounce, reporter=console
    ):
        console.say(f"watching {folder}")
        watch_loop(
            Watched(
                contents=eyes.look,
                run_pass=WatchPass(settings, console, eyes=eyes, listener=listener).run,
                paused=lambda: None,
                pull=lambda: None,
                ends=ends.is_set,
                wake=wake,
            ),
            schedule=Schedule(
                resync_seconds=settings.resync, pull_seconds=settings.git_pull or 0.0
            ),
            clock=SystemClock(),
            reporter=console,
            listener=listener,
        )


def _expect_folder(settings: Settings) -> None:
    folder = settings.manifest if settings.manifest.is_dir() else settings.manifest.parent
    if not folder.is_dir():
        raise UsageError(
            f"the manifest's folder {folder} is not there", hint="name the manifest with -m PATH"
        )


def _files(settings: Settings) -> tuple[Path, ...]:
    """Give the manifest's files; none while it cannot be read, which the first pass will say."""
    try:
        return manifest_files(settings.manifest)
    except ReconcilerError:
        return ()


@contextmanager
def _heeding_hang_up(wake: Event, hung_up: Event) -> Iterator[None]:
    """Let SIGHUP end the loop at its next boundary, for the settings to be read again."""

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        hung_up.set()
        wake.set()

    before = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _read_again(options: Namespace, settings: Settings, console: Console) -> Settings:
    """Give the settings as they are now; while they are wrong, those before stay."""
    try:
        again = load_settings(options)
        _expect_folder(again)
    except UsageError as error:
        console.warn(f"the settings stay as they were: {error.message}", error.hint)
        return settings
    console.say("the settings were read again")
    return again
