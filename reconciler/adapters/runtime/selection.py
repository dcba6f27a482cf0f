"""Which container is meant: by its name, by a label, or as a service of a compose project."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.adapters.runtime.connection import ANSWER_SECONDS, PROBE_SECONDS, connected
from reconciler.adapters.runtime.endpoint import Endpoint
from reconciler.errors import ReconcilerError, Refused, RuntimeUnavailable, UsageError

if TYPE_CHECKING:
    from docker import APIClient

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
# Set on what `compose run` starts beside the service itself.
_ONE_OFF = "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A container, and the engine that has it while it is open.

    `name` is what the engine is asked with, and not the ID, so that a proxy before its socket can
    tell by the path which container is meant. `attrs` is what the engine tells of it.
    """

    name: str
    attrs: Mapping[str, Any]
    api: APIClient
    endpoint: Endpoint


@contextmanager
def selected(selector: str, endpoints: Sequence[Endpoint]) -> Iterator[Selected]:
    """Open the first of the engines that has the container; see `find` for what `selector` says.

    Raises:
        RuntimeUnavailable: no engine has it, or one does not answer.
        Refused: several containers are meant.
        UsageError: the selector cannot be read.
    """
    for endpoint in choose(selector, endpoints):
        with connected(endpoint, seconds=ANSWER_SECONDS) as api:
            attrs = find(selector, api)
            if attrs is None:
                raise _missing(selector, api, endpoint)
            name = str(attrs["Name"]).lstrip("/")
            yield Selected(name=name, attrs=attrs, api=api, endpoint=endpoint)


def choose(selector: str, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Give the one engine to ask: where nobody chose among several, the first that has it."""
    for endpoint in endpoints if len(endpoints) > 1 else ():
        try:
            with connected(endpoint, seconds=PROBE_SECONDS) as api:
                if find(selector, api) is not None:
                    return (endpoint,)
        except RuntimeUnavailable:
            continue
    return endpoints[-1:]


def find(selector: str, api: APIClient) -> Mapping[str, Any] | None:
    """Inspect `NAME`, `label:KEY=VALUE`, `label:KEY` or `compose:PROJECT/SERVICE`, if one is so.

    Raises:
        Refused: several are so; the message lists them.
        UsageError: the selector cannot be read.
    """
    labels = labels_of(selector)
    if labels is None:
        return _inspect(selector, api)
    listed: list[dict[str, Any]] = api.containers(all=True, filters={"label": labels})
    found = [
        one for one in listed if str((one.get("Labels") or {}).get(_ONE_OFF)).lower() != "true"
    ]
    if len(found) > 1:
        names = ", ".join(sorted(_names(one)[0] for one in found))
        raise Refused(
            f"{selector} means {len(found)} containers: {names}",
            hint="name one of them with --container NAME, or a label that only one has",
        )
    return _inspect(_names(found[0])[0], api) if found else None


def labels_of(selector: str) -> list[str] | None:
    """Give the labels that a selector asks for; None where it is a name.

    Raises:
        UsageError: it begins as a selector, and is none.
    """
    kind, colon, rest = selector.partition(":")
    if not colon:
        return None
    if kind == "label" and rest and not rest.startswith("="):
        return [rest]
    project, slash, service = rest.partition("/")
    if kind == "compose" and project and slash and service:
        return [f"{_PROJECT}={project}", f"{_SERVICE}={service}"]
    raise UsageError(
        f"{selector!r} selects no container",
        hint="name it as --container NAME, label:KEY=VALUE or compose:PROJECT/SERVICE",
    )


def _inspect(name: str, api: APIClient) -> Mapping[str, Any] | None:
    import docker.errors

    try:
        attrs: Mapping[str, Any] = api.inspect_container(name)
    except (docker.errors.NotFound, docker.errors.NullResource):
        return None
    return attrs


def _missing(selector: str, api: APIClient, endpoint: Endpoint) -> ReconcilerError:
    similar = " or ".join(_similar(selector, api))
    name_it = f"did you mean {similar}? name it" if similar else "name the right one"
    return RuntimeUnavailable(
        f"there is no container {selector!r} on the Docker engine at {endpoint.url}",
        hint=f"{name_it} with --container NAME, another engine with --docker-host, "
        "or use --runtime none where llama-swap does not run in Docker",
    )


def _similar(name: str, api: APIClient) -> list[str]:
    """Give the containers that may be meant: close names first, then those of llama-swap images."""
    images = {
        known: str(summary.get("Image", ""))
        for summary in api.containers(all=True)
        for known in _names(summary)
    }
    close = difflib.get_close_matches(name.rpartition("/")[2], images, n=3)
    others = [known for known, image in images.items() if "llama-swap" in image]
    return list(dict.fromkeys(close + others))[:3]


def _names(summary: dict[str, Any]) -> list[str]:
    names = [str(name).lstrip("/") for name in summary.get("Names") or ()]
    return names or [str(summary.get("Id", ""))[:12]]
