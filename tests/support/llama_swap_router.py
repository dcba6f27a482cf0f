"""The stand-in's models: which commands run, and who waits for which.

One `Router` serves one loaded config. A reload makes a new one and shuts the old one down, as
llama-swap does.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tests.support.llama_swap_loader import Config, ConfigRefused, Model, split_command

START_SECONDS = 15.0
STOP_SECONDS = 5.0


class StartFailed(Exception):
    """A model's command ended, or never became healthy."""


def own_loopback() -> str:
    """Give an address of this machine that no other process uses for its models.

    Tests run side by side, and every stand-in counts its models' ports from the same number.
    """
    number = os.getpid()
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


class Upstream:
    """One model's running command."""

    def __init__(self, model: Model, log: Callable[[str], None]) -> None:
        self.model = model
        self.state = "starting"
        url = urlsplit(model.proxy)
        host = own_loopback() if model.takes_port else url.hostname or "127.0.0.1"
        self.address = (host, url.port or 80)
        self._log = log
        environment = {
            **os.environ,
            "LLAMA_ARG_HOST": host,
            **dict(item.split("=", 1) for item in model.env),
        }
        try:
            self._process = subprocess.Popen(
                split_command(model.cmd),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except (OSError, ConfigRefused, IndexError) as error:
            raise StartFailed(f"failed to start command {model.cmd!r}: {error}") from error
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def wait_ready(self) -> None:
        """Wait until the command answers its health check. Raises `StartFailed`."""
        deadline = time.monotonic() + START_SECONDS
        while self.model.check_endpoint != "none" and not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                code = self._process.returncode
                raise StartFailed(f"upstream command exited prematurely with status {code}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        self.state = "ready"

    def stop(self) -> None:
        """End the command: asked first, killed after a while."""
        self.state = "stopping"
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self.state = "stopped"

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(*self.address, timeout=1)
        try:
            connection.request("GET", self.model.check_endpoint)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _read_output(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as output:
            for line in output:
                self._log(f"[{self.model.id}] {line.rstrip()}")


class Router:
    """Starts, swaps and stops the models of one config."""

    def __init__(self, config: Config, log: Callable[[str], None]) -> None:
        self.config = config
        self._log = log
        self._upstreams: dict[str, Upstream] = {}
        self._in_flight: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._starting = threading.Lock()

    def upstreams(self) -> list[Upstream]:
        """Give everything that is not stopped."""
        return [up for up in list(self._upstreams.values()) if up.state != "stopped"]

    def in_flight(self) -> list[str]:
        """Give the model of every request that is being answered."""
        with self._changed:
            return list(self._in_flight.elements())

    @contextlib.contextmanager
    def request(self, model: Model) -> Iterator[Upstream]:
        """Hold `model` ready while one request runs. Raises `StartFailed`."""
        with self._changed:
            self._in_flight[model.id] += 1
        try:
            yield self._ready(model)
        finally:
            with self._changed:
                self._in_flight[model.id] -= 1
                self._changed.notify_all()

    def unload(self, model_id: str | None = None) -> None:
        """Stop one model, or all."""
        for upstream in self.upstreams():
            if model_id in (None, upstream.model.id):
                upstream.stop()
                self._upstreams.pop(upstream.model.id, None)

    def wait_idle(self, seconds: float) -> None:
        """Wait until no request runs, or `seconds` are over."""
        with self._changed:
            self._changed.wait_for(lambda: not list(self._in_flight.elements()), seconds)

    def preload(self) -> None:
        """Start what the config wants started at once."""
        for name in self.config.preload:
            model = self.config.resolve(name)
            if model is None:
                continue
            try:
                self._ready(model)
            except StartFailed as error:
                self._log(f"preload of {name} failed: {error}")

    def _ready(self, model: Model) -> Upstream:
        with self._starting:
            upstream = self._upstreams.get(model.id)
            if upstream is not None and upstream.state == "ready":
                return upstream
            for other in self.upstreams():
                if not self._run_together(other.model.id, model.id):
                    self.unload(other.model.id)
            self._log(f"starting {model.id}: {model.cmd}")
            upstream = Upstream(model, self._log)
            self._upstreams[model.id] = upstream
            upstream.wait_ready()
            return upstream

    def _run_together(self, first: str, second: str) -> bool:
        return any(
            group.get("swap") is False and {first, second} <= set(group.get("members") or ())
            for group in self.config.groups.values()
        )
