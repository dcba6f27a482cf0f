"""The stand-in's HTTP interface: what llama-swap answers, in either of its versions."""

from __future__ import annotations

import contextlib
import http.client
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tests.support.llama_swap_loader import Model
from tests.support.llama_swap_router import StartFailed

if TYPE_CHECKING:
    from tests.support.llama_swap import StandIn


class Server(ThreadingHTTPServer):
    """Answers for one stand-in."""

    daemon_threads = True
    # A server that ends must not wait for a client that reads slowly.
    block_on_close = False

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        super().__init__(address, Handler)
        self.stand_in = stand_in


def make_server(address: tuple[str, int], stand_in: StandIn) -> Server:
    """Bind `address`; the caller lets it serve."""
    return Server(address, stand_in)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        """Serve what can be asked."""
        if not self._may_go_on():
            return
        path = unquote(urlsplit(self.path).path)
        stand_in = self.server.stand_in
        if path == "/v1/models":
            self._json({"object": "list", "data": self._models()})
        elif path == "/running":
            self._json({"running": self._running()})
        elif path == "/unload":
            stand_in.router.unload()
            self._text(200, "OK")
        elif path == "/api/version":
            self._json({"version": stand_in.version, "commit": "stand-in", "build_date": ""})
        elif path == "/api/events":
            self._events()
        elif path == "/logs":
            self._text(200, "\n".join(stand_in.lines) + "\n")
        elif path.startswith("/upstream/"):
            self._upstream(path.removeprefix("/upstream/"))
        else:
            self._text(404, "not found")

    def do_POST(self) -> None:
        """Serve what does something."""
        if not self._may_go_on():
            return
        path = unquote(urlsplit(self.path).path)
        router = self.server.stand_in.router
        if path == "/v1/chat/completions":
            self._complete(path)
        elif path == "/api/models/unload":
            router.unload()
            self._json({"msg": "ok"})
        elif path.startswith("/api/models/unload/"):
            model = router.config.resolve(path.removeprefix("/api/models/unload/"))
            if model is None:
                self._text(404, "model not found")
                return
            router.unload(model.id)
            self._text(200, "OK")
        elif path.startswith("/upstream/"):
            self._upstream(path.removeprefix("/upstream/"))
        else:
            self._text(404, "not found")

    def _may_go_on(self) -> bool:
        """Answer `/health`, a hung server and a missing key; whether something else was asked."""
        stand_in = self.server.stand_in
        if stand_in.fault == "hang_at_start":
            stand_in.stopping.wait()
            return False
        if self.path == "/health":
            unhealthy = stand_in.fault == "unhealthy"
            self._text(503 if unhealthy else 200, "unhealthy" if unhealthy else "OK")
            return False
        keys = stand_in.router.config.api_keys
        offered = self.headers.get("x-api-key") or ""
        if bearer := self.headers.get("Authorization"):
            offered = bearer.removeprefix("Bearer ")
        if keys and offered not in keys:
            self._text(401, "unauthorized: invalid or missing API key")
            return False
        return True

    def _models(self) -> list[dict[str, Any]]:
        config = self.server.stand_in.router.config
        entries = []
        for model in config.models.values():
            if model.unlisted:
                continue
            entries.append(self._entry(model.id, model, {"type": "model"}))
            if config.list_aliases:
                kind = {"type": "alias", "modelID": model.id}
                entries += [self._entry(alias, model, kind) for alias in model.aliases]
        return sorted(entries, key=lambda entry: str(entry["id"]))

    def _entry(self, name: str, model: Model, kind: dict[str, Any]) -> dict[str, Any]:
        entry: dict[str, Any] = {"id": name, "object": "model", "owned_by": "llama-swap"}
        meta = dict(model.metadata)
        if self.server.stand_in.behave == "2026":
            running = {up.model.id for up in self.server.stand_in.router.upstreams()}
            entry["status"] = {"value": "loaded" if model.id in running else "unloaded"}
            meta |= kind
            if model.aliases and kind["type"] == "model":
                meta["aliases"] = list(model.aliases)
        if meta:
            entry["meta"] = {"llamaswap": meta}
        for key, text in (("name", model.name), ("description", model.description)):
            if text.strip():
                entry[key] = text.strip()
        return entry

    def _running(self) -> list[dict[str, Any]]:
        stand_in = self.server.stand_in
        upstreams = stand_in.router.upstreams()
        if stand_in.behave == "2025":
            return [
                {"model": up.model.id, "state": up.state} for up in upstreams if up.state == "ready"
            ]
        return [
            {
                "model": up.model.id,
                "state": up.state,
                "cmd": up.model.cmd,
                "proxy": up.model.proxy,
                "ttl": up.model.ttl,
            }
            for up in upstreams
        ]

    def _events(self) -> None:
        """Tell the logs, the models and (2026) what is in flight; then hold the line."""
        stand_in = self.server.stand_in
        log = {"source": "proxy", "data": "\n".join(stand_in.lines)}
        events = [
            {"type": "logData", "data": json.dumps(log)},
            {"type": "modelStatus", "data": json.dumps(self._models())},
        ]
        if stand_in.behave == "2026":
            snapshot: dict[str, Any] = {"operation": "snapshot"}
            if busy := stand_in.router.in_flight():
                snapshot["requests"] = [
                    {"id": str(n), "model": name} for n, name in enumerate(busy, 1)
                ]
            events.append({"type": "inflight", "data": json.dumps(snapshot)})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            for event in events:
                self.wfile.write(f"event:message\ndata:{json.dumps(event)}\n\n".encode())
            while not stand_in.stopping.wait(1):
                self.wfile.write(b": still here\n\n")

    def _complete(self, path: str) -> None:
        body = self._body()
        try:
            request = json.loads(body)
            name = str(request["model"])
        except (ValueError, TypeError, KeyError):
            self._text(400, "could not extract model from request")
            return
        model = self.server.stand_in.router.config.resolve(name)
        if model is None:
            self._text(404, f"could not find suitable handler for {name}")
            return
        self._forward(model, path, body)

    def _upstream(self, rest: str) -> None:
        """Pass a request on; an ID may hold slashes, so the longest known prefix is the model."""
        parts = rest.split("/")
        for length in range(len(parts), 0, -1):
            model = self.server.stand_in.router.config.resolve("/".join(parts[:length]))
            if model is not None:
                self._forward(model, "/" + "/".join(parts[length:]), self._body())
                return
        self._text(404, "model not found")

    def _forward(self, model: Model, path: str, body: bytes) -> None:
        try:
            with self.server.stand_in.router.request(model) as upstream:
                connection = http.client.HTTPConnection(*upstream.address, timeout=60)
                try:
                    connection.request(self.command, path, body=body or None)
                    self._copy(connection.getresponse())
                finally:
                    connection.close()
        except StartFailed as error:
            self._text(502, str(error))
        except (OSError, http.client.HTTPException) as error:
            # What was sent cannot be taken back: the client sees its answer end early.
            self.server.stand_in.note(f"{model.id}: answer cut: {error}")

    def _copy(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Length"):
            if value := answer.getheader(name):
                self.send_header(name, value)
        self.end_headers()
        while chunk := answer.read1(65536):
            self.wfile.write(chunk)
            self.wfile.flush()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, body: Any) -> None:
        self._send(200, "application/json", json.dumps(body).encode())

    def _text(self, status: int, text: str) -> None:
        self._send(status, "text/plain", text.encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep requests for `/logs`."""
        self.server.stand_in.note(format % args)
