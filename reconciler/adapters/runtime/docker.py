"""llama-swap in a Docker container: looked at, started, told to reload, its log read.

Every call opens its own connection and closes it, so nothing is held between two looks and an
engine that was restarted meanwhile is no trouble. The `docker` package is imported by the first
call, not before. Podman answers the same questions on its own socket.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.adapters.runtime import inside
from reconciler.adapters.runtime.connection import PROBE_SECONDS, connected
from reconciler.adapters.runtime.endpoint import find_endpoints
from reconciler.adapters.runtime.inspection import read_inspection
from reconciler.adapters.runtime.selection import Selected, find, selected
from reconciler.core.observed import RuntimeState, Sight
from reconciler.errors import ReconcilerError, RuntimeFailed, RuntimeUnavailable

# llama-swap lets running answers finish for 30 s and then takes up to 5 s to stop its models;
# Docker's own 10 s would cut them. The library waits for the answer this much longer than usual.
RESTART_GRACE_SECONDS = 40
# Wide, so that no command is cut; the same titles on every system that has procps.
_PROCESSES = "-ww -eo pid,args"


class DockerRuntime:
    """One container of one Docker engine; implements the port `Runtime`.

    `container` is a name, `label:KEY=VALUE` or `compose:PROJECT/SERVICE`. Every call raises
    `Refused` where that means several containers, and `UsageError` where it means nothing.
    """

    def __init__(
        self,
        *,
        container: str,
        endpoint: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._selector = container
        self._option = endpoint
        self._environ = os.environ if environ is None else environ

    def observe(self) -> RuntimeState:
        """Look at the container anew. Raises `RuntimeUnavailable`."""
        with self._container() as container:
            top, problems = _processes(container)
            return read_inspection(
                container.attrs,
                endpoint=container.endpoint.url,
                host=container.endpoint.host,
                top=top,
                problems=problems,
            )

    def restart(self) -> None:
        """Restart the container, running answers given 40 s to end; a stopped one is started.

        Raises:
            RuntimeUnavailable: the engine does not answer, or the container is gone.
            RuntimeFailed: the engine could not restart it.
        """
        with self._telling("restart") as container:
            container.api.restart(container.name, timeout=RESTART_GRACE_SECONDS)

    def hang_up(self) -> None:
        """Send SIGHUP to the container's main process. Raises as `restart`."""
        with self._telling("send SIGHUP to") as container:
            container.api.kill(container.name, signal="SIGHUP")

    def read_inside(self, path: str) -> bytes | None:
        """Give the bytes that its processes see at `path`. Raises `RuntimeUnavailable`."""
        with self._container() as container:
            return inside.read_inside(container, path)

    def sights(self, paths: Sequence[str]) -> Mapping[str, Sight]:
        """Say how its user sees each path. Raises `RuntimeUnavailable`."""
        if not paths:
            return {}
        with self._container() as container:
            return inside.sights(container, paths)

    def log_since(self, moment: datetime) -> tuple[str, ...]:
        """Give the lines it logged from `moment` on, to the second or finer. Never raises."""
        return self._log(since=moment.timestamp())

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest `count` lines of its log; empty where there are none. Never raises."""
        return self._log(tail=max(count, 0))

    def _log(self, **which: Any) -> tuple[str, ...]:
        try:
            with self._container() as container:
                log: bytes = container.api.logs(container.name, **which)
        except ReconcilerError:
            return ()
        return tuple(log.decode("utf-8", "replace").splitlines())

    def _container(self) -> AbstractContextManager[Selected]:
        return selected(self._selector, find_endpoints(self._option, environ=self._environ))

    @contextmanager
    def _telling(self, what: str) -> Iterator[Selected]:
        """Open the container to tell it something, and say in our words what the engine refuses."""
        import docker.errors
        import requests

        with self._container() as container:
            look = f"docker logs --tail 50 {container.name}"
            try:
                yield container
            except docker.errors.APIError as error:
                raise RuntimeFailed(
                    f"Docker could not {what} the container {container.name}: {error.explanation}",
                    hint=f"see what it says itself: {look}",
                ) from error
            except requests.exceptions.Timeout as error:
                raise RuntimeFailed(
                    f"Docker did not {what} the container {container.name} in time",
                    hint=f"look at it: docker ps -a; {look}",
                ) from error


def find_container(
    container: str, endpoint: str | None = None, *, environ: Mapping[str, str] | None = None
) -> bool:
    """Whether there is an engine that has that container; False too where no engine is.

    Raises:
        ReconcilerError: there is an engine, or one is named, and it does not answer us soon; or the
            selector is wrong, or means several.
    """
    silent: ReconcilerError | None = None
    for found in find_endpoints(endpoint, environ=os.environ if environ is None else environ):
        if found.socket is not None and _is_absent(found.socket):
            continue
        try:
            with connected(found, seconds=PROBE_SECONDS) as api:
                if find(container, api) is not None:
                    return True
        except RuntimeUnavailable as error:
            silent = error
    if silent is not None:
        raise silent
    return False


def _is_absent(socket: Path) -> bool:
    try:
        return not socket.exists()
    except OSError:
        # Who may not even look is told so, in our words, by the attempt to connect.
        return False


def _processes(
    container: Selected,
) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Give its list of processes, None where it has none; and why it could not be had."""
    import docker.errors

    if (container.attrs.get("State") or {}).get("Status") not in ("running", "paused"):
        return None, ()
    try:
        try:
            return container.api.top(container.name, ps_args=_PROCESSES), ()
        except docker.errors.APIError:
            # Another engine's `ps` may not know these arguments.
            return container.api.top(container.name), ()
    except docker.errors.APIError as error:
        # It may have ended just now, or what stands before the engine does not let us ask.
        return None, (f"its list of processes cannot be had: {error.explanation}",)
