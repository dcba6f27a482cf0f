"""A Docker engine's client, opened for one question and closed again.

What goes wrong with the engine is said in our words here. The `docker` package is imported by the
first connection, not before.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.adapters.runtime.endpoint import Endpoint
from reconciler.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from docker import APIClient
    from docker.tls import TLSConfig

# What the engine may take to answer, beyond what it was told to wait for.
ANSWER_SECONDS = 60
# To choose a default we do not wait long for an engine that is stuck.
PROBE_SECONDS = 2


@contextlib.contextmanager
def connected(endpoint: Endpoint, *, seconds: int = ANSWER_SECONDS) -> Iterator[APIClient]:
    """Open the engine's client for a while; no answer within `seconds` is an error.

    Raises:
        RuntimeUnavailable: the engine does not answer, or refuses what was asked of it in a way
            that the block did not expect.
    """
    import docker
    import docker.errors
    import requests

    client = None
    try:
        _knock(endpoint, seconds)
        client = docker.APIClient(base_url=endpoint.url, timeout=seconds, tls=_tls(endpoint))
        yield client
    except (OSError, docker.errors.DockerException, requests.RequestException) as error:
        reason = _reason(error)
        raise RuntimeUnavailable(
            f"no answer from the Docker engine at {endpoint.url} (from {endpoint.source}): "
            f"{reason.strerror or reason if isinstance(reason, OSError) else reason}",
            hint=_mend(reason, endpoint),
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


def _mend(reason: BaseException, endpoint: Endpoint) -> str:
    if isinstance(reason, PermissionError):
        return (
            f"let your user talk to {endpoint.socket}: join the group that owns it, most often "
            "with `sudo usermod -aG docker $USER` and a new login, or run reconcile as root"
        )
    return (
        "start Docker, or name the right engine with --docker-host or DOCKER_HOST; "
        "use --runtime none where llama-swap does not run in Docker"
    )
