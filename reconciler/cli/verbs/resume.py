"""End the pause of the watch."""

from __future__ import annotations

import json
from argparse import Namespace

from reconciler.adapters.store.pause_file import PauseFile
from reconciler.cli.console import Console
from reconciler.cli.settings import Settings
from reconciler.cli.watching.post import held_pause, make_state


def run(_options: Namespace, settings: Settings, console: Console) -> int:
    """End it; that there was none is no failure."""
    state = make_state(settings, console)
    was_paused = held_pause(state, console) is not None
    PauseFile(state, console).remove()
    if settings.json:
        print(json.dumps({"paused": False, "was_paused": was_paused}, indent=2))
    else:
        print("Resumed" if was_paused else "The watch was not paused")
    return 0
