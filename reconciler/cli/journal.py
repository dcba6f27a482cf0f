"""The log as systemd's journal takes it from a service: each line with its priority."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

# Those of syslog(3); sd-daemon(3) says how they are written.
_PRIORITIES: Final = {"info": 6, "warning": 4, "error": 3}


def goes_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is the one that systemd has connected to its journal."""
    told = environ.get("JOURNAL_STREAM", "")
    if not told or stream.closed:
        return False
    try:
        found = os.fstat(stream.fileno())
    except OSError:
        return False
    return told == f"{found.st_dev}:{found.st_ino}"


def with_priority(text: str, level: str) -> str:
    """Give text with its level before each line: the journal takes lines apart."""
    prefix = f"<{_PRIORITIES[level]}>"
    return "\n".join(prefix + line for line in text.splitlines())
