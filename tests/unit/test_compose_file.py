"""The compose file and the Dockerfile: what must hold so that they are safe to copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Give the compose file, its variables at their defaults."""
    text = (PROJECT / "compose.yml").read_text()
    defaults = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    loaded: dict[str, Any] = YAML(typ="safe").load(defaults)
    return loaded


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> dict[str, Any]:
    """Give the compose file's services."""
    found = document["services"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def swaps(services: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the ways to run llama-swap, by profile."""
    return {
        service["profiles"][0]: service for service in services.values() if "profiles" in service
    }


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Give a service's mounts: inside to (here, mode)."""
    found = {}
    for line in service["volumes"]:
        here, inside, *mode = line.split(":")
        found[inside] = (here, *mode, "rw")[:2]
    return found


def test_both_compose_generations_can_read_it(document: dict[str, Any]) -> None:
    """Without a version, 1.29 takes it for the common format and v2 has nothing to warn of; and
    nothing in it is known to one of them alone.
    """
    assert set(document) == {"x-llama-swap", "services", "networks"}
    text = (PROJECT / "compose.yml").read_text()
    assert not re.findall(r"(?m)^ *(gpus|develop|models|secrets|configs|include|extends):", text)


def test_every_variable_has_a_default() -> None:
    """Compose starts it as it stands; what may be set is explained beside the settings."""
    text = (PROJECT / "compose.yml").read_text()
    assert set(re.findall(r"\$\{([^}:]+)", text)) == set(re.findall(r"\$\{([A-Z_]+):-", text))


def test_no_two_services_share_a_name(services: dict[str, Any]) -> None:
    """Some versions of v2 refuse a name that two services have, though only one is ever started."""
    names = [item["container_name"] for item in services.values() if "container_name" in item]
    assert len(names) == len(set(names)) == 3


def test_ports_are_published_on_loopback_alone(services: dict[str, Any]) -> None:
    """llama-swap has no password, so the network does not see it."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("profile", ["cpu", "cuda", "vulkan"])
def test_llama_swap_mounts_folders_it_cannot_write(
    swaps: dict[str, dict[str, Any]], profile: str
) -> None:
    """Models and config are folders, read-only; a file mount would not see a new config. It watches
    that folder, so that a new config needs no restart.
    """
    swap = swaps[profile]
    assert mounts(swap) == {
        "/models": ("/srv/llama/models", "ro"),
        "/config": ("/srv/llama/config", "ro"),
    }
    assert swap["command"][:2] == ["-config", "/config/config.yaml"]
    assert "-watch-config" in swap["command"]


@pytest.mark.parametrize("profile", ["cpu", "cuda", "vulkan"])
def test_llama_swap_has_time_to_finish_and_is_watched(
    swaps: dict[str, dict[str, Any]], profile: str
) -> None:
    """It is given more than the 40 s a restart of ours gives, its health is checked, and its memory
    can be bounded.
    """
    swap = swaps[profile]
    assert int(swap["stop_grace_period"].removesuffix("s")) > 40
    assert swap["healthcheck"]["test"][-1].endswith("/health")
    assert {"mem_limit", "mem_reservation"} <= set(swap)
    assert swap["networks"]["default"]["aliases"] == ["llama-swap"]


def test_each_profile_gets_its_hardware(swaps: dict[str, dict[str, Any]]) -> None:
    """CUDA gets NVIDIA's cards, Vulkan the render nodes, and the CPU nothing of the kind."""
    [wanted] = swaps["cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert wanted == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert swaps["vulkan"]["devices"] == ["/dev/dri:/dev/dri"]
    assert not {"deploy", "devices"} & set(swaps["cpu"])
    assert all(swap["image"].endswith(f":{name}") for name, swap in swaps.items())


def test_the_reconciler_sees_the_same_paths_as_the_host(
    services: dict[str, Any], swaps: dict[str, dict[str, Any]]
) -> None:
    """Docker names llama-swap's mounts by host paths, so those must hold in our container too."""
    swap, ours = swaps["cpu"], services["reconciler"]
    for here, _ in mounts(swap).values():
        assert mounts(ours)[here] == (here, "rw")
    environment = ours["environment"]
    assert environment["RECONCILER_CONTAINER"] == swap["container_name"]
    assert environment["RECONCILER_MODELS_DIR"] in mounts(ours)
    assert str(Path(environment["RECONCILER_CONFIG"]).parent) in mounts(ours)


def test_nobody_has_more_rights_than_needed(services: dict[str, Any]) -> None:
    """No root, no capabilities; and the engine is reached through the proxy alone, on a network
    that leads nowhere else.
    """
    for name, service in services.items():
        assert not service["user"].startswith("0"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only", False) == (name in ("reconciler", "docker-proxy"))
        sockets = [inside for inside in mounts(service) if "docker.sock" in inside]
        assert bool(sockets) == (name == "docker-proxy")
        # Whoever is on that network may use the proxy.
        assert ("engine" in service["networks"]) == (name in ("reconciler", "docker-proxy"))
    proxy, ours = services["docker-proxy"], services["reconciler"]
    assert ours["environment"]["DOCKER_HOST"].startswith("tcp://docker-proxy:")
    allowed = proxy["environment"]["LLAMA_SWAP_CONTAINER"]
    assert allowed == ours["environment"]["RECONCILER_CONTAINER"]


def test_the_networks_are_what_they_are_for(document: dict[str, Any]) -> None:
    """The proxy's network leads nowhere."""
    assert document["networks"] == {"default": {}, "engine": {"internal": True}}


def test_the_image_runs_without_root_and_takes_its_base_as_an_argument() -> None:
    """The last user is not root, and the base can be replaced by one's own."""
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 10001"
    assert "ARG BASE=python:3.12-slim" in lines
    assert [line for line in lines if line.startswith("FROM ")] == [
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    ]


def test_the_build_gets_every_file_it_copies() -> None:
    """What the Dockerfile copies exists, and `.dockerignore` lets it through."""
    allowed = {
        line.removeprefix("!") for line in (PROJECT / ".dockerignore").read_text().splitlines()
    }
    text = (PROJECT / "Dockerfile").read_text()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    names = {name for line in copies for name in line.split()}
    assert names
    # The folder of wheels is the one that may be missing.
    names.remove("wheel[s]")
    assert "wheels" in allowed
    for name in names:
        assert (PROJECT / name).exists(), name
        assert name in allowed, name
