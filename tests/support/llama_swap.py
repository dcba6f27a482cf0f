#!/usr/bin/env python3
"""A stand-in for llama-swap: its flags, its loader's refusals, its signals and its HTTP interface.

    llama_swap.py --config PATH [-config-dir PATH] [--listen :8080] [-watch-config]
                  [--behave 2025|2026]

Needs the standard library and pure-Python ruamel.yaml alone, so that it runs in a container with
nothing but Python in it. Faults can be ordered, by a macro named `test-fault` in the config (so
that a changed config brings the fault) or by the variable `LLAMA_SWAP_FAULT`:

- `crash_at_start`: ends with status 1 after the config was read, at the start or on a reload
- `hang_at_start`: runs, but never answers
- `unhealthy`: `/health` answers 503
- `refused`: the config is refused, at the start or on a reload

`LLAMA_SWAP_STOP_SECONDS` is how long a reload takes to be rid of the old models. A hangup signal,
or a change of a watched config, that comes in that time is lost, as it is in llama-swap.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":
    # A Go program dies of these from its first moment on. The first process of a container in
    # Python would not notice them until it has a handler, and all the imports below take time.
    for early in (signal.SIGTERM, signal.SIGINT):
        signal.signal(early, lambda *_: os._exit(2))

import argparse
import contextlib
import queue
import sys
import threading
from pathlib import Path

from tests.support.llama_swap_http import make_server
from tests.support.llama_swap_loader import BEHAVIOURS, Config, ConfigRefused, load_sources
from tests.support.llama_swap_merge import files_of
from tests.support.llama_swap_router import Router

DRAIN_SECONDS = 30.0
# How often each version looks at the config, and how long 2025 waits for further events.
WATCH_SECONDS = {"2025": 0.2, "2026": 2.0}
DEBOUNCE_SECONDS = {"2025": 1.0, "2026": 0.0}


def say(line: str) -> None:
    """Write a line where `docker logs` finds it, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class StandIn:
    """One running llama-swap."""

    def __init__(self, *, config: Path | None, config_dir: Path | None, behave: str) -> None:
        self.behave = behave
        self.version = {"2025": "173", "2026": "250"}[behave]
        self.lines: list[str] = []
        self.stopping = threading.Event()
        self._reloading = threading.Lock()
        self._config, self._config_dir = config, config_dir
        self.router = Router(self._load(), self.note)
        self.fault = self._fault_of(self.router.config)

    def log(self, line: str) -> None:
        """Log a line of llama-swap's own."""
        self.note(line)
        say(line)

    def note(self, line: str) -> None:
        """Keep a line for `/logs` alone, as llama-swap does with its models' output."""
        self.lines.append(line)
        del self.lines[:-1000]

    def reload(self) -> None:
        """Take the config as it is now; keep the old one where it is refused, in either's words."""
        if not self._reloading.acquire(blocking=False):
            return
        try:
            self._reload_2025() if self.behave == "2025" else self._reload_2026()
        finally:
            self._reloading.release()

    def _reload_2025(self) -> None:
        """Be rid of the old models first; meanwhile nothing is served."""
        try:
            config = self._load()
        except (ConfigRefused, OSError) as error:
            self.log(f"Warning, unable to reload configuration: {error}")
            return
        self.log("Configuration Changed")
        self._drop(self.router)
        self._take(config)
        self.log("Configuration Reloaded")

    def _reload_2026(self) -> None:
        """Serve by the new config at once; the old models end after that."""
        self.log("reloading configuration")
        try:
            config = self._load()
        except (ConfigRefused, OSError) as error:
            self.log(f"failed to reload config: {error}")
            return
        old = self.router
        self._take(config)
        self._drop(old)
        self.log("configuration reloaded")

    def _take(self, config: Config) -> None:
        self.router, self.fault = Router(config, self.note), self._fault_of(config)
        threading.Thread(target=self.router.preload, daemon=True).start()

    def _drop(self, router: Router) -> None:
        router.unload()
        self.stopping.wait(float(os.environ.get("LLAMA_SWAP_STOP_SECONDS", "0")))

    def watch(self, requests: queue.SimpleQueue[str]) -> None:
        """Ask for a reload whenever the config changes, as this version notices it.

        2025 is told by the folder around its config, in which a file that is a mount never changes.
        """
        if self.behave == "2025" and is_mount(self._config):
            return
        seen = self._stamp()
        while not self.stopping.wait(WATCH_SECONDS[self.behave]):
            now = self._stamp()
            if now is None or now == seen:
                continue
            self.stopping.wait(DEBOUNCE_SECONDS[self.behave])
            seen = self._stamp()
            requests.put("reload")

    def stop(self) -> None:
        """End: 2026 lets running answers finish first, 2025 cuts them."""
        self.stopping.set()
        if self.behave == "2026":
            self.router.wait_idle(DRAIN_SECONDS)
        self.router.unload()

    def _load(self) -> Config:
        files = files_of(self._config, self._config_dir)
        sources = [(str(path), path.read_bytes()) for path in files]
        config = load_sources(sources, behave=self.behave, environ=os.environ)
        if config.fault == "refused":
            raise ConfigRefused("refused as ordered")
        return config

    def _fault_of(self, config: Config) -> str:
        fault = config.fault or os.environ.get("LLAMA_SWAP_FAULT", "")
        if fault == "crash_at_start":
            self.log("panic: crashing as ordered")
            os._exit(1)
        return fault

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = [path.stat() for path in files_of(self._config, self._config_dir)]
        except (ConfigRefused, OSError):
            return None
        # 2026 compares time and size alone; 2025 hears of a rename too.
        return tuple(
            number
            for status in found
            for number in (
                status.st_mtime_ns,
                status.st_size,
                status.st_ino if self.behave == "2025" else 0,
            )
        )


