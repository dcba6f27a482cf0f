"""A real Docker engine for tests, and the stand-in for llama-swap running in it.

No image is pulled: the base image holds empty folders and two scripts, and takes Python from the
host's own `/usr`, mounted read-only. So the engine must run on this machine.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import socket
import tarfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import docker
import docker.errors
import pytest
import ruamel.yaml
from docker.models.containers import Container
from docker.types import Mount

SUPPORT = Path(__file__).parent
STAND_IN = "/opt/stand-in/tests/support"
PACKAGES = "/opt/packages"
HEALTHY_SECONDS = 60.0
# The host's folders that Python needs; merged-usr hosts have the others as links into `/usr`.
HOST_FOLDERS = ("usr", "lib", "lib64", "bin")
SCRIPTS = {"app/llama-swap": "llama_swap.py", "app/llama-server": "llama_server.py"}
_PORTS = itertools.count(os.getpid())
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Engine:
    """A Docker engine that answers, with the stand-in's image in it.

    `url` is its address, `started` are the containers to remove at the end.
    """

    client: docker.DockerClient
    url: str
    image: str
    started: list[Container] = field(default_factory=list)

    def remove_all(self) -> None:
        """Remove every container made here, and the image."""
        for container in self.started:
            with contextlib.suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)
        self.client.images.remove(self.image, force=True)


@dataclass
class SwapContainer:
    """The stand-in in its container, with its port published on 127.0.0.1."""

    container: Container
    url: str

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.container.name)

    def status(self) -> str:
        """Give Docker's word for how it stands now."""
        self.container.reload()
        return str(self.container.status)

    def logs(self) -> str:
        """Give everything it wrote."""
        return bytes(self.container.logs()).decode()

    def get(self, path: str, *, timeout: float = 20.0) -> Any:
        """Fetch a path and parse its JSON; raises `OSError` where it does not answer 200."""
        with NO_PROXY.open(self.url + path, timeout=timeout) as answer:
            return json.loads(answer.read())

    def model_ids(self) -> set[str]:
        """Give the IDs it lists now."""
        return {entry["id"] for entry in self.get("/v1/models")["data"]}

    def is_healthy(self) -> bool:
        """Whether its `/health` answers 200 now."""
        try:
            with NO_PROXY.open(self.url + "/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_healthy(self) -> None:
        """Wait until it answers; fails the test with its log if it ends or takes too long."""
        wait_for(lambda: self.is_healthy() or self.status() == "exited", "an answer", self.logs)
        if not self.is_healthy():
            pytest.fail(f"the stand-in ended:\n{self.logs()}")

    def exit_code(self) -> int:
        """Wait for its end; give its exit status."""
        return int(self.container.wait(timeout=HEALTHY_SECONDS)["StatusCode"])


def wait_for(
    condition: Callable[[], bool],
    what: str,
    explain: Callable[[], str] = str,
    *,
    seconds: float = HEALTHY_SECONDS,
) -> None:
    """Ask again and again until `condition()` holds; fails the test after `seconds`.

    `explain` gives what is worth reading then.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {what}\n{explain()}")
        # Nothing sets it: the machine is left to the containers for a moment.
        pause.wait(0.05)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Give a Docker engine; skipped where none answers, an error in CI."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        if url.startswith("unix://"):
            # The library leaves a socket that fails open, and an open socket fails the tests.
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(url.removeprefix("unix://"))
        client = docker.from_env(timeout=60)
    except (OSError, docker.errors.DockerException) as error:
        if os.environ.get("CI"):
            pytest.fail(f"no Docker engine answers, and CI must not skip: {error}")
        pytest.skip(f"no Docker engine answers: {error}")
    with using_engine(client, url) as engine:
        yield engine


@contextlib.contextmanager
def using_engine(client: docker.DockerClient, url: str) -> Iterator[Engine]:
    """Put the stand-in's image into an engine; all that was made there goes at the end."""
    with contextlib.closing(client):
        engine = Engine(client=client, url=url, image=_import_image(client))
        try:
            yield engine
        finally:
            engine.remove_all()


def start_llama_swap(
    engine: Engine,
    *,
    config: Path,
    models: Path,
    watch: bool = False,
    behave: str = "2026",
    single_file_mount: bool = False,
    whole_folder: bool = False,
    restart_policy: Literal["always", "on-failure", "unless-stopped"] | None = None,
    user: str | None = None,
    name: str | None = None,
    environment: Mapping[str, str] | None = None,
    wait: bool = True,
) -> SwapContainer:
    """Run the stand-in on `config`, with `models` read-only at `/models`, until the session ends.

    The config's folder is mounted at `/config`, or with `single_file_mount` the file alone at
    `/app/config.yaml`. With `whole_folder` it is started on all configs there. It runs as `user`,
    who is root if nobody is named. The host port stays the same over restarts. With `wait` it
    answers already.
    """
    inside = "/app/config.yaml" if single_file_mount else f"/config/{config.name}"
    named = ["-config-dir", "/config"] if whole_folder else ["--config", inside]
    flags = [*named, "--listen", ":8080", "--behave", behave]
    mounts = [
        Mount("/models", str(models), type="bind", read_only=True),
        Mount(inside, str(config), type="bind")
        if single_file_mount
        else Mount("/config", str(config.parent), type="bind"),
        *host_mounts(),
    ]
    port = free_port()
    container = engine.client.containers.create(
        engine.image,
        command=[*flags, *(["-watch-config"] if watch else [])],
        name=name or f"reconciler-test-{uuid.uuid4().hex[:12]}",
        mounts=mounts,
        ports={"8080/tcp": ("127.0.0.1", port)},
        environment=dict(environment or {}),
        # The library's types know two of the engine's policies alone.
        restart_policy={"Name": restart_policy} if restart_policy else None,  # type: ignore[arg-type]
        labels={"reconciler.test": "stand-in"},
        user=user,
    )
    engine.started.append(container)
    container.start()
    swap = SwapContainer(container=container, url=f"http://127.0.0.1:{port}")
    if wait:
        swap.wait_healthy()
    return swap


def _import_image(client: docker.DockerClient) -> str:
    """Make the base image from a tar of empty folders and two scripts; give its ID."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("app", "config", "etc", "models", "opt", "tmp", *_real_host_folders()):
            add_member(tar, folder, tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        for link in HOST_FOLDERS:
            if (path := Path("/") / link).is_symlink():
                add_member(tar, link, tarfile.SYMTYPE, target=str(path.readlink()))
        for script, program in SCRIPTS.items():
            text = f'#!/bin/sh\nexec {host_python()} {STAND_IN}/{program} "$@"\n'
            add_member(tar, script, tarfile.REGTYPE, data=text.encode())
    changes = [
        'ENTRYPOINT ["/app/llama-swap"]',
        "WORKDIR /app",
        f"ENV PYTHONPATH={Path(STAND_IN).parents[1]}:{PACKAGES}",
        "ENV PYTHONDONTWRITEBYTECODE=1",
        "EXPOSE 8080",
    ]
    answer = client.api.import_image_from_data(buffer.getvalue(), changes=changes)
    return str(json.loads(answer.strip().splitlines()[-1])["status"])


def add_member(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes,
    *,
    mode: int = 0o755,
    target: str = "",
    data: bytes = b"",
) -> None:
    """Add one member to a tar that is being made; `target` is where a link leads."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, target, len(data)
    tar.addfile(member, io.BytesIO(data))


def _real_host_folders() -> list[str]:
    paths = [Path("/") / folder for folder in HOST_FOLDERS]
    return [path.name for path in paths if path.is_dir() and not path.is_symlink()]


def host_python() -> Path:
    """Give the host's own Python below `/usr`; the one that runs the tests may live elsewhere."""
    for folder in ("/usr/bin", "/usr/local/bin"):
        python = (Path(folder) / "python3").resolve()
        if python.is_file() and python.is_relative_to("/usr"):
            return python
    return pytest.fail("the stand-in's container needs a python3 in /usr/bin or /usr/local/bin")


def host_mounts() -> list[Mount]:
    """Mount what the stand-in is made of: the host's Python, its own files, and ruamel.yaml."""
    programs = {f"{STAND_IN}/{path.name}": str(path) for path in SUPPORT.glob("llama_s*.py")}
    ruamel_folder = Path(ruamel.yaml.__file__).parents[1]
    sources = {f"/{folder}": f"/{folder}" for folder in _real_host_folders()}
    sources |= programs | {f"{PACKAGES}/ruamel": str(ruamel_folder)}
    return [
        Mount(target, source, type="bind", read_only=True) for target, source in sources.items()
    ]


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on now, nor will before who asked for it does.

    The system gives away those from 32768 on. Of the ones below, each process of a run has its own.
    """
    first = 12_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 20 * 1000
    while True:
        port = first + next(_PORTS) % 1000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
