"""The compose file and the Dockerfile: what must hold so that they are safe to copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Give the compose file's services."""
    document = YAML(typ="safe").load((PROJECT / "compose.yml").read_text())
    assert isinstance(document["services"], dict)
    return document["services"]


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Give a service's mounts: inside to (here, mode), `LLAMA_DIR` at its default."""
    found = {}
    for line in service["volumes"]:
        here, inside, *mode = line.replace("${LLAMA_DIR:-/srv/llama}", "/srv/llama").split(":")
        found[inside] = (here, *mode, "rw")[:2]
    return found


def test_both_compose_generations_can_read_it() -> None:
    """Without a version, 1.29 takes it for the common format and v2 has nothing to warn of."""
    document = YAML(typ="safe").load((PROJECT / "compose.yml").read_text())
    assert set(document) == {"services"}


def test_ports_are_published_on_loopback_alone(services: dict[str, Any]) -> None:
    """llama-swap has no password, so the network does not see it."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_llama_swap_mounts_folders_it_cannot_write(services: dict[str, Any]) -> None:
    """Models and config are folders, read-only; a file mount would not see a new config."""
    swap = services["llama-swap"]
    assert mounts(swap) == {
        "/models": ("/srv/llama/models", "ro"),
        "/config": ("/srv/llama/config", "ro"),
    }
    assert swap["command"][:2] == ["-config", "/config/config.yaml"]
    assert "-watch-config" not in [*swap["entrypoint"], *swap["command"]]


def test_llama_swap_has_time_to_finish_and_is_watched(services: dict[str, Any]) -> None:
    """It is given more than the 40 s a restart of ours gives, and its health is checked."""
    swap = services["llama-swap"]
    assert int(swap["stop_grace_period"].removesuffix("s")) > 40
    assert swap["healthcheck"]["test"][-1].endswith("/health")


def test_the_reconciler_sees_the_same_paths_as_the_host(services: dict[str, Any]) -> None:
    """Docker names llama-swap's mounts by host paths, so those must hold in our container too."""
    swap, ours = services["llama-swap"], services["reconciler"]
    for here, _ in mounts(swap).values():
        assert mounts(ours)[here] == (here, "rw")
    environment = {
        key: value.replace("${LLAMA_DIR:-/srv/llama}", "/srv/llama")
        for key, value in ours["environment"].items()
    }
    assert environment["RECONCILER_CONTAINER"] == swap["container_name"]
    assert environment["RECONCILER_MODELS_DIR"] in mounts(ours)
    assert str(Path(environment["RECONCILER_CONFIG"]).parent) in mounts(ours)


def test_the_image_runs_without_root_and_takes_its_base_as_an_argument() -> None:
    """The last user is not root, and the base can be replaced by one's own."""
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 10001"
    assert "ARG BASE=python:3.12-slim" in lines
    assert "FROM ${BASE}" in lines


def test_the_build_gets_every_file_it_copies() -> None:
    """What the Dockerfile copies exists, and `.dockerignore` lets it through."""
    allowed = {
        line.removeprefix("!") for line in (PROJECT / ".dockerignore").read_text().splitlines()
    }
    copies = re.findall(r"^COPY (.+) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copies for name in line.split()}
    assert names
    for name in names:
        assert (PROJECT / name).exists(), name
        assert name in allowed, name
