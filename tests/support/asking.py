"""A client of llama-swap whose answer takes its time, as those do that a reload must not cut."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# How a config on this machine starts the stand-in for llama-server.
LLAMA_SERVER = f"{sys.executable} {Path(__file__).with_name('llama_server.py')}"


@dataclass
class LongAnswer:
    """One streamed answer. `begun` is set with its first bytes, `ended` however it ends."""

    url: str
    model: str
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    text: bytes = b""

    @property
    def is_whole(self) -> bool:
        """Whether the answer came to its own end."""
        return self.text.endswith(b"data: [DONE]\n\n")

    def finish(self) -> None:
        """Have the model come to its end now; no harm where it has."""
        if self.ended.is_set():
            return
        with contextlib.suppress(OSError, http.client.HTTPException), _connected(self.url) as to:
            to.request("POST", f"/upstream/{self.model}/finish", body=b"")
            to.getresponse().read()


@contextlib.contextmanager
def asking(url: str, model: str) -> Iterator[LongAnswer]:
    """Have `model` answer beside the block, until somebody finishes it; at the latest its end does.

    The block begins with the answer under way.
    """
    answer = LongAnswer(url=url, model=model)
    thread = threading.Thread(target=_ask, args=(answer,))
    thread.start()
    try:
        assert answer.begun.wait(30), "the model does not answer"
        yield answer
    finally:
        answer.finish()
        thread.join(90)


def _ask(answer: LongAnswer) -> None:
    question = {"model": answer.model, "messages": [], "stream": True, "max_tokens": 600}
    try:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            _connected(answer.url) as connection,
        ):
            connection.request("POST", "/v1/chat/completions", body=json.dumps(question))
            with connection.getresponse() as stream:
                while chunk := stream.read1(4096):
                    answer.text += chunk
                    answer.begun.set()
    finally:
        answer.ended.set()


def _connected(url: str) -> contextlib.closing[http.client.HTTPConnection]:
    parts = urlsplit(url)
    to = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    return contextlib.closing(to)
