"""The pages: a small WSGI application that answers GET and HEAD, and nothing else."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from reconciler.adapters.base.urls import is_loopback

_TEXT: Final = "text/plain; charset=utf-8"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SAFEGUARDS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FRESH: Final = {"Cache-Control": "no-store"}
# Below this the headers weigh as much.
_WORTH_PACKING_BYTES: Final = 4096


class Shown(Protocol):
    """What there is to show. Called from several threads; never raises."""

    def status(self) -> bytes:
        """All of it, as one JSON object."""

    def health(self) -> tuple[bool, str]:
        """Whether the watch lives, and why it is thought so."""

    def readiness(self) -> tuple[bool, str]:
        """Whether what is declared was applied, and why it is thought so."""

    def metrics(self) -> bytes:
        """The numbers, in Prometheus' text format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: str
    kind: str
    body: bytes
    more: Mapping[str, str]


class WebApp:
    """Answers requests. With `local=True` only those that name this machine, or `host`, as theirs.

    A page of somebody else that has its name lead to this machine could read everything else.
    """

    def __init__(self, shown: Shown, *, host: str, local: bool) -> None:
        self._host = host.lower()
        self._local = local
        # Kept, so that an upgrade under a running watch does not mix two versions of the page.
        self._files = {name: _file(path) for name, path in _static_paths()}
        self._pages: dict[str, Callable[[], _Answer]] = {
            "/api/status": lambda: _data(_JSON, shown.status()),
            "/metrics": lambda: _data(_METRICS, shown.metrics()),
            "/healthz": lambda: _verdict(*shown.health()),
            "/readyz": lambda: _verdict(*shown.readiness()),
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Answer one request, as WSGI has it."""
        answer = self._answer(environ)
        body, more = answer.body, {**SAFEGUARDS, **answer.more}
        if len(body) >= _WORTH_PACKING_BYTES and "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            more["Content-Encoding"] = "gzip"
        more["Vary"] = "Accept-Encoding"
        if not answer.status.startswith("304"):
            more |= {"Content-Type": answer.kind, "Content-Length": str(len(body))}
        start_response(answer.status, list(more.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: Mapping[str, Any]) -> _Answer:
        if not self._is_meant(environ.get("HTTP_HOST", "")):
            return _plain("421 Misdirected Request", _MISDIRECTED)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            words = "there is nothing to be done here, only to be seen"
            return _plain("405 Method Not Allowed", words, Allow="GET, HEAD")
        path = environ["PATH_INFO"]
        if path in self._pages:
            return self._pages[path]()
        file = self._files.get(path)
        if file is None:
            return _plain("404 Not Found", "there is no such page; the status page is /")
        if environ.get("HTTP_IF_NONE_MATCH") == file.more["ETag"]:
            return replace(file, status="304 Not Modified", body=b"")
        return file

    def _is_meant(self, named: str) -> bool:
        """Whether the host that a browser was led by is ours; who names none is no browser."""
        if not self._local or not named:
            return True
        host, colon, port = named.rpartition(":")
        host = (host if colon and port.isdecimal() else named).strip("[]").lower()
        return host == self._host or is_loopback(host)


_MISDIRECTED: Final = (
    "this page is for this machine alone, and the address that led here names another; "
    "open it as localhost, have the proxy before it send `Host: localhost`, "
    "or listen on another address"
)


def _data(kind: str, body: bytes) -> _Answer:
    return _Answer(status="200 OK", kind=kind, body=body, more=_FRESH)


def _plain(status: str, words: str, **more: str) -> _Answer:
    return _Answer(status=status, kind=_TEXT, body=f"{words}\n".encode(), more=_FRESH | more)


def _verdict(good: bool, words: str) -> _Answer:
    return _plain("200 OK" if good else "503 Service Unavailable", words)


def _static_paths() -> Iterable[tuple[str, Path]]:
    """Give the address and the place of each file of the page."""
    for path in sorted(Path(__file__).with_name("static").iterdir()):
        if path.suffix in _TYPES:
            yield "/" if path.name == "index.html" else f"/static/{path.name}", path


def _file(path: Path) -> _Answer:
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    more = {"Cache-Control": "no-cache", "ETag": tag}
    return _Answer(status="200 OK", kind=_TYPES[path.suffix], body=body, more=more)
