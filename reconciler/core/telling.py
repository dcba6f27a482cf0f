"""What llama-swap is told once all is in its place: to reload, to restart, to unload, nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.actions import (
    Action,
    EditReference,
    Place,
    Reload,
    RemoveEntry,
    Rename,
    Replace,
    Restart,
    SetEntry,
    Unload,
)
from reconciler.core.desired import Desired
from reconciler.core.ledger import Ledger
from reconciler.core.names import ModelId, RelPath
from reconciler.core.observed import Observed, RuntimeStatus
from reconciler.core.refusal import Refusal
from reconciler.core.reload import Strategy, guard_reload, ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is done to the thing that runs llama-swap, and why it may not be."""

    actions: tuple[Reload | Restart | Unload, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def tell_server(
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    config: Mapping[str, Any],
    *,
    config_changed: bool,
    places: Sequence[Place | Replace],
    asked: str,
) -> Telling:
    """Decide it. `config` is all that llama-swap reads, as it is; `asked` is what `ladder` takes.

    One that is stopped stays so, and files that no entry names need nothing. One that nobody
    manages is asked to unload, and no more, where its address is known.
    """
    status = observed.runtime.status
    if status is RuntimeStatus.STOPPED or asked == Strategy.NONE:
        return Telling()
    if status is RuntimeStatus.UNMANAGED:
        if observed.runtime.url is None:
            return Telling()
    elif config_changed:
        return _reload(observed, "its config changes", asked)
    elif ledger.reload_pending:
        return _reload(observed, "an earlier run was cut short before it could tell", asked)
    changing = {item.path for item in places if isinstance(item, Replace)}
    users = _users(changing, desired, config)
    if not users:
        return Telling()
    reason = "the files that they serve get other bytes"
    return Telling(actions=(Unload(container=observed.runtime.name, models=users, reason=reason),))


def container_note(
    observed: Observed, actions: Sequence[Action], *, config_changed: bool, asked: str
) -> str:
    """Say in a few words what becomes of the thing that runs llama-swap."""
    name = observed.runtime.called
    changes = any(
        isinstance(item, SetEntry | RemoveEntry | EditReference | Rename | Replace)
        for item in actions
    )
    if observed.runtime.status is RuntimeStatus.UNMANAGED:
        unloads = [model for item in actions if isinstance(item, Unload) for model in item.models]
        if unloads and not config_changed:
            return f"not managed; llama-swap is asked to unload {', '.join(unloads)}"
        return "not managed: restart llama-swap yourself" if changes else "not managed"
    if observed.runtime.status is RuntimeStatus.STOPPED:
        return f"{name} is stopped and stays so"
    for item in actions:
        match item:
            case Restart():
                return f"{name} restarts: {item.reason}"
            case Reload():
                return f"{name} reloads, for {item.how}: {item.reason}"
            case Unload():
                return f"{name} unloads {', '.join(item.models)}: {item.reason}"
    if changes and asked == Strategy.NONE:
        return f"{name} is not told (--reload none)"
    return f"{name} is left alone"


def _reload(observed: Observed, reason: str, asked: str) -> Telling:
    state = observed.runtime
    rungs = ladder(state, observed.version, asked)
    if not rungs:
        return Telling(refusals=guard_reload(state, observed.version, asked))
    first = rungs[0]
    if first.strategy is Strategy.RESTART:
        return Telling(actions=(Restart(container=state.name, reason=reason),))
    action = Reload(container=state.name, strategy=first.strategy, how=first.reason, reason=reason)
    return Telling(actions=(action,))


def _users(
    paths: Collection[RelPath], desired: Desired, config: Mapping[str, Any]
) -> tuple[ModelId, ...]:
    """Give the entries that serve a file at one of `paths`, whoever made them."""
    if not paths:
        return ()
    ours = {
        key
        for key, model in desired.models.items()
        if model.spec.enabled and any(file.path in paths for file in model.files)
    }
    entries = config.get("models")
    return tuple(
        ModelId(key)
        for key, entry in (entries.items() if isinstance(entries, Mapping) else ())
        if key in ours or any(path in _command(entry) for path in paths)
    )


def _command(entry: object) -> str:
    return str(entry.get("cmd") or "") if isinstance(entry, Mapping) else ""
