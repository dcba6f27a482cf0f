"""Hold the watch: it finishes what it is at, and runs nothing until then."""

from __future__ import annotations

import json
import os
import pwd
import socket
from argparse import Namespace
from datetime import datetime, timedelta

from reconciler.adapters.store.pause_file import PauseFile
from reconciler.adapters.system_clock import SystemClock, local_zone
from reconciler.cli.console import Console
from reconciler.cli.quantities import parse_duration
from reconciler.cli.settings import Settings
from reconciler.cli.watching.post import make_state, words_of
from reconciler.core.reading.pause_text import parse_moment, pause_to_json
from reconciler.core.watching import Pause
from reconciler.errors import UsageError

_HINT = "say for how long, as in 2h, or until when: 18:00, 2026-12-24T08:00"


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Order a pause; one that is ordered already is replaced."""
    now = SystemClock().now()
    until = _until(options.until, now, settings) if options.until is not None else None
    pause = Pause(since=now, until=until, by=_who(settings))
    PauseFile(make_state(settings, console), console).write(pause)
    if settings.json:
        print(json.dumps({"paused": True, **pause_to_json(pause)}, indent=2))
    else:
        print(f"Paused {words_of(pause, settings)}")
    return 0


def _until(text: str, now: datetime, settings: Settings) -> datetime:
    try:
        moment = parse_moment(text.strip(), now=now, zone=local_zone(settings.environment))
        until = moment or now + timedelta(seconds=parse_duration(text))
        until = until.astimezone(now.tzinfo)
    except (ValueError, OverflowError) as error:
        words = "is too far away" if isinstance(error, OverflowError) else str(error)
        raise UsageError(f"--until: {words}", hint=_HINT) from error
    if until <= now:
        raise UsageError(f"--until: {text!r} is over already", hint=_HINT)
    return until


def _who(settings: Settings) -> str:
    """Name the person, also behind sudo, and the machine."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    if os.getuid() == 0:
        user = settings.environment.get("SUDO_USER") or user
    return f"{user}@{socket.gethostname()}"
