"""What a plan with nothing to do has printed, kept with everything that decided it.

A plan is a pure function of what was looked at. Where all of that is as it was, it need not be made
again: a few texts are read, and every file of the models is looked at as a plan would. This module
imports next to nothing, and so is a plan that ends here over before the rest could be imported.

An answer is kept only where nothing was to be done, and only by a pass of which everything that it
asked is known (`reconciler/cli/witness.py`). Whatever is not as it should be, in the cache or out
of it, leads the whole way; a wrong guess costs time, and no more.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import time

from reconciler import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMAT = 1
# Each terminal, and each timer, has an environment of its own, and so an answer of its own.
_KEPT = 8
_LARGEST_BYTES = 1 << 26
# A file changed twice within one tick of its filesystem's clock has one time for both. What was
# changed that shortly before we began may be changed again unseen, so nothing is kept then.
_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000
# Names that shells and service managers change at each call, and that no part of us reads.
_NOISE = frozenset(
    {"_", "OLDPWD", "SHLVL", "INVOCATION_ID", "JOURNAL_STREAM", "MEMORY_PRESSURE_WATCH"}
    | {"MEMORY_PRESSURE_WRITE", "SYSTEMD_EXEC_PID"}
)
_FREE = '"disk_left_bytes": '
_NOTHING_KEPT = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)

Seen = list[int] | None
Looked = tuple[int, int, int, int, int] | None


class PlanMemory:
    """The kept answer of one call: the same words, in the same place, seen in the same way."""

    def __init__(self, arguments: list[str]) -> None:
        """Take the command line as it was given. Make it first: what it keeps must be older."""
        self._began_ns = time.time_ns()
        self._folder = _folder()
        self._path = os.path.join(self._folder, f"{_question(arguments)}.json")

    def recall(self) -> str | None:
        """Give what was printed, if the whole way would print it again; else None."""
        try:
            kept = _read_kept(self._folder, self._path)
            if any(_seen(path) != seen for path, seen in kept["files"].items()):
                return None
            if any(_digest(path) != digest for path, digest in kept["texts"].items()):
                return None
            if any(os.path.realpath(path) != real for path, real in kept["links"].items()):
                return None
            if kept["engine"] is not None and not _tells_the_same(*kept["engine"]):
                return None
            disk = os.statvfs(kept["models_dir"])
            if disk.f_flag != kept["mounted"]:
                return None
            before, after = kept["answer"]
            free_bytes = disk.f_bavail * disk.f_frsize if kept["tells_room"] else ""
            answer = f"{before}{free_bytes}{after}"
        except _NOTHING_KEPT:
            return None
        return str(answer)

    def keep(
        self,
        answer: str,
        *,
        texts: dict[str, bytes],
        files: dict[str, Looked],
        others: list[str],
        links: list[str],
        engine: tuple[str, str, str] | None,
        models_dir: str,
        tells_room: bool,
    ) -> None:
        """Keep what was printed, with all that it was decided on. Never raises.

        `texts` are the bytes of files that were read, `files` what was seen of those looked at, by
        path: device, inode, links, size in bytes and time of writing in nanoseconds; None where no
        file was. `others` matter too, there or not, and of `links` where they lead. `engine` is
        the socket to ask, for which container, and the digest of what it told; None where none is
        asked. `models_dir` matters by how it is mounted, and with `tells_room` the answer is JSON
        that tells the free bytes there.
        """
        try:
            kept = self._inputs(texts, files, others)
            if kept is None:
                return
            before, mark, after = answer.partition(_FREE) if tells_room else (answer, "", "")
            kept |= {
                "links": {path: os.path.realpath(path) for path in links},
                "engine": engine,
                "models_dir": models_dir,
                "mounted": os.statvfs(models_dir).f_flag,
                "tells_room": bool(mark),
                "answer": [before + mark, after.lstrip("0123456789")],
            }
            body = json.dumps(kept, separators=(",", ":")).encode()
            _write_kept(self._folder, self._path, body)
        except _NOTHING_KEPT:
            # It only saves time.
            return

    def _inputs(
        self, texts: dict[str, bytes], files: dict[str, Looked], others: list[str]
    ) -> dict[str, Any] | None:
        """Look at all of them; None where one is not what the pass saw, or may not stay so."""
        # The code that decided is one of its inputs.
        code = [file for module in list(sys.modules.values()) if (file := _file_of(module))]
        now = {path: _seen(path) for path in (*files, *texts, *others, *code)}
        if any(_looked(now[path]) != seen for path, seen in files.items()):
            return None
        if any(seen and not self._is_settled(seen[-1]) for seen in now.values()):
            return None
        if any(now[path] is None for path in (*texts, *code)):
            return None
        return {
            "files": {path: seen for path, seen in now.items() if path not in texts},
            "texts": {path: _named(path, data) for path, data in texts.items()},
        }

    def _is_settled(self, changed_ns: int) -> bool:
        tick_ns = _TICK_NS if changed_ns % _SECOND_NS else _COARSE_TICK_NS
        return self._began_ns - changed_ns > tick_ns


def _question(arguments: list[str]) -> str:
    """Name the call: all that tells it from another, but for what lies on disk."""
    shown = sys.stdout.isatty()
    asked = [
        _FORMAT,
        __version__,
        __file__,
        sys.version,
        arguments,
        os.getcwd(),
        sorted(item for item in os.environ.items() if item[0] not in _NOISE),
        os.geteuid(),
        [shown, os.get_terminal_size(sys.stdout.fileno()).columns if shown else 0],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _folder() -> str:
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = base if base.startswith("/") else os.path.expanduser("~/.cache")
    return f"{root}/reconciler/plans"


def _seen(path: str) -> Seen:
    """Give all that tells whether a file is still the same; its time of change comes last."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    ]


