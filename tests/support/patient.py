"""llama-swap in a container as a compose file would make it, and made anew as advice says."""

from __future__ import annotations

import shlex
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from docker.models.containers import Container
from docker.types import Mount
from ruamel.yaml import YAML

from tests.support.engine import NO_PROXY, Engine, free_port, host_mounts, wait_for


@dataclass
class Patient:
    """One service of a compose file: `volumes` and `ports` are written as there.

    `command` begins after the entrypoint. `port` is one of this host that was free.
    """

    engine: Engine
    command: list[str]
    volumes: list[str]
    port: int = 0
    ports: list[str] = field(default_factory=list)
    restart: str = "unless-stopped"
    stop_grace_period: str = "45s"
    healthcheck: dict[str, Any] | None = field(
        default_factory=lambda: {"test": ["CMD", "true"], "interval": "30s"}
    )
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"reconciler-patient-{uuid.uuid4().hex[:8]}")
    container: Container | None = None

    def __post_init__(self) -> None:
        self.port = free_port()
        self.ports = self.ports or [f"127.0.0.1:{self.port}:8080"]

    def start(self, *, wait: bool = True) -> None:
        """Make the container anew and start it; with `wait`, it answers."""
        if self.container is not None:
            self.container.remove(force=True)
            self.engine.started.remove(self.container)
        client = self.engine.client
        ports: dict[int | str, Any] = dict(_published(port) for port in self.ports)
        made = client.api.create_container(
            self.engine.image,
            self.command,
            name=self.name,
            ports=list(ports),
            user=self.user or None,
            entrypoint=self.entrypoint or None,
            labels=self.labels,
            environment=self.environment,
            healthcheck=_healthcheck(self.healthcheck) if self.healthcheck else None,
            stop_timeout=int(self.stop_grace_period.removesuffix("s")),
            host_config=client.api.create_host_config(
                mounts=[*(_mount(volume) for volume in self.volumes), *host_mounts()],
                port_bindings=ports,
                restart_policy={"Name": self.restart} if self.restart else None,
            ),
        )
        self.container = client.containers.get(made["Id"])
        self.engine.started.append(self.container)
        self.container.start()
        if wait:
            self.wait_healthy()

    def wait_healthy(self) -> None:
        """Wait until it answers on the port that is published."""
        assert self.container is not None
        container = self.container
        wait_for(self._is_healthy, "an answer", lambda: bytes(container.logs()).decode())

    def follow(self, finding: dict[str, Any]) -> None:
        """Do what a finding advises: its commands, and its lines of the compose file."""
        for command in finding["commands"]:
            self._obey(command)
        if finding["compose"]:
            self._merge(finding["compose"])
            self.start()

    def _obey(self, command: str) -> None:
        words = shlex.split(command)
        assert self.container is not None
        if words[0] != "docker":
            subprocess.run(command, shell=True, check=True)  # noqa: S602 - it is what people do
            return
        assert words[-1] == self.name
        self.container.start() if words[1] == "start" else self.container.restart(timeout=10)
        self.wait_healthy()

    def _merge(self, lines: Sequence[str]) -> None:
        advised = YAML(typ="safe").load("\n".join(lines))["services"][self.name]
        for key, value in advised.items():
            kept = []
            if key == "volumes":
                inside = [_target(volume) for volume in value]
                kept = [volume for volume in self.volumes if _target(volume) not in inside]
            setattr(self, key, kept + value if kept else value)

    def _is_healthy(self) -> bool:
        host = self.ports[0].rpartition(":")[0]
        try:
            with NO_PROXY.open(f"http://{host}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _mount(volume: str) -> Mount:
    source, target, *mode = volume.split(":")
    return Mount(target, source, type="bind", read_only=mode == ["ro"])


def _healthcheck(check: dict[str, Any]) -> dict[str, Any]:
    """Give it as the engine takes it: times are nanoseconds there."""
    return {
        key: int(value.removesuffix("s")) * 10**9 if str(value).endswith("s") else value
        for key, value in check.items()
    }


def _target(volume: str) -> str:
    return volume.split(":")[1]


def _published(port: str) -> tuple[int, tuple[str, int]]:
    address, outside, inside = port.split(":")
    return int(inside), (address, int(outside))
