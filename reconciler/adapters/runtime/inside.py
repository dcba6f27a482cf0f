"""A look into a container: what its processes see of a path, which the host's view cannot tell.

The engine's own way to copy a file out mounts the container's folders anew for it. So it gives the
new file behind a single-file mount, where the process still has the old one, and it reads as root.
A command run inside sees what the process sees.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from reconciler.core.observed import Sight

if TYPE_CHECKING:
    from reconciler.adapters.runtime.selection import Selected

# A config of a thousand models has less than one megabyte.
_LARGEST_BYTES: Final = 1 << 26
# A command line holds some hundred thousand characters; a path at most four thousand.
_PATHS_AT_ONCE: Final = 100
# What the engine gives where the program is missing, or must not be run.
_CANNOT_RUN: Final = (126, 127)
_SIGHTS: Final = (
    'for path; do if [ -r "$path" ]; then echo readable; elif [ -e "$path" ]; then '
    "echo unreadable; else echo absent; fi; done"
)


def read_inside(container: Selected, path: str) -> bytes | None:
    """Give the bytes of the file at `path` as the container's processes see it.

    None where there is no such file, or it cannot be told. Where no command can be run inside, the
    engine's copy is taken, unless `path` itself is a mount, of which that copy may be another file.
    """
    code, output = _run(container, ["cat", "--", path])
    if code == 0:
        return output
    # Any other status is that of `cat` itself: it was there, and could not read the file.
    if code is not None or any(
        mount.get("Destination") == path for mount in container.attrs.get("Mounts") or ()
    ):
        return None
    return _copied(container, path)


def sights(container: Selected, paths: Sequence[str]) -> dict[str, Sight]:
    """Say how the container's user sees each path; nothing where no shell can be run inside."""
    found: dict[str, Sight] = {}
    for several in _groups(paths):
        code, output = _run(container, ["sh", "-c", _SIGHTS, "sh", *several])
        words = output.decode("ascii", "replace").split()
        if code != 0 or len(words) != len(several):
            return found
        found |= {path: Sight(word) for path, word in zip(several, words, strict=True)}
    return found


def _groups(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), _PATHS_AT_ONCE):
        yield paths[start : start + _PATHS_AT_ONCE]


def _run(container: Selected, command: list[str]) -> tuple[int | None, bytes]:
    """Run a command inside; gives its exit status and its output, and None where it cannot run."""
    import docker.errors

    try:
        made = container.api.exec_create(container.name, command, stderr=False)
        output = container.api.exec_start(made["Id"])
        code = container.api.exec_inspect(made["Id"])["ExitCode"]
    except docker.errors.APIError:
        # It does not run, or the engine (or what stands before it) does not let us.
        return None, b""
    if code is None or code in _CANNOT_RUN or not isinstance(output, bytes):
        return None, b""
    return code, output


def _copied(container: Selected, path: str) -> bytes | None:
    import docker.errors

    try:
        pieces, stat = container.api.get_archive(container.name, path)
        if (stat or {}).get("size", 0) > _LARGEST_BYTES:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isfile() else None
            return file.read() if file is not None else None
    except (docker.errors.APIError, tarfile.TarError):
        return None
