"""Have llama-swap take a config that was written, and see that it did: gently first, then harder.

What proves it: llama-swap sees the bytes that were written, its log or its list of models tells of
the reload, and no line of the log says that it failed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, assert_never

from reconciler.core.gate import Gate
from reconciler.core.mapping import to_container
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.reload import Rung, Strategy, Verdict, ladder, read_verdict
from reconciler.core.rollout import LogMark, Rollout
from reconciler.engine.closer_look import running_version
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError, RuntimeFailed, ServerUnreachable

_POLL_SECONDS: Final = 0.25
# 2026 looks every two seconds, 2025 waits for one second of quiet; three looks may be slow ones.
_WATCH_SECONDS: Final = 8.0
# A signal is handled at once. One that came during another reload is lost, so it is sent again.
_SIGNAL_SECONDS: Final = 3.0
_SIGNALS: Final = 3
# A reload that was begun ends when the old models are gone, for which 2026 takes up to 30 s.
_RELOAD_SECONDS: Final = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadResult:
    """How llama-swap was told: `strategy` is the way that showed an effect, `NONE` where none did.

    `problem` is empty where nothing speaks against its having taken what was written. `unhealthy`
    says that it is this that it did not take; `kept_old`, that it goes on with what it had.
    `downtime_seconds` is how long `/health` did not answer meanwhile.
    """

    strategy: Strategy = Strategy.NONE
    problem: str = ""
    unhealthy: bool = False
    kept_old: bool = False
    downtime_seconds: float = 0.0


def mark_log(host: Host) -> LogMark:
    """Remember how far the log has come; engines may tell of times by the second alone."""
    moment = host.clock.now()
    return LogMark(moment=moment.isoformat(), lines_before=len(host.runtime.log_since(moment)))


def tell(
    rollout: Rollout, host: Host, gate: Gate, *, listed_before: Collection[str] | None
) -> ReloadResult:
    """Have llama-swap serve what a rollout has brought, or taken back: by no more than it needs.

    New bytes under a path that stays need no reload: each model that they belong to is stopped, and
    loads them when it is asked next. The rest is as for `reload`.
    """
    if rollout.unload:
        try:
            problem = _unload(host, rollout.unload)
        except ReconcilerError as error:
            return ReloadResult(problem=error.message)
        if not problem:
            return ReloadResult()
        host.reporter.warn(f"{problem}; {', '.join(rollout.unload)} cannot be unloaded")
    return reload(host, gate, listed_before=listed_before, written=rollout.mark)


def reload(
    host: Host, gate: Gate, *, listed_before: Collection[str] | None, written: LogMark | None
) -> ReloadResult:
    """Have llama-swap take the config as it stands, by each way there is until one shows.

    `gate` says what it must list then, and `listed_before` what it did (None: not known). `written`
    is where its log stood before the config was written, None where that was not done. One that has
    ended in the meantime is started again.
    """
    try:
        state = host.runtime.observe()
        telling = _Telling(host=host, gate=gate, state=state, before=listed_before)
        rungs = _rungs(host, state, written=written)
        down_seconds = 0.0
        for rung in rungs:
            try:
                result = telling.go(rung, written)
            except RuntimeFailed as error:
                if rung is rungs[-1]:
                    raise
                host.reporter.say(error.message)
                continue
            down_seconds += result.downtime_seconds
            if result.problem or result.strategy is not Strategy.NONE:
                return replace(result, downtime_seconds=down_seconds)
            host.reporter.say(f"{state.called}: {rung.strategy} shows no effect")
        if not _sees_config(host, state):
            problem = _sees_another(host, state)
            return ReloadResult(problem=problem, downtime_seconds=down_seconds)
        if state.status is not RuntimeStatus.UNMANAGED:
            host.reporter.warn(
                f"{state.called}: whether it has taken what was written cannot be seen",
                "look at its log; --reload auto makes sure of it by a restart",
            )
        return ReloadResult(downtime_seconds=down_seconds)
    except RuntimeFailed as error:
        return ReloadResult(problem=error.message, unhealthy=True)
    except ReconcilerError as error:
        return ReloadResult(problem=error.message)


def _unload(host: Host, models: tuple[str, ...]) -> str:
    """Stop models; gives why that could not be done, empty where it was."""
    state = host.runtime.observe()
    if state.url is None:
        return f"{state.called} publishes no port, so nothing can be asked of it"
    server = host.open_server(state.url)
    try:
        for model in models:
            server.unload(model)
    except ServerUnreachable as error:
        return error.message
    return ""


def _rungs(host: Host, state: RuntimeState, *, written: LogMark | None) -> tuple[Rung, ...]:
    """Give the ways to try, gentlest first.

    What has ended is restarted, whatever was asked for. What sees another file than ours, or does
    not answer, needs that too. What watches is told by the write itself, and by nothing else.
    """
    if state.status is RuntimeStatus.STOPPED or state.is_restarting:
        return ladder(state, None, Strategy.RESTART)
    rungs = ladder(state, running_version(host, state), host.reload)
    if len(rungs) == 1:
        return rungs
    gentle = _answers(host, state) and _sees_config(host, state)
    return tuple(
        rung
        for rung in rungs
        if rung.strategy is Strategy.RESTART
        or (gentle and (rung.strategy is not Strategy.WATCH or written is not None))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """One reload, whichever way it goes: `before` is what was listed, None where nobody knows.

    Each way gives a result whose strategy is `NONE` where it shows no effect.
    """

    host: Host
    gate: Gate
    state: RuntimeState
    before: Collection[str] | None

    def go(self, rung: Rung, written: LogMark | None) -> ReloadResult:
        match rung.strategy:
            case Strategy.WATCH:
                return self._await(rung, written or mark_log(self.host), _WATCH_SECONDS)
            case Strategy.SIGNAL:
                return self._signal(rung)
            case Strategy.RESTART:
                return self._restart()
            case Strategy.NONE:
                return ReloadResult()
            case _:
                assert_never(rung.strategy)

    def _signal(self, rung: Rung) -> ReloadResult:
        """Send SIGHUP until it shows: one that comes during a reload is lost."""
        down_seconds = 0.0
        for _ in range(_SIGNALS):
            mark = mark_log(self.host)
            self.host.runtime.hang_up()
            if not self.state.has_log:
                # How the command ended is all that there is to go by.
                return ReloadResult(strategy=rung.strategy)
            result = self._await(rung, mark, _SIGNAL_SECONDS)
            down_seconds += result.downtime_seconds
            if result.problem or result.strategy is not Strategy.NONE:
                return replace(result, downtime_seconds=down_seconds)
        return ReloadResult(downtime_seconds=down_seconds)

    def _restart(self) -> ReloadResult:
        host = self.host
        began = host.clock.monotonic()
        host.runtime.restart()
        down_seconds = host.clock.monotonic() - began
        state = host.runtime.observe()
        return ReloadResult(
            strategy=Strategy.RESTART,
            problem="" if _sees_config(host, state) else _sees_another(host, state),
            downtime_seconds=down_seconds,
        )

    def _await(self, rung: Rung, mark: LogMark, seconds: float) -> ReloadResult:
        """Look until a reload shows, or for `seconds`; one that was begun may take its time."""
        host = self.host
        began = host.clock.monotonic()
        pulse = _Pulse(host=host, last_seen=began)
        while True:
            state = host.runtime.observe()
            if state.status is not RuntimeStatus.RUNNING or state.is_restarting:
                problem = f"{state.called} has stopped while it reloaded its config"
                return ReloadResult(strategy=rung.strategy, problem=problem, unhealthy=True)
            pulse.take(state)
            logged = host.runtime.log_since(datetime.fromisoformat(mark.moment))
            said = read_verdict(logged[mark.lines_before :])
            if said is not None and said.verdict is Verdict.FAILED:
                return ReloadResult(
                    strategy=rung.strategy,
                    problem=f"llama-swap did not take the config: {said.line}",
                    unhealthy=True,
                    kept_old=True,
                    downtime_seconds=pulse.down_seconds,
                )
            reloaded = said is not None and said.verdict is Verdict.RELOADED
            if reloaded or self._lists_anew(state):
                return ReloadResult(strategy=rung.strategy, downtime_seconds=pulse.down_seconds)
            if host.clock.monotonic() - began >= (_RELOAD_SECONDS if said else seconds):
                return ReloadResult(downtime_seconds=pulse.down_seconds)
            host.clock.sleep(_POLL_SECONDS)

    def _lists_anew(self, state: RuntimeState) -> bool:
        """Whether the list of models is as it must be, and was not so before."""
        before, gate = self.before, self.gate
        if before is None or state.url is None:
            return False
        if not (gate.missing(before) or gate.lingering(before)):
            return False
        try:
            listed = self.host.open_server(state.url).model_ids()
        except ServerUnreachable:
            return False
        return not (gate.missing(listed) or gate.lingering(listed))


@dataclass(slots=True, kw_only=True)
class _Pulse:
    """How long `/health` has not answered, look by look."""

    host: Host
    last_seen: float
    down_seconds: float = 0.0

    def take(self, state: RuntimeState) -> None:
        now = self.host.clock.monotonic()
        if not _answers(self.host, state):
            self.down_seconds += now - self.last_seen
        self.last_seen = now


def _answers(host: Host, state: RuntimeState) -> bool:
    """Whether `/health` answers; where its address is not known, it is taken to."""
    return state.url is None or host.open_server(state.url).is_healthy()


def _sees_config(host: Host, state: RuntimeState) -> bool:
    """Whether llama-swap sees the bytes that lie here; where nobody can look, it is taken to."""
    if host.config is None or host.config_path is None or not state.is_container:
        return True
    inside = state.config_inside
    if inside is None or state.config_path != host.config_path:
        inside = to_container(host.config_path, state.mappings)
    seen = host.runtime.read_inside(inside) if inside is not None else None
    return seen is None or seen == host.config.read()


def _sees_another(host: Host, state: RuntimeState) -> str:
    return f"{state.called} sees another config than the one at {host.config_path}"
