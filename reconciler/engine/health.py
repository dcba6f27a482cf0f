"""The health gate: is llama-swap up, and does it serve what its config says?"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.gate import Gate
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.ports.serving import Server
from reconciler.engine.host import Host
from reconciler.errors import KeyRefused, Refused, RuntimeUnavailable, ServerUnreachable

_POLL_SECONDS = 0.25
_PUBLISH = "publish llama-swap's port, or say with RECONCILER_LLAMA_SWAP_URL where it answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What the gate found. `problem` is empty where it let the rollout through."""

    problem: str
    downtime_seconds: float

    @property
    def passed(self) -> bool:
        """Whether it let the rollout through."""
        return not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at it. `final` says that waiting will not help."""

    problem: str = ""
    healthy: bool = False
    final: bool = False


def pass_gate(host: Host, gate: Gate) -> GateResult:
    """Wait until llama-swap is as the gate wants it, or until its time is up.

    Where the host probes, each model that the gate calls changed must then load and answer.
    """
    began = host.clock.monotonic()
    deadline = began + host.health_timeout_seconds
    healthy_at: float | None = None
    looks = 0
    while True:
        look = _look(host, gate)
        looks += 1
        now = host.clock.monotonic()
        if look.healthy and healthy_at is None:
            # What answers at once was never away: that time is our own.
            healthy_at = now if looks > 1 else began
        if not look.problem or look.final or now >= deadline:
            downtime_seconds = (now if healthy_at is None else healthy_at) - began
            problem = look.problem or _probe(host, gate)
            return GateResult(problem=problem, downtime_seconds=downtime_seconds)
        host.clock.sleep(_POLL_SECONDS)


def listed_models(host: Host) -> frozenset[str] | None:
    """Give the IDs llama-swap lists now; None where it does not answer, or nobody may ask it.

    Raises:
        KeyRefused, Refused: the gate could not ask it either, whatever is done until then.
    """
    state = host.runtime.observe()
    if state.status is not RuntimeStatus.RUNNING:
        return None
    if state.url is None:
        raise Refused(_no_port(state), hint=_PUBLISH)
    try:
        return host.open_server(state.url).model_ids()
    except KeyRefused:
        raise
    except ServerUnreachable as error:
        host.reporter.warn(f"{error.message}: what it serves now is not known")
        return None


def _look(host: Host, gate: Gate) -> _Look:
    try:
        state = host.runtime.observe()
    except RuntimeUnavailable as error:
        return _Look(problem=error.message)
    if state.status is RuntimeStatus.UNMANAGED:
        # Whether it runs, and has taken its config, is the matter of whoever runs it.
        return _Look(healthy=True)
    if state.status is not RuntimeStatus.RUNNING:
        # A container that its engine starts again by itself would show as running; of a service, a
        # command may say that it does not run while it comes up.
        return _Look(problem=f"{state.called} has stopped", final=state.is_container)
    if state.url is None:
        return _Look(problem=_no_port(state), final=True)
    if state.is_restarting:
        return _Look(problem=f"{state.called} ends and is started again, over and over")
    server = host.open_server(state.url)
    if not server.is_healthy():
        return _Look(problem=f"{state.url}/health does not answer OK")
    try:
        listed = server.model_ids()
    except ServerUnreachable as error:
        return _Look(problem=error.message, healthy=True)
    if missing := gate.missing(listed):
        problem = f"{state.url}/v1/models does not list {', '.join(missing)}"
        return _Look(problem=problem, healthy=True)
    if lingering := gate.lingering(listed):
        problem = f"{state.url}/v1/models still lists {', '.join(lingering)}"
        return _Look(problem=problem, healthy=True)
    return _Look(healthy=True)


def _probe(host: Host, gate: Gate) -> str:
    """Have each changed model answer; gives what is wrong with the first that does not."""
    server = _server(host) if host.probe and gate.changed else None
    if server is None:
        return ""
    for model in gate.changed:
        host.reporter.say(f"asking {model} for an answer")
        if problem := server.probe(model, gate.load_seconds):
            return f"{model} does not answer: {problem}"
    return ""


def _no_port(state: RuntimeState) -> str:
    return f"{state.called} publishes no port, so nothing can be asked of it"


def _server(host: Host) -> Server | None:
    state = host.runtime.observe()
    if state.status is not RuntimeStatus.RUNNING or state.url is None:
        return None
    return host.open_server(state.url)
