"""Load again, after a reload, the models that were loaded before it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reconciler.core.config_sources import read_sources
from reconciler.core.gate import load_seconds
from reconciler.core.names import ModelId
from reconciler.core.observed import RuntimeStatus
from reconciler.core.ports.serving import Server
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError


def loaded_models(host: Host) -> tuple[str, ...]:
    """Give the models that are loaded now; none where that cannot be seen."""
    try:
        server = _server(host)
        running = server.running() if server is not None else ()
    except ReconcilerError:
        return ()
    return tuple(model.id for model in running if model.state in ("ready", "starting"))


def warm_up(
    host: Host, loaded: tuple[str, ...], renames: Mapping[ModelId, ModelId] = MappingProxyType({})
) -> None:
    """Load those of `loaded` that the config still holds and that are not, one after the other.

    `renames` gives the old ID of each model that got a new one. What does not come up is told of,
    and no more: it is what a request would have met, too.
    """
    if not loaded:
        return
    names = {str(old): str(new) for new, old in renames.items()}
    here = loaded_models(host)
    try:
        config = _live_config(host)
        server = _server(host)
    except ReconcilerError as error:
        host.reporter.warn(f"{error.message}: no model is loaded again")
        return
    models = config.get("models")
    known = models.keys() if isinstance(models, Mapping) else loaded
    for model in (names.get(name, name) for name in loaded):
        if server is None or model in here or model not in known:
            continue
        host.reporter.say(f"loading {model} again")
        if problem := server.load(model, load_seconds(config)):
            host.reporter.warn(f"{model} was loaded before and does not load now: {problem}")


def _live_config(host: Host) -> Mapping[str, Json]:
    """Give all that llama-swap reads as it stands now; nothing where no config is managed."""
    if host.config is None or host.config_path is None:
        return {}
    own = read_config(host.config.read() or b"", host.config_path)
    siblings = host.config_folder.read() if host.config_folder else None
    return read_sources(host.config_path, siblings).merged(own).data


def _server(host: Host) -> Server | None:
    state = host.runtime.observe()
    if state.status is RuntimeStatus.STOPPED or state.url is None:
        return None
    return host.open_server(state.url)