def _looked(seen: Seen) -> Looked:
    """Give the part of it that a pass looks at, None where there is no regular file."""
    if seen is None or not stat.S_ISREG(seen[2]):
        return None
    return seen[0], seen[1], seen[3], seen[6], seen[7]


def _digest(path: str) -> list[str] | None:
    # Reading a pipe would take from the whole way what it is to read, and none is so large.
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_BYTES:
        return None
    with open(path, "rb") as reading:
        return _named(path, reading.read(_LARGEST_BYTES))


def _named(path: str, data: bytes) -> list[str]:
    """Tell a text by its bytes and by where it really lies: paths in it may count from there."""
    return [os.path.realpath(path), hashlib.sha256(data).hexdigest()]


def _tells_the_same(engine: str, container: str, digest: str) -> bool:
    from reconciler.adapters.runtime.glance import glance

    return glance(engine, container)[0] == digest


def _file_of(module: object) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def _read_kept(folder: str, path: str) -> dict[str, Any]:
    """Give what was kept. Raises ValueError where somebody else may have put it there."""
    _refuse_others(os.lstat(folder), stat.S_IFDIR)
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb") as reading:
        found = os.fstat(handle)
        _refuse_others(found, stat.S_IFREG)
        if found.st_size > _LARGEST_BYTES:
            raise ValueError(path)
        digest, _, body = reading.read(_LARGEST_BYTES).partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(path)
    kept = json.loads(body)
    if not isinstance(kept, dict):
        raise TypeError(path)
    return kept


def _write_kept(folder: str, path: str, body: bytes) -> None:
    if len(body) >= _LARGEST_BYTES:
        return
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    if not os.path.lexists(folder):
        os.mkdir(folder, 0o700)
    _refuse_others(os.lstat(folder), stat.S_IFDIR)
    new = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(new, flags, 0o600)
    try:
        with open(handle, "wb") as writing:
            writing.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise
    with os.scandir(folder) as found:
        kept = sorted(found, key=lambda item: item.stat().st_mtime_ns)
    for item in kept[:-_KEPT]:
        os.unlink(item.path)


def _refuse_others(found: os.stat_result, kind: int) -> None:
    """Let nobody else's words be ours. Raises ValueError."""
    ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    if not ours or stat.S_IFMT(found.st_mode) != kind:
        raise ValueError("not ours alone")
