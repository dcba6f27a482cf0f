"""Where the Docker engine is: the option, the environment, the Docker context, or a usual socket.

The library behind the Docker runtime knows nothing of contexts, so a person on Docker Desktop,
colima or a rootless engine would be told that there is no engine while `docker ps` works.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.adapters.base.whole_file import read_whole
from reconciler.errors import RuntimeUnavailable

DEFAULT_URL = "unix:///var/run/docker.sock"
_PODMAN_SOCKET = "/run/podman/podman.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One engine's address. `tls_dir` holds ca.pem, cert.pem and key.pem where TLS is asked for.

    `found_by` are the files that chose it, there or not.
    """

    url: str
    source: str
    tls_dir: str | None = None
    verify: bool = True
    found_by: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def socket(self) -> Path | None:
        """The engine's socket file, if it answers on one."""
        parts = urlsplit(self.url)
        return Path(parts.path) if parts.scheme == "unix" else None

    @property
    def host(self) -> str:
        """The host under which the ports that this engine publishes are reached from here."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1" if parts.scheme != "unix" else "127.0.0.1"


def find_endpoints(option: str | None, *, environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Choose the engine as the `docker` command would; `option` wins.

    There are several only where nobody chose and there is more than one of the usual sockets: a
    rootless engine's, Podman's, the system's. The one that has the container is meant then.

    Raises:
        RuntimeUnavailable: the chosen context cannot be read, or is an engine reached over ssh,
            whose containers could not see files of this machine.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
    context = environ.get("DOCKER_CONTEXT") or _current_context(folder)
    if option:
        found = [Endpoint(url=option, source="the option", tls_dir=_tls_dir(environ, folder))]
    elif environ.get("DOCKER_HOST"):
        url = environ["DOCKER_HOST"]
        found = [Endpoint(url=url, source="DOCKER_HOST", tls_dir=_tls_dir(environ, folder))]
    elif context and context != "default":
        found = [_context_endpoint(folder, context)]
    else:
        found = _usual_endpoints(environ)
    for endpoint in found:
        if urlsplit(endpoint.url).scheme not in ("unix", "tcp", "http", "https"):
            raise RuntimeUnavailable(
                f"cannot use the Docker engine at {endpoint.url} (from {endpoint.source})",
                hint="run reconcile on the engine's own machine, or set DOCKER_HOST to its unix "
                "socket",
            )
    config = folder / "config.json"
    return tuple(replace(item, found_by=(config, *item.found_by)) for item in found)


def _usual_endpoints(environ: Mapping[str, str]) -> list[Endpoint]:
    """Give the sockets that are there, of those that engines listen on; else the default alone."""
    own = environ.get("XDG_RUNTIME_DIR")
    usual = [
        *([(f"{own}/docker.sock", "the rootless engine's socket")] if own else ()),
        *([(f"{own}/podman/podman.sock", "the user's Podman socket")] if own else ()),
        (_PODMAN_SOCKET, "the system's Podman socket"),
        (DEFAULT_URL.removeprefix("unix://"), "the default"),
    ]
    # That one of them comes or goes may lead to another engine.
    asked = tuple(Path(path) for path, _ in usual)
    known = [
        Endpoint(url=f"unix://{path}", source=source, found_by=asked) for path, source in usual
    ]
    there = [item for item in known if item.socket is not None and _is_there(item.socket)]
    return there or known[-1:]


def _is_there(socket: Path) -> bool:
    try:
        return socket.exists()
    except OSError:
        # It lies in a folder that is not ours to look into: another user's engine.
        return False


def _current_context(folder: Path) -> str:
    try:
        config = json.loads(read_whole(folder / "config.json"))
    except (OSError, ValueError):
        return ""
    name = config.get("currentContext") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


def _context_endpoint(folder: Path, name: str) -> Endpoint:
    # The docker command names a context's folder after the digest of its name.
    key = sha256(name.encode()).hexdigest()
    path = folder / "contexts" / "meta" / key / "meta.json"
    try:
        docker = json.loads(read_whole(path))["Endpoints"]["docker"]
        url, skip_verify = str(docker["Host"]), bool(docker.get("SkipTLSVerify"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeUnavailable(
            f"cannot read the Docker context {name!r}: {path}",
            hint="choose another with `docker context use default`, or set DOCKER_HOST",
        ) from error
    tls_dir = folder / "contexts" / "tls" / key / "docker"
    return Endpoint(
        url=url,
        source=f"the Docker context {name!r}",
        tls_dir=str(tls_dir) if tls_dir.is_dir() else None,
        verify=not skip_verify,
        found_by=(path,),
    )


def _tls_dir(environ: Mapping[str, str], folder: Path) -> str | None:
    if not environ.get("DOCKER_TLS_VERIFY"):
        return None
    return environ.get("DOCKER_CERT_PATH") or str(folder)
