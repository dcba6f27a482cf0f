"""The compose file, started as it stands: reconciler serves models through the socket proxy.

The images are made of this machine's own programs, and built without a network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from reconciler.demo.gguf_bytes import tiny_model
from tests.support.engine import Engine, SwapContainer, free_port, wait_for
from tests.support.images import has_python_for, import_base
from tests.support.wheels import pack_wheels

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
IN_THE_PROJECT = ("Dockerfile", ".dockerignore", "compose.yml", "proxy", "pyproject.toml")
IN_THE_BUILD = ("constraints.txt", "README.md", "LICENSE", "reconciler")
PROGRAMS = ("docker-compose", "haproxy", "curl")
USER = 12345
CHAT = "  chat:\n    source: ./chat.gguf\n"
CODE = "  code:\n    source: ./code.gguf\n"

# Asks the proxy for each (method, path, headers, body) of its argument; prints what it answers.
ASKING = """
import http.client, json, sys
for method, path, headers, body in json.loads(sys.argv[1]):
    asking = http.client.HTTPConnection("docker-proxy", 2375, timeout=20)
    asking.request(method, path, body=body, headers=headers)
    print(asking.getresponse().status)
    asking.close()
"""


@dataclass(frozen=True)
class Composed:
    """The project, copied to a folder of its own, and how it is called."""

    engine: Engine
    folder: Path
    settings: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of llama-swap's container."""
        return f"{self.settings['LLAMA_SWAP_NAME']}-cpu"

    @property
    def swap(self) -> SwapContainer:
        """Give llama-swap."""
        container = self.engine.client.containers.get(self.name)
        url = f"http://127.0.0.1:{self.settings['LLAMA_SWAP_PORT']}"
        return SwapContainer(container=container, url=url)

    def service(self, name: str) -> Container:
        """Give the container of a service."""
        project = self.settings["COMPOSE_PROJECT_NAME"]
        labels = [f"com.docker.compose.project={project}", f"com.docker.compose.service={name}"]
        return self.engine.client.containers.list(all=True, filters={"label": labels})[0]

    def compose(self, *arguments: str) -> None:
        """Run compose; it must succeed."""
        done = subprocess.run(
            ["docker-compose", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "DOCKER_HOST": self.engine.url, **self.settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def write_manifest(self, models: str) -> None:
        """Write the manifest."""
        (self.folder / "manifests" / "home.yaml").write_text(f"version: 1\nmodels:\n{models}")

    def log(self) -> str:
        """Give what reconciler and the proxy said."""
        names = ("reconciler", "docker-proxy")
        return "\n".join(bytes(self.service(name).logs()).decode() for name in names)


@pytest.fixture(scope="module")
def composed(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """Build the image without a network, and start the compose file on the stand-in's images."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path="/usr/bin:/usr/sbin")]
    if not has_python_for(sysconfig.get_python_version()):
        pytest.skip("the host's own Python is another version than the one that runs the tests")
    if missing:
        skip = pytest.fail if os.environ.get("CI") else pytest.skip
        skip(f"this machine has no {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("project")
    base = f"reconciler-test-base:{uuid.uuid4().hex[:12]}"
    for name in (*IN_THE_PROJECT, *IN_THE_BUILD):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, folder / name)
    pack_wheels(folder / "wheels")
    client = engine.client
    import_base(client, base, further=["haproxy"])
    socket = Path(engine.url.removeprefix("unix://"))
    name = f"reconciler-test-{uuid.uuid4().hex[:8]}"
    composed = Composed(
        engine=engine,
        folder=folder,
        settings={
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_PROFILES": "cpu",
            "BASE_IMAGE": base,
            "LLAMA_SWAP_IMAGE": base,
            "PROXY_IMAGE": base,
            "LLAMA_SWAP_NAME": name,
            "LLAMA_SWAP_PORT": str(free_port()),
            "LLAMA_DIR": str(folder / "llama"),
            "LLAMA_UID": str(USER),
            "LLAMA_GID": str(USER),
            "LLAMA_MEMORY_LIMIT": "512m",
            "LLAMA_MEMORY_RESERVATION": "128m",
            "DOCKER_SOCKET": str(socket),
            "DOCKER_GID": str(socket.stat().st_gid),
        },
    )
    _lay_out(folder)
    try:
        client.images.build(
            path=str(folder),
            buildargs={"BASE": base},
            network_mode="none",
            tag=f"{name}:built",
            rm=True,
            forcerm=True,
        )
        composed.compose("up", "-d", "--build")
        yield composed
    finally:
        composed.compose("down", "--volumes", "--rmi", "local", "--timeout", "2")
        client.images.remove(f"{name}:built", force=True)
        _remove_stages(engine, base)
        client.images.remove(base, force=True)


def _remove_stages(engine: Engine, base: str) -> None:
    """Remove what the first stage of a build on `base` left without a name."""
    first = engine.client.images.get(base).id
    for image in engine.client.images.list(filters={"dangling": True}):
        if any(layer["Id"] == first for layer in image.history()):
            image.remove(force=True)


def _lay_out(folder: Path) -> None:
    """Make what the host has: models, config and manifests, all of one user."""
    folders = [folder / "llama", folder / "manifests"]
    folders += [folder / "llama" / name for name in ("models", "config")]
    for each in folders:
        each.mkdir(exist_ok=True)
    # The paths to them are pytest's, which lets nobody else in.
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    (folder / "llama" / "config" / "config.yaml").write_text("models: {}\n")
    for seed, name in enumerate(("chat", "code"), 1):
        data = tiny_model(name, payload_bytes=40_000, seed=seed)
        (folder / "manifests" / f"{name}.gguf").write_bytes(data)
    (folder / "manifests" / "home.yaml").write_text(f"version: 1\nmodels:\n{CHAT}")
    for top in ("llama", "manifests"):
        for path in (folder / top, *(folder / top).rglob("*")):
            os.chown(path, USER, USER)


def test_models_are_served_as_the_manifest_says(composed: Composed) -> None:
    """Once started, reconciler does its whole job by itself, a changed manifest included.

    llama-swap takes each config without an end of its container, and everything that is made
    belongs to the user that was named.
    """
    swap = composed.swap
    swap.wait_healthy()
    started_at = swap.container.attrs["State"]["StartedAt"]
    wait_for(lambda: swap.model_ids() == {"chat"}, "the first model", composed.log, seconds=60)
    composed.write_manifest(CHAT + CODE)
    wait_for(
        lambda: swap.is_healthy() and swap.model_ids() == {"chat", "code"},
        "the second model",
        composed.log,
        seconds=90,
    )
    assert swap.get("/upstream/code/health") is not None
    assert composed.swap.container.attrs["State"]["StartedAt"] == started_at
    made = [path for path in (composed.folder / "llama").rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in made} == {USER}


def test_doctor_sees_enough_through_the_proxy(composed: Composed) -> None:
    """Beside reconciler, and with no more than the proxy lets through, nothing is wrong; a fault is
    still found.
    """
    composed.swap.wait_healthy()

    def reconcile(*words: str) -> tuple[int, dict[str, Any]]:
        done = composed.service("reconciler").exec_run(
            ["reconcile", *words, "--json", "--manifest", "/manifests"], demux=True
        )
        assert isinstance(done.output, tuple)
        out, err = done.output
        assert out, err
        return done.exit_code or 0, json.loads(out)

    code, told = reconcile("doctor")
    assert (code, told["findings"]) == (0, [])
    assert (told["runtime"]["name"], told["runtime"]["watches"]) == (composed.name, True)
    assert told["config"] == str(composed.folder / "llama" / "config" / "config.yaml")
    model = next((composed.folder / "llama" / "models").rglob("chat.gguf"))
    aside = model.with_suffix(".aside")
    # Else the watch brings it again.
    reconcile("pause")
    model.rename(aside)
    try:
        code, told = reconcile("doctor")
    finally:
        aside.rename(model)
        reconcile("resume")
    assert (code, [item["rule"] for item in told["findings"]]) == (1, ["file-absent"])


def test_llama_swap_is_bounded_and_its_health_is_checked(composed: Composed) -> None:
    """Memory is what the environment said, and the health check's own command passes."""
    swap = composed.swap
    swap.wait_healthy()
    attrs = swap.container.attrs
    assert attrs["HostConfig"]["Memory"] == 512 * 2**20
    assert attrs["HostConfig"]["MemoryReservation"] == 128 * 2**20
    check = attrs["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    assert swap.container.exec_run(check[1:]).exit_code == 0


@pytest.mark.parametrize("name", ["reconciler", "docker-proxy", "llama-swap-cpu"])
def test_nobody_has_more_rights_than_needed(composed: Composed, name: str) -> None:
    """No root, no capabilities, none to be gained; and none but the proxy has Docker's socket."""
    attrs = composed.service(name).attrs
    host = attrs["HostConfig"]
    assert not attrs["Config"]["User"].startswith(("0:", "root"))
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"] == (name != "llama-swap-cpu")
    sockets = [item for item in attrs["Mounts"] if item["Destination"].endswith("docker.sock")]
    assert bool(sockets) == (name == "docker-proxy")


def test_proxy_lets_through_what_is_needed_and_nothing_else(composed: Composed) -> None:
    """The one container may be looked at and told to reload; every other call ends at the proxy."""
    ours, other = composed.name, str(composed.service("reconciler").name)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    allowed: list[tuple[str, str]] = [
        ("GET", "/_ping"),
        ("GET", "/version"),
        ("GET", "/v1.41/containers/json?all=1"),
        ("GET", f"/v1.41/containers/{ours}/json"),
        ("GET", f"/v1.41/containers/{ours}/top?ps_args=-ww+-eo+pid%2Cargs"),
        ("GET", f"/v1.41/containers/{ours}/logs?stdout=1&tail=5"),
        ("GET", f"/v1.41/containers/{ours}/archive?path=%2Fconfig%2Fconfig.yaml"),
        ("POST", f"/v1.41/containers/{ours}/kill?signal=SIGHUP"),
    ]
    refused: list[tuple[str, str, dict[str, str], str | None]] = [
        (method, path, {}, None)
        for method, path in (
            ("GET", "/v1.41/info"),
            ("GET", "/v1.41/images/json"),
            ("GET", "/v1.41/events"),
            ("GET", f"/v1.41/containers/{other}/json"),
            ("GET", f"/v1.41/containers/{composed.swap.container.id}/json"),
            ("GET", f"/v1.41/containers/{other}/../{ours}/json"),
            ("GET", f"/v1.41/containers/{ours}/%2e%2e/{other}/json"),
            ("GET", f"/v1.41/containers/{ours}/export"),
            ("GET", f"/v1.41/containers/{ours}/archive?path=%2Fetc%2Fpasswd"),
            ("GET", f"/v1.41/containers/{ours}/archive?path=%2Fconfig%2F.."),
            ("GET", f"/v1.41/containers/{ours}/archive?path=%2Fconfig%2Fa&path=%2Fetc"),
            ("PUT", f"/v1.41/containers/{ours}/archive?path=%2Fconfig%2Fconfig.yaml"),
            ("POST", "/v1.41/containers/create"),
            ("POST", "/v1.41/build"),
            ("POST", f"/v1.41/containers/{ours}/exec"),
            ("POST", f"/v1.41/containers/{ours}/start"),
            ("POST", f"/v1.41/containers/{ours}/stop"),
            ("POST", f"/v1.41/containers/{ours}/update"),
            ("POST", f"/v1.41/containers/{ours}/kill"),
            ("POST", f"/v1.41/containers/{ours}/kill?signal=SIGKILL"),
            ("POST", f"/v1.41/containers/{ours}/kill?signal=SIGHUP&signal=SIGKILL"),
            ("POST", f"/v1.41/containers/{ours}/restart?signal=SIGKILL"),
            ("POST", f"/v1.41/containers/{other}/restart?t=40"),
            ("POST", f"/v1.41/containers/{other}/kill?signal=SIGHUP"),
            ("DELETE", f"/v1.41/containers/{ours}"),
        )
    ]
    refused += [
        ("POST", f"/v1.41/containers/{ours}/kill?signal=SIGHUP", form, "signal=SIGKILL"),
        ("POST", f"/v1.41/containers/{ours}/kill?signal=SIGHUP", {"Upgrade": "tcp"}, None),
        (
            "POST",
            f"/v1.41/containers/{ours}/kill?signal=SIGHUP",
            {**form, "Transfer-Encoding": "chunked"},
            "0\r\n\r\n",
        ),
    ]
    composed.swap.wait_healthy()
    calls = [*((method, path, {}, None) for method, path in allowed), *refused]
    asked = composed.service("reconciler").exec_run(["python3", "-c", ASKING, json.dumps(calls)])
    assert isinstance(asked.output, bytes)
    assert asked.exit_code == 0, asked.output
    statuses = [int(line) for line in asked.output.split()]
    assert (
        dict(zip(allowed, statuses, strict=False)).items()
        == {
            **dict.fromkeys(allowed, 200),
            ("POST", f"/v1.41/containers/{ours}/kill?signal=SIGHUP"): 204,
        }.items()
    )
    answers = zip(refused, statuses[len(allowed) :], strict=True)
    assert [call for call, status in answers if status != 403] == []