def is_mount(path: Path | None) -> bool:
    """Whether a file is a mount of its own."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return path is not None and str(path.resolve()) in [line.split()[4] for line in mounts]


def next_request(requests: queue.SimpleQueue[str]) -> str:
    """Wait for the next request: `reload` or `stop`.

    A signal that another thread took, or that came just before the wait began, is handled only
    when the main thread wakes up; hence it does so now and then.
    """
    while True:
        with contextlib.suppress(queue.Empty):
            return requests.get(timeout=0.1)


def handle_signals(stand_in: StandIn, requests: queue.SimpleQueue[str]) -> None:
    """Turn signals into requests, except those this version dies of."""

    def on_hangup(*_: object) -> None:
        if stand_in.behave == "2025":
            # A Go program that does not handle the signal ends like this, its children left alone.
            os._exit(2)
        requests.put("reload")

    signal.signal(signal.SIGHUP, on_hangup)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: requests.put("stop"))


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the flags; Go programs take one dash or two."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-config", "--config", type=Path)
    parser.add_argument("-config-dir", "--config-dir", type=Path)
    parser.add_argument("-listen", "--listen", default=":8080")
    parser.add_argument("-watch-config", "--watch-config", action="store_true")
    parser.add_argument("-behave", "--behave", choices=BEHAVIOURS, default="2026")
    options = parser.parse_args(arguments)
    if options.config_dir is not None and options.behave == "2025":
        parser.error("flag provided but not defined: -config-dir")
    if options.config is None and options.config_dir is None:
        options.config = Path("config.yaml")
    return options


def serve(stand_in: StandIn, listen: str, requests: queue.SimpleQueue[str]) -> None:
    """Answer until asked to stop."""
    host, _, port = listen.rpartition(":")
    server = make_server((host, int(port)), stand_in)
    answering = threading.Thread(target=server.serve_forever, daemon=True)
    answering.start()
    stand_in.log(f"llama-swap listening on {host}:{server.server_port}")
    threading.Thread(target=stand_in.router.preload, daemon=True).start()
    while next_request(requests) != "stop":
        threading.Thread(target=stand_in.reload, daemon=True).start()
    server.shutdown()
    stand_in.stop()
    server.server_close()


def main(arguments: list[str]) -> int:
    """Run until told to end; 1 where the config is refused at the start."""
    options = parse_arguments(arguments)
    try:
        stand_in = StandIn(
            config=options.config, config_dir=options.config_dir, behave=options.behave
        )
    except (ConfigRefused, OSError) as error:
        say(f"Error loading config: {error}")
        return 1
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    handle_signals(stand_in, requests)
    if stand_in.fault == "hang_at_start":
        while next_request(requests) != "stop":
            pass
        return 0
    if options.watch_config:
        threading.Thread(target=stand_in.watch, args=(requests,), daemon=True).start()
    serve(stand_in, options.listen, requests)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
