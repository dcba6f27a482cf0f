"""llama-swap's own HTTP interface, as far as we need it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from reconciler.adapters.llamaswap.client import Client
from reconciler.adapters.llamaswap.events import requests_in_flight
from reconciler.core.ports.serving import RunningModel
from reconciler.errors import ServerUnreachable

# What it tells on connecting comes at once; a version that tells nothing of requests stays silent.
_EVENTS_SECONDS = 2.0
# A model that does not end when it is asked to is killed by llama-swap after ten seconds.
_UNLOAD_SECONDS = 60.0
# llama-server's answer where its model makes vectors or ranks, and no text: it is loaded.
_OTHER_KIND_OF_MODEL = 501
_LONGEST_REASON = 200


class LlamaSwapServer:
    """llama-swap at one URL; implements the port `Server`.

    `api_key` is sent as a bearer token, to that URL alone. `timeout_seconds` bounds each wait for
    the server, and the whole of an answer's body.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = 5.0
    ) -> None:
        """Take the address; nothing is asked yet. Raises `UsageError` where it is no http URL."""
        self._client = Client(url, api_key=api_key, timeout_seconds=timeout_seconds)

    def is_healthy(self) -> bool:
        """Whether `/health` answers 200 now. Never raises: no answer is False."""
        try:
            status, _ = self._client.get("/health")
        except ServerUnreachable:
            return False
        return status == 200

    def model_ids(self) -> frozenset[str]:
        """Every ID that `/v1/models` lists, aliases left out. Raises `ServerUnreachable`.

        Where llama-swap lists aliases beside models (`includeAliasesInList`) they can be told apart
        since 2026 only; an older one's aliases are among the IDs.
        """
        return frozenset(
            entry["id"]
            for entry in self._models()
            if _llama_swap_meta(entry).get("type") != "alias"
        )

    def version(self) -> str | None:
        """What `/api/version` says; None where it does not say. Never raises."""
        try:
            answer = _json(*self._client.get("/api/version"))
        except ServerUnreachable:
            return None
        version = answer.get("version") if isinstance(answer, dict) else None
        return version if isinstance(version, str) and version else None

    def running(self) -> tuple[RunningModel, ...]:
        """Give the models that are loaded, or about to be. Raises `ServerUnreachable`."""
        return tuple(
            RunningModel(id=entry["model"], state=str(entry.get("state", "")))
            for entry in self._list("/running", "running")
            if isinstance(entry.get("model"), str)
        )

    def in_flight(self) -> Mapping[str, int] | None:
        """Count the requests that are being answered now, by model, as `/api/events` tells.

        None where it does not tell. Raises `ServerUnreachable`.
        """
        return requests_in_flight(
            self._client.stream("/api/events", timeout_seconds=_EVENTS_SECONDS)
        )

    def is_busy(self, model: str) -> bool | None:
        """Whether one of the model's slots is at work; None where its server does not say.

        Raises `ServerUnreachable`.
        """
        slots = _json(*self._client.get(f"/upstream/{_quoted(model)}/slots"))
        if not isinstance(slots, list):
            return None
        states = [slot.get("is_processing") for slot in slots if isinstance(slot, dict)]
        known = [state for state in states if isinstance(state, bool)]
        return any(known) if known else None

    def unload(self, model: str | None) -> None:
        """Stop one model, or all of them; one that it does not know is not loaded.

        Raises `ServerUnreachable`.
        """
        path = "/api/models/unload" + (f"/{_quoted(model)}" if model is not None else "")
        status, body = self._client.post(path, b"", timeout_seconds=_UNLOAD_SECONDS)
        if status == 401:
            raise self._client.refused_key()
        if status != 200 and (status != 404 or model is None):
            raise self._client.unreachable(f"{path}: {_reason(status, body)}")

    def probe(self, model: str, timeout_seconds: float) -> str:
        """Load a model and have it answer one token; gives why it did not. Never raises."""
        question = {
            "model": model,
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 1,
            "stream": False,
        }
        try:
            status, body = self._client.post(
                "/v1/chat/completions",
                json.dumps(question).encode(),
                timeout_seconds=timeout_seconds,
            )
        except ServerUnreachable as error:
            return error.message
        return "" if status in (200, _OTHER_KIND_OF_MODEL) else _reason(status, body)

    def load(self, model: str, timeout_seconds: float) -> str:
        """Load a model; gives why it did not come up. Never raises."""
        try:
            status, body = self._client.get(
                f"/upstream/{_quoted(model)}/health", timeout_seconds=timeout_seconds
            )
        except ServerUnreachable as error:
            return error.message
        # What the model's server itself says to this question is its own affair.
        return "" if status in (200, 404) else _reason(status, body)

    def _models(self) -> list[dict[str, Any]]:
        entries = self._list("/v1/models", "data")
        return [entry for entry in entries if isinstance(entry.get("id"), str)]

    def _list(self, path: str, key: str) -> list[dict[str, Any]]:
        """Give the objects in a list that an answer holds as `key`. Raises `ServerUnreachable`."""
        status, body = self._client.get(path)
        if status == 401:
            raise self._client.refused_key()
        answer = _json(status, body)
        entries = answer.get(key, 0) if isinstance(answer, dict) else 0
        entries = [] if entries is None else entries
        if not isinstance(entries, list):
            raise self._client.unreachable(f"{path} is no list of models (status {status})")
        return [entry for entry in entries if isinstance(entry, dict)]


def _json(status: int, body: bytes) -> Any:
    """Give what an answer says; None where it is no JSON, or no answer to what was asked."""
    try:
        return json.loads(body) if status == 200 else None
    except (ValueError, RecursionError):
        return None


def _quoted(model: str) -> str:
    """Write an ID in a path; llama-swap takes the slashes in it as they are."""
    return quote(model, safe="/")


def _reason(status: int, body: bytes) -> str:
    words = " ".join(body.decode(errors="replace").split())
    return f"status {status}" + (f": {words[:_LONGEST_REASON]}" if words else "")


def _llama_swap_meta(entry: dict[str, Any]) -> dict[str, Any]:
    """Give what llama-swap itself says of one listed model."""
    meta = entry.get("meta")
    meta = meta.get("llamaswap") if isinstance(meta, dict) else None
    return meta if isinstance(meta, dict) else {}
