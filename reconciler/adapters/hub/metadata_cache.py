"""What the hub said before, kept in the user's cache folder so that it is not asked for again.

The files at a commit never change, so they are kept until there is no room; what a revision stands
for holds for a time. Only answers are kept, never failures. It only saves requests: what cannot be
read, or is damaged, is asked anew, and what cannot be written is not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.adapters.base.whole_file import read_whole
from reconciler.core.names import Commit
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.hub import RemoteFile

# The trees of several hundred repositories.
_MAX_BYTES: Final = 64 * 1024 * 1024


class MetadataCache:
    """Answers of hubs, one file each, in `folder`, which others may not read.

    `ttl_seconds` is how long a revision stands for its commit; 0 keeps none. `max_bytes` bounds the
    folder: what was used longest ago goes first. Safe to use from several threads and processes.
    """

    def __init__(
        self, folder: Path, *, ttl_seconds: float, clock: Clock, max_bytes: int = _MAX_BYTES
    ) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._max_bytes = max_bytes

    def find_commit(self, url: str, token: str | None, *, any_age: bool) -> Commit | None:
        """Give the commit that the hub named at `url`; with `any_age` however long ago."""
        body = self._read(url, token) if self._ttl_seconds else None
        if body is None:
            return None
        from reconciler.adapters.hub.answers import parse_commit

        try:
            commit, asked_at = parse_commit(body), float(json.loads(body)["asked_at"])
        except (ValueError, KeyError, TypeError):
            return None
        # One from the future tells of a clock that was wrong, so nothing is known of its age.
        age_seconds = self._now() - asked_at
        return commit if any_age or 0 <= age_seconds < self._ttl_seconds else None

    def keep_commit(self, url: str, token: str | None, commit: Commit) -> None:
        """Keep what the hub named at `url` just now."""
        if self._ttl_seconds:
            said = {"sha": commit, "asked_at": self._now()}
            self._write(url, token, json.dumps(said).encode())

    def find_files(self, url: str, token: str | None) -> tuple[RemoteFile, ...] | None:
        """Give the files of the tree at `url`, which names a commit."""
        body = self._read(url, token)
        if body is None:
            return None
        from reconciler.adapters.hub.answers import parse_page

        try:
            return parse_page(body)
        except ValueError:
            return None

    def keep_files(self, url: str, token: str | None, files: Sequence[RemoteFile]) -> None:
        """Keep the files of the whole tree at `url`, which names a commit."""
        self._write(url, token, json.dumps([_entry(file) for file in files]).encode())

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _path(self, url: str, token: str | None) -> Path:
        """Name the answer by the URL and by a digest of the token that was sent.

        What one token may see, another or none must not find here.
        """
        sent = hashlib.sha256(token.encode()).hexdigest() if token else ""
        return self._folder / hashlib.sha256(f"{sent} {url}".encode()).hexdigest()

    def _read(self, url: str, token: str | None) -> bytes | None:
        path = self._path(url, token)
        try:
            checksum, _, body = read_whole(path, most_bytes=self._max_bytes).partition(b"\n")
        except OSError:
            return None
        if checksum != _checksum(body):
            return None
        with suppress(OSError):
            os.utime(path)
        return body

    def _write(self, url: str, token: str | None, body: bytes) -> None:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_checksum(body) + b"\n" + body)
                Path(name).replace(self._path(url, token))
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._make_room()

    def _make_room(self) -> None:
        """Let go of what was used longest ago, what a killed process left behind included."""
        found = [(entry.stat(), entry.path) for entry in os.scandir(self._folder)]
        too_many_bytes = sum(status.st_size for status, _ in found) - self._max_bytes
        for status, path in sorted(found, key=lambda each: each[0].st_mtime_ns):
            if too_many_bytes <= 0:
                return
            Path(path).unlink(missing_ok=True)
            too_many_bytes -= status.st_size


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _entry(file: RemoteFile) -> dict[str, object]:
    """Say it as the hub does, so that it is read and checked as the hub's answers are."""
    entry: dict[str, object] = {"type": "file", "path": file.path, "size": file.size_bytes}
    if file.sha256 is not None:
        entry["lfs"] = {"oid": file.sha256, "size": file.size_bytes}
    return entry
