"""Keep applying: on every change of the manifest, and now and then."""

from __future__ import annotations

from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from reconciler.adapters.system_clock import SystemClock
from reconciler.cli.console import Console
from reconciler.cli.settings import Settings, load_settings
from reconciler.cli.watching.contents import Eyes, open_watcher
from reconciler.cli.watching.git import expect_repository, lock_keeper, puller
from reconciler.cli.watching.one_pass import WatchPass
from reconciler.cli.watching.operation import Operation
from reconciler.cli.watching.post import WatchPost
from reconciler.cli.watching.stopping import ending_in_time
from reconciler.cli.watching.streams import outliving_streams
from reconciler.cli.watching.web import WatchWeb
from reconciler.core.watching import Contents
from reconciler.engine.listening import Listener, Listeners
from reconciler.engine.loop import Schedule, Watched, watch_loop
from reconciler.errors import LockHeld, UsageError


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Watch until somebody stops us; that is how it ends, so it is no failure."""
    with outliving_streams(console):
        try:
            _run(options, settings, console)
        except KeyboardInterrupt:
            console.say("stopped", event="stopped")
    return 0


def _run(options: Namespace, settings: Settings, console: Console) -> None:
    """Watch, with the settings read again whenever that is asked for."""
    _expect_folder(settings)
    expect_repository(settings)
    wake, hung_up = Event(), Event()

    def hang_up() -> None:
        hung_up.set()
        wake.set()

    with ExitStack() as whole:
        as_json = settings.log_format == "json"
        whole.enter_context(ending_in_time(as_json=as_json, on_hang_up=hang_up))
        operation = Operation(console, tells_all=settings.verbose)
        post = whole.enter_context(WatchPost(console))
        post.take(settings)
        web = whole.enter_context(WatchWeb(console, operation.pulse))
        web.take(settings)
        whole.enter_context(operation)
        while True:
            with operation.under(settings), lock_keeper(settings, operation.console) as keepers:
                hearing = Listeners((*web.listeners, *operation.listeners, *keepers))
                _watch(settings, operation, hearing, post, wake=wake, ends=hung_up)
            # Before they are read: who asks from here on is heard once more.
            hung_up.clear()
            settings = _read_again(options, settings, console, post, web)


def _watch(
    settings: Settings,
    operation: Operation,
    listener: Listener,
    post: WatchPost,
    *,
    wake: Event,
    ends: Event,
) -> None:
    """Watch with these settings, until `ends` is set."""
    console = operation.console
    eyes = Eyes(settings.manifest)
    watcher = open_watcher(settings, console, wake)

    def look() -> Contents:
        found = eyes.look()
        watcher.follow(eyes.spots(beside=post.folder))
        return found

    watcher.follow(eyes.spots(beside=post.folder))
    with watcher:
        console.say(f"watching {_folder_of(settings)}")
        operation.ready()
        watch_loop(
            Watched(
                contents=look,
                run_pass=WatchPass(
                    settings, console, operation.clock, eyes=eyes, post=post, listener=listener
                ).run,
                paused=post.paused,
                pull=puller(settings, console),
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


def _folder_of(settings: Settings) -> Path:
    return settings.manifest if settings.manifest.is_dir() else settings.manifest.parent


def _expect_folder(settings: Settings) -> None:
    folder = _folder_of(settings)
    if not folder.is_dir():
        raise UsageError(
            f"the manifest's folder {folder} is not there", hint="name the manifest with -m PATH"
        )


def _read_again(
    options: Namespace, settings: Settings, console: Console, post: WatchPost, web: WatchWeb
) -> Settings:
    """Give the settings as they are now; while they are wrong, those before stay."""
    try:
        again = load_settings(options)
        _expect_folder(again)
        expect_repository(again)
        web.take(again)
        post.take(again)
    except (UsageError, LockHeld) as error:
        console.warn(f"the settings stay as they were: {error.message}", error.hint)
        return settings
    console.say("the settings were read again")
    return again
