#!/usr/bin/env python3
"""A service manager for one service: llama-swap's stand-in, called as systemctl is for a unit.

    llama_swap_service.py FOLDER start|stop|restart|reload|status|log

The folder holds `command`, the words to start it with, one a line; `pid` and `log` come there.
`status` ends with 0 while it runs, and with 3 while it does not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_SECONDS = 20.0


def main(folder: Path, verb: str) -> int:
    """Do what is asked; gives the exit status."""
    if verb == "log":
        sys.stdout.write((folder / "log").read_text())
        return 0
    pid = running(folder)
    if verb == "status":
        return 0 if pid else 3
    if verb == "reload":
        if not pid:
            sys.stderr.write("it does not run\n")
            return 1
        os.kill(pid, signal.SIGHUP)
        return 0
    if pid and verb in ("stop", "restart"):
        stop(pid)
    if verb in ("start", "restart"):
        start(folder)
    return 0


def running(folder: Path) -> int | None:
    """Give the process that runs, None where none does."""
    try:
        pid = int((folder / "pid").read_text())
    except FileNotFoundError:
        return None
    return pid if lives(pid) else None


def lives(pid: int) -> bool:
    """Whether the process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def start(folder: Path) -> None:
    """Start it, in the background and with a log of its own."""
    words = (folder / "command").read_text().splitlines()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / "pid").write_text(str(process.pid))


def stop(pid: int) -> None:
    """End it, politely at first."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while lives(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2]))
