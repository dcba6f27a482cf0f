"""llama-swap in a Docker container: looked at, restarted, its log read.

Every call opens its own connection and closes it, so nothing is held between two looks and an
engine that was restarted meanwhile is no trouble. The `docker` package is imported by the first
call, not before.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.adapters.runtime.endpoint import Endpoint, find_endpoint
from reconciler.adapters.runtime.inspection import read_inspection
from reconciler.core.observed import RuntimeState
from reconciler.errors import ReconcilerError, RuntimeFailed, RuntimeUnavailable

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.tls import TLSConfig

# llama-swap lets running answers finish for 30 s and then takes up to 5 s to stop its models;
# Docker's own 10 s would cut them.
RESTART_GRACE_SECONDS = 40
# What the engine may take beyond the grace to stop and start before we give up on its answer.
_ANSWER_SECONDS = 60
# To choose a default we do not wait long for an engine that is stuck.
_PROBE_SECONDS = 2


class DockerRuntime:
    """One container of one Docker engine; implements the port `Runtime`."""

    def __init__(
        self,
        *,
        container: str,
        endpoint: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._name = container
        self._option = endpoint
        self._environ = os.environ if environ is None else environ

    def observe(self) -> RuntimeState:
        """Look at the container anew. Raises `RuntimeUnavailable`."""
        endpoint = find_endpoint(self._option, environ=self._environ)
        with _connected(endpoint) as client:
            attrs = self._container(client, endpoint).attrs
        return read_inspection(attrs, endpoint=endpoint.url, host=endpoint.host)

    def restart(self) -> None:
        """Restart the container, running answers given 40 s to end; a stopped one is started.

        Raises:
            RuntimeUnavailable: the engine does not answer, or the container is gone.
            RuntimeFailed: the engine could not restart it.
        """
        import docker.errors
        import requests

        endpoint = find_endpoint(self._option, environ=self._environ)
        with _connected(endpoint) as client:
            container = self._container(client, endpoint)
            try:
                container.restart(timeout=RESTART_GRACE_SECONDS)
            except docker.errors.APIError as error:
                raise RuntimeFailed(
                    f"Docker could not restart the container {self._name}: {error.explanation}",
                    hint=f"see what it says itself: docker logs --tail 50 {self._name}",
                ) from error
            except requests.exceptions.Timeout as error:
                raise RuntimeFailed(
                    f"the container {self._name} did not come back after a restart",
                    hint=f"look at it: docker ps -a; docker logs --tail 50 {self._name}",
                ) from error

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest `count` lines of its log; empty where there are none. Never raises."""
        try:
            endpoint = find_endpoint(self._option, environ=self._environ)
            with _connected(endpoint) as client:
                log = self._container(client, endpoint).logs(tail=max(count, 0))
        except ReconcilerError:
            return ()
        return tuple(log.decode("utf-8", "replace").splitlines())

    def _container(self, client: DockerClient, endpoint: Endpoint) -> Container:
        import docker.errors

        try:
            return client.containers.get(self._name)
        except (docker.errors.NotFound, docker.errors.NullResource) as error:
            similar = " or ".join(_similar(self._name, client))
            name_it = f"did you mean {similar}? name it" if similar else "name the right one"
            raise RuntimeUnavailable(
                f"there is no container {self._name!r} on the Docker engine at {endpoint.url}",
                hint=f"{name_it} with --container NAME, "
                "or use --runtime none where llama-swap does not run in Docker",
            ) from error


def find_container(
    container: str, endpoint: str | None = None, *, environ: Mapping[str, str] | None = None
) -> bool:
    """Whether there is an engine that has that container; False too where no engine is.

    Raises:
        ReconcilerError: there is an engine, or one is named, and it does not answer us soon.
    """
    found = find_endpoint(endpoint, environ=os.environ if environ is None else environ)
    if found.socket is not None and not found.socket.exists():
        return False
    import docker.errors

    with _connected(found, seconds=_PROBE_SECONDS) as client:
        try:
            client.containers.get(container)
        except (docker.errors.NotFound, docker.errors.NullResource):
            return False
    return True


def _similar(name: str, client: DockerClient) -> list[str]:
    """Give the containers that may be meant: close names first, then those of llama-swap images."""
    images = {
        known.lstrip("/"): str(summary.get("Image", ""))
        for summary in client.api.containers(all=True)
        for known in summary.get("Names") or ()
    }
    close = difflib.get_close_matches(name, images, n=3)
    others = [known for known, image in images.items() if "llama-swap" in image]
    return list(dict.fromkeys(close + others))[:3]


@contextlib.contextmanager
def _connected(endpoint: Endpoint, *, seconds: int = _ANSWER_SECONDS) -> Iterator[DockerClient]:
    """Open the engine's client, and say in our words what goes wrong with it."""
    import docker
    import docker.errors

    client = None
    try:
        _knock(endpoint, seconds)
        client = docker.DockerClient(base_url=endpoint.url, timeout=seconds, tls=_tls(endpoint))
        yield client
    except (OSError, docker.errors.DockerException) as error:
        reason = _reason(error)
        raise RuntimeUnavailable(
            f"no answer from the Docker engine at {endpoint.url} (from {endpoint.source}): "
            f"{reason.strerror or reason if isinstance(reason, OSError) else reason}",
            hint=_mend(reason),
        ) from error
    finally:
        if client is not None:
            client.close()


def _knock(endpoint: Endpoint, seconds: int) -> None:
    """Open and close the engine's socket once; the library leaves a socket that fails open."""
    if endpoint.socket is not None:
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(seconds)
            knock.connect(str(endpoint.socket))


def _tls(endpoint: Endpoint) -> TLSConfig | bool:
    if endpoint.tls_dir is None:
        return False
    from docker.tls import TLSConfig

    folder = Path(endpoint.tls_dir)
    return TLSConfig(
        client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")),
        ca_cert=str(folder / "ca.pem") if endpoint.verify else None,
        verify=endpoint.verify,
    )


def _reason(error: BaseException) -> BaseException:
    """Give what really happened: the operating system's word, deep below two libraries."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, OSError) and reason.strerror:
            return reason
        reason = reason.__cause__ or reason.__context__
    return error


def _mend(reason: BaseException) -> str:
    if isinstance(reason, PermissionError):
        return "let your user talk to Docker (group `docker`), or run reconcile as root"
    return (
        "start Docker, or name the right engine with DOCKER_HOST; "
        "use --runtime none where llama-swap does not run in Docker"
    )
