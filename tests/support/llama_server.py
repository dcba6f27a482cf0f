#!/usr/bin/env python3
"""A llama-server as far as llama-swap and its clients see it, without any model in it.

It opens the files it is told to serve as the real one would: a file that is missing, that is no
GGUF, or a split model with a shard missing ends it with status 1. Then it answers `/health`,
`/slots` and `/v1/chat/completions`; a streamed answer takes `max_tokens` steps of 0.1 s, or ends
when somebody posts to `/finish`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL_FLAGS = ("-m", "--model", "--mmproj", "-md", "--model-draft", "--lora")
SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def say(line: str) -> None:
    """Write a line where llama-swap reads it, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def files_to_open(arguments: list[str]) -> list[Path]:
    """Give every file the command line names, all shards of a split model included."""
    files = []
    for flag, value in itertools.pairwise(arguments):
        if flag not in MODEL_FLAGS:
            continue
        files.append(Path(value))
        if shard := SHARD.search(value):
            stem = value[: shard.start()]
            total = int(shard.group(2))
            files += [Path(f"{stem}-{n:05}-of-{total:05}.gguf") for n in range(2, total + 1)]
    return files


class Handler(BaseHTTPRequestHandler):
    """Answers as llama-server does."""

    model = ""
    busy = 0
    finishing = threading.Event()

    def do_GET(self) -> None:
        """Serve what is asked about the server."""
        if self.path == "/health":
            self._answer({"status": "ok"})
        elif self.path == "/slots":
            self._answer([{"id": 0, "is_processing": Handler.busy > 0}])
        elif self.path == "/props":
            self._answer({"model_path": Handler.model})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Complete a chat."""
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/finish":
            Handler.finishing.set()
            self._answer({})
            return
        if self.path != "/v1/chat/completions":
            self.send_error(404)
            return
        if not request.get("stream"):
            message = {"role": "assistant", "content": f"served from {Handler.model}"}
            self._answer({"choices": [{"index": 0, "message": message}]})
            return
        Handler.busy += 1
        Handler.finishing.clear()
        try:
            self._stream(int(request.get("max_tokens", 5)))
        finally:
            Handler.busy -= 1

    def _stream(self, steps: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for step in range(steps):
            chunk = {"choices": [{"index": 0, "delta": {"content": f"{step} "}}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()
            if Handler.finishing.wait(0.1):
                break
        self.wfile.write(b"data: [DONE]\n\n")

    def _answer(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""


def main(arguments: list[str]) -> int:
    """Open the files, then serve until killed."""
    if "--port" not in arguments:
        say("error: --port is missing")
        return 1
    port = int(arguments[arguments.index("--port") + 1])
    files = files_to_open(arguments)
    for path in files:
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            say(f"error: failed to load model: {error}")
            return 1
        if magic != b"GGUF":
            say(f"error: failed to load model: {path} is no GGUF file")
            return 1
    Handler.model = str(files[0]) if files else ""
    host = os.environ.get("LLAMA_ARG_HOST", "127.0.0.1")
    with ThreadingHTTPServer((host, port), Handler) as server:
        say(f"server is listening on http://{host}:{port}")
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
