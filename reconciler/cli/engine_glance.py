"""What the container engine tells of llama-swap's container, as one value to compare later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.cli.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGlance:
    """`told` is the engine's socket, the container's name, and a digest of what it tells of it.

    It is None where no engine is asked. `found_by` are the files by which the engine was found,
    there or not, and `mounted` the folders of this host that the container mounts.
    """

    told: tuple[str, str, str] | None = None
    found_by: tuple[Path, ...] = ()
    mounted: tuple[str, ...] = ()


def glance_at_engine(settings: Settings) -> EngineGlance | None:
    """Look at the container, as far as its runtime is Docker or not known.

    None where the engine does not answer on a socket of this machine.
    """
    if settings.runtime == "none":
        return EngineGlance()
    if settings.runtime == "command":
        # What a command tells is known to nobody but who runs it.
        return None
    from reconciler.adapters.runtime.endpoint import find_endpoints
    from reconciler.adapters.runtime.glance import glance

    try:
        endpoint, *others = find_endpoints(settings.docker_host, environ=settings.environment)
        # Which of several engines has the container is not for a glance to find out.
        if others or endpoint.socket is None:
            return None
        if not endpoint.socket.exists():
            return EngineGlance(found_by=(*endpoint.found_by, endpoint.socket))
        digest, mounted = glance(str(endpoint.socket), settings.container)
    except (ReconcilerError, OSError, ValueError, TypeError, AttributeError):
        return None
    return EngineGlance(
        told=(str(endpoint.socket), settings.container, digest),
        found_by=endpoint.found_by,
        mounted=tuple(mounted),
    )
