"""Where the Docker engine is: the option, the environment, or the chosen Docker context.

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

from reconciler.errors import RuntimeUnavailable

DEFAULT_URL = "unix:///var/run/docker.sock"


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


def find_endpoint(option: str | None, *, environ: Mapping[str, str]) -> Endpoint:
    """Choose the engine as the `docker` command would; `option` wins.

    Raises:
        RuntimeUnavailable: the chosen context cannot be read, or is an engine reached over ssh,
            whose containers could not see files of this machine.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
    context = environ.get("DOCKER_CONTEXT") or _current_context(folder)
    if option:
        endpoint = Endpoint(url=option, source="the option", tls_dir=_tls_dir(environ, folder))
    elif environ.get("DOCKER_HOST"):
        url = environ["DOCKER_HOST"]
        endpoint = Endpoint(url=url, source="DOCKER_HOST", tls_dir=_tls_dir(environ, folder))
    elif context and context != "default":
        endpoint = _context_endpoint(folder, context)
    else:
        endpoint = Endpoint(url=DEFAULT_URL, source="the default")
    scheme = urlsplit(endpoint.url).scheme
    if scheme not in ("unix", "tcp", "http", "https"):
        raise RuntimeUnavailable(
            f"cannot use the Docker engine at {endpoint.url} (from {endpoint.source})",
            hint="run reconcile on the engine's own machine, or set DOCKER_HOST to its unix socket",
        )
    return replace(endpoint, found_by=(folder / "config.json", *endpoint.found_by))


def _current_context(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return ""
    name = config.get("currentContext") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


def _context_endpoint(folder: Path, name: str) -> Endpoint:
    # The docker command names a context's folder after the digest of its name.
    key = sha256(name.encode()).hexdigest()
    path = folder / "contexts" / "meta" / key / "meta.json"
    try:
        docker = json.loads(path.read_bytes())["Endpoints"]["docker"]
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
