"""A glance at a container: whether the engine tells of it what it told before.

It asks the engine's socket by hand, for the `docker` package takes longer to import than a whole
plan that is remembered. Nothing is understood of the answer; what it means is the package's matter.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SECONDS = 2
_LARGEST_BYTES = 1 << 24
ABSENT = "there is no such container"


def glance(engine: str, container: str) -> tuple[str, list[str]]:
    """Give a digest of all that the engine tells of the container, and the folders it mounts.

    `engine` is the path of its socket. The digest is `ABSENT` where there is no such container.
    How healthy a container is does not count, for that is told with the time of day.

    Raises:
        OSError, ValueError, TypeError: the engine does not answer, or not as one does.
    """
    if not _NAME.fullmatch(container):
        raise ValueError(container)
    status, body = _ask(engine, f"/containers/{container}/json")
    if status == b"404":
        return ABSENT, []
    if status != b"200":
        raise ValueError(status)
    told = json.loads(body)
    told.get("State", {}).pop("Health", None)
    # Docker lists mounts in another order at every look.
    mounts = told["Mounts"] = sorted(told.get("Mounts") or (), key=_in_order)
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return digest, [str(mount.get("Source") or "") for mount in mounts]


def _ask(engine: str, path: str) -> tuple[bytes, bytes]:
    """Give the status and the body of the answer, which ends with the connection."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_SECONDS)
        asking.connect(engine)
        asking.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b""
        while piece := asking.recv(1 << 16):
            answer += piece
            if len(answer) > _LARGEST_BYTES:
                raise ValueError("too long an answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b" ")[1] if head.startswith(b"HTTP/1.") else b"", body


def _in_order(mount: object) -> str:
    return json.dumps(mount, sort_keys=True)
