"""A glance at a container tells whether the engine still says the same of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from copy import deepcopy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from reconciler.adapters.runtime.glance import ABSENT, glance
from reconciler.cli.engine_glance import EngineGlance, glance_at_engine
from reconciler.cli.settings import Settings

RUNNING: dict[str, Any] = {
    "Id": "abc",
    "State": {"Status": "running", "Pid": 7, "Health": {"Log": ["10:00"]}},
    "Mounts": [
        {"Source": "/srv/models", "Destination": "/models"},
        {"Source": "/srv/swap", "Destination": "/app/config"},
    ],
}


class Engine(ThreadingUnixStreamServer):
    """A container engine with one container, as far as a glance goes."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.body = json.dumps(RUNNING).encode()
        self.asked: list[str] = []
        super().__init__(str(path), _Answer)

    def tell(self, told: dict[str, Any]) -> None:
        """Tell something else from now on."""
        self.body = json.dumps(told).encode()


class _Answer(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        """Answer as the engine does."""
        self.server.asked.append(self.path)
        there = self.path == "/containers/llama-swap/json"
        self.send_response(200 if there else 404)
        self.end_headers()
        self.wfile.write(self.server.body if there else b'{"message": "No such container"}')

    def address_string(self) -> str:
        """A socket has no address."""
        return "here"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its own name
        """Nobody reads it."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A running engine."""
    with Engine(tmp_path / "engine.sock") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_same_container_looks_the_same(engine: Engine) -> None:
    """Neither the order of mounts nor the log of health checks makes it another one."""
    first, mounted = glance(str(engine.path), "llama-swap")
    told = deepcopy(RUNNING)
    told["State"]["Health"] = {"Log": ["10:30"]}
    told["Mounts"].reverse()
    engine.tell(told)
    assert glance(str(engine.path), "llama-swap") == (first, mounted)
    assert set(mounted) == {"/srv/swap", "/srv/models"}


@pytest.mark.parametrize(("part", "key", "value"), [
    ("State", "Status", "exited"),
    ("State", "Pid", 8),
    (None, "Id", "abd"),
    (None, "Mounts", []),
    (None, "Args", ["-listen", ":9"]),
])  # fmt: skip
def test_whatever_changes_of_it_shows(
    engine: Engine, part: str | None, key: str, value: object
) -> None:
    """A container that was stopped, started, made anew or mounted elsewhere looks another."""
    first, _ = glance(str(engine.path), "llama-swap")
    told = deepcopy(RUNNING)
    (told[part] if part else told)[key] = value
    engine.tell(told)
    assert glance(str(engine.path), "llama-swap")[0] != first


def test_container_that_is_not_there_is_told(engine: Engine) -> None:
    """That there is none is an answer as well."""
    assert glance(str(engine.path), "other") == (ABSENT, [])


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b'{"Mounts": 7}', b'{"State": null}', b"{["])
def test_nonsense_is_no_answer(engine: Engine, body: bytes) -> None:
    """What no engine says is an error that callers expect."""
    engine.body = body
    with pytest.raises((OSError, ValueError, TypeError, AttributeError)):
        glance(str(engine.path), "llama-swap")


def test_name_of_a_container_is_never_a_path(engine: Engine) -> None:
    """A name that could ask the engine for something else is refused before anything is asked."""
    for name in ("../images", "a/json HTTP/1.1", "", "-x", "a\r\nb"):
        with pytest.raises(ValueError, match=r".*"):
            glance(str(engine.path), name)
    assert not engine.asked


def looked(home: Path, runtime: str | None, **environment: str) -> EngineGlance | None:
    """Look at the engine as a plan does."""
    return glance_at_engine(
        Settings(runtime=runtime, environment={"HOME": str(home), **environment})
    )


def test_engine_is_looked_at_only_where_it_may_matter(engine: Engine, tmp_path: Path) -> None:
    """With `--runtime none` nobody is asked; else the engine's socket is, wherever it was found,
    and where there is none, that is remembered too.
    """
    here = f"unix://{engine.path}"
    assert looked(tmp_path, "none", DOCKER_HOST=here) == EngineGlance()
    assert not engine.asked
    found = looked(tmp_path, None, DOCKER_HOST=here)
    assert found is not None
    assert found.told is not None
    assert found.told[:2] == (str(engine.path), "llama-swap")
    assert found.found_by == (tmp_path / ".docker" / "config.json",)
    gone = looked(tmp_path, None, DOCKER_HOST=f"unix://{tmp_path}/gone")
    assert gone == EngineGlance(found_by=(tmp_path / ".docker" / "config.json", tmp_path / "gone"))
    assert looked(tmp_path, None, DOCKER_HOST="tcp://127.0.0.1:1") is None
    (tmp_path / "dead").touch()
    assert looked(tmp_path, "docker", DOCKER_HOST=f"unix://{tmp_path}/dead") is None
