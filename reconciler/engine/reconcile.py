"""One reconcile pass: look, decide, and (if that is wanted) act.

`prepare` is the whole path up to the plan and changes nothing; a dry run, `status` and the watch
loop all end there when there is nothing to do. `apply` is the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from reconciler.core.comparison import compare_states
from reconciler.core.desired import Desired, Stall, expand
from reconciler.core.drain import reach_of, reach_of_rest
from reconciler.core.generations import manifest_to_text
from reconciler.core.going_back import Return, gone_back
from reconciler.core.ledger import Ledger
from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import Manifest
from reconciler.core.names import ModelId
from reconciler.core.observed import Observed, RuntimeState
from reconciler.core.plan import Plan, build_plan
from reconciler.core.reading.lock_text import lock_digest
from reconciler.core.runs import RunReport
from reconciler.engine.closer_look import look_closer
from reconciler.engine.drain import drain
from reconciler.engine.fetch import Fetched, fetch_all
from reconciler.engine.host import Host
from reconciler.engine.host_pins import (
    HostPins,
    PinTexts,
    load_pins,
    settled,
    with_moves,
    write_pins,
)
from reconciler.engine.knowledge import keep_headers, learn
from reconciler.engine.observe import observe
from reconciler.engine.prepared import Options, Prepared
from reconciler.engine.prune import make_room
from reconciler.engine.recovery import known_ledger
from reconciler.engine.resolve import resolve
from reconciler.engine.rollback import RolloutResult
from reconciler.engine.rollout import carry_out, prepare_rollout
from reconciler.engine.shield import shielded
from reconciler.engine.told import (
    cannot_return,
    kept_waiting,
    problem_of,
    reported,
    touched_models,
)
from reconciler.engine.warm import loaded_models, warm_up
from reconciler.engine.window import (
    held_models,
    lacking_models,
    opens_in_seconds,
    rollout_waits_seconds,
    waiting_rollout,
)
from reconciler.errors import ReconcilerError, Refused, RuntimeUnavailable, Waiting


def prepare(
    host: Host,
    manifest: Manifest,
    options: Options,
    *,
    moves: Mapping[ModelId, Pin] = MappingProxyType({}),
) -> Prepared:
    """Look and decide; nothing is changed. `moves` are pins that take the place of those there.

    Raises:
        LockInvalid, ManifestInvalid, ConfigUnreadable: a file cannot be accepted.
        RuntimeUnavailable: the container cannot be looked at.
        Refused: a pin is missing, and `options.locked` forbids to add it.
    """
    if unfinished := host.inventory.load_rollout():
        host.reporter.warn(
            f"run {unfinished.run} was cut short, and this is how it left things",
            "the next run finishes it first",
        )
    before = load_pins(host, manifest.models)
    resolution = resolve(
        manifest,
        Lock(pins={**before.pins.pins, **moves}) if moves else before.pins,
        hub=host.hub,
        transfer=host.transfer,
        local=host.local,
        models_dir=str(host.folder.root),
    )
    for hint in resolution.hints:
        host.reporter.say(hint)
    if options.locked and resolution.changed:
        raise Refused(
            f"{host.lock_path} lacks {', '.join(resolution.changed)}, "
            "and --locked forbids to add them",
            hint="run `reconcile lock` and commit the lock file",
        )
    desired = expand(
        manifest,
        resolution.lock,
        lock_digest=lock_digest(resolution.lock),
        stalled={key: _stall(error) for key, error in resolution.stalled.items()},
    )
    ledger, recovered = known_ledger(host, manifest, before.pins)
    # Pins that move are written by the rollout, and only where it brings their files.
    unmoved = {**resolution.lock.pins, **{key: before.pins.pins[key] for key in moves}}
    return decide(
        host,
        options,
        manifest=manifest,
        desired=desired,
        ledger=ledger,
        lock=resolution.lock,
        pins_before=before,
        pins_after=settled(before, Lock(pins=unmoved), manifest.models, changed=resolution.changed),
        moves=moves,
        recovered=recovered,
    )


def decide(
    host: Host,
    options: Options,
    *,
    manifest: Manifest,
    desired: Desired,
    ledger: Ledger,
    lock: Lock,
    pins_before: HostPins,
    pins_after: HostPins,
    moves: Mapping[ModelId, Pin] = MappingProxyType({}),
    recovered: bool = False,
    back: Return | None = None,
) -> Prepared:
    """Look at the host and plan for what is desired; what is given is as in `Prepared`.

    Raises what `prepare` raises of config and container.
    """
    observed = observe(host, desired, ledger)
    _expect_the_same_runtime(ledger, observed.runtime, options)
    plan = _plan(host, desired, observed, ledger, options, back=back)
    # Going back is done whole or not at all.
    held = held_models(plan, desired, observed, host) if back is None else {}
    if held:
        desired = _without(desired, held)
        plan = _plan(host, desired, observed, ledger, options, back=back)
    waits_seconds = rollout_waits_seconds(plan, observed.runtime, host)
    if waits_seconds:
        plan = replace(plan, warnings=(*plan.warnings, waiting_rollout(host)))
    fetch_waits_seconds = opens_in_seconds(host) if held else 0.0
    before, after = pins_before, pins_after
    return Prepared(
        manifest=manifest,
        desired=desired,
        lock=lock,
        lock_before=before.texts.lock,
        changes_lock=(after.lock, after.moved) != (before.lock, before.moved),
        pins_before=before,
        pins_after=after,
        moves=moves,
        observed=observed,
        ledger=ledger,
        plan=plan,
        recovered=recovered,
        held=frozenset(held) | (touched_models(plan) if waits_seconds else frozenset()),
        opens_in_seconds=min(filter(None, (waits_seconds, fetch_waits_seconds)), default=0.0),
        back=back,
    )


def _plan(
    host: Host,
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    options: Options,
    *,
    back: Return | None,
) -> Plan:
    """Compare, look closer where llama-swap's config changes, and plan."""
    compared = compare_states(
        desired,
        observed,
        ledger,
        server=host.llama_server,
        max_key_length=options.max_key_length,
    )
    plan = build_plan(
        look_closer(host, compared),
        allow_prune=options.allow_prune,
        reserve_bytes=options.reserve_bytes,
        reload=host.reload,
    )
    return gone_back(plan, back) if back is not None else plan


def _without(desired: Desired, stalled: Mapping[ModelId, Stall]) -> Desired:
    """Set models aside that cannot be applied now."""
    return replace(
        desired,
        models={key: model for key, model in desired.models.items() if key not in stalled},
        stalled={**desired.stalled, **stalled},
    )


def _expect_the_same_runtime(ledger: Ledger, runtime: RuntimeState, options: Options) -> None:
    """An engine that is down must not pass for a host without one: every path would change."""
    if ledger.container and not runtime.name and not options.runtime_named:
        raise RuntimeUnavailable(
            f"container {ledger.container} served these models last time, "
            "and now no Docker engine that has it answers",
            hint="start Docker, name the container with --container NAME, or say --runtime none "
            "if llama-swap does not run in a container any more",
        )


def settle(host: Host, options: Options) -> None:
    """Bring what an earlier run did not finish to its end: carried on, or taken back.

    Raises:
        Refused: it was changing another config than this run manages.
        RuntimeUnavailable: it had a container, and none is found now.
        ReconcilerError: it cannot be ended yet, or the old state does not come up either.
    """
    unfinished = host.inventory.load_rollout()
    if unfinished is None:
        return
    config_path = unfinished.ledger_after.config_path
    if unfinished.changes_config and config_path != host.config_path:
        raise Refused(
            f"run {unfinished.run} was cut short while it changed {config_path}",
            hint=f"run once more with --config {config_path}, so that it can be finished",
        )
    _expect_the_same_runtime(unfinished.ledger_after, host.runtime.observe(), options)
    host.reporter.say(f"finishing run {unfinished.run}, which was cut short")
    drain(host, reach_of_rest(unfinished, host.runtime.observe()))
    with shielded():
        result = carry_out(unfinished, host)
    told = f"run {unfinished.run} was taken back: {problem_of(result)}"
    if result.old_state_problem:
        raise ReconcilerError(told, hint="see llama-swap's log and `reconcile doctor`; run again")
    if result.problem:
        host.reporter.warn(told)


def apply(
    host: Host, prepared: Prepared, report: RunReport, options: Options
) -> tuple[RunReport, Plan]:
    """Do what the plan says, in its fixed order; tell what came of it, and the plan as it was then.

    Raises:
        Refused: the plan is refused, or the lock changed since it was made.
        ReconcilerError: something failed, and nothing that shows is changed any more.
    """
    _refuse(prepared.plan)
    pins = prepared.pins_after
    if prepared.back is None:
        pins = write_pins(host, prepared.pins_before, pins)
    make_room(prepared.plan, host)
    fetched = fetch_all(prepared.plan, prepared.ledger, host)
    failures = _failed_models(prepared, fetched)
    if failures and prepared.back is not None:
        raise cannot_return(failures)
    desired = _without(prepared.desired, failures)

    def look_again() -> tuple[Observed, Plan]:
        observed = observe(host, desired, prepared.ledger)
        plan = _plan(host, desired, observed, prepared.ledger, options, back=prepared.back)
        _refuse(plan)
        return observed, plan

    # Fetching may have taken hours: the config, the disk and the container are looked at again.
    observed, plan = look_again()
    if rollout_waits_seconds(plan, observed.runtime, host):
        return kept_waiting(report, plan, fetched), plan
    drained = drain(host, reach_of(plan, observed.runtime))
    while drained.waited_seconds:
        # So may the requests in flight. While all is looked at, new ones may come.
        observed, plan = look_again()
        if drained.left:
            break
        drained = drain(host, reach_of(plan, observed.runtime), before=drained)
    placed = {key: pin for key, pin in prepared.moves.items() if key in desired.models}
    pins_after = with_moves(pins, placed)
    result = _roll_out(plan, host, prepared, run=report.run, pins_after=pins_after)
    if result.problem and not result.unhealthy:
        raise ReconcilerError(
            f"{problem_of(result)}; what was changed has been taken back",
            hint="mend that and run again",
        )
    if not result.problem:
        learn(host, plan.ledger_after)
        keep_headers(host, prepared.observed.on_disk)
    return reported(report, plan, fetched, result), plan


def _refuse(plan: Plan) -> None:
    if plan.refusals:
        raise Refused(
            "\n".join(refusal.message for refusal in plan.refusals),
            hint="; ".join(dict.fromkeys(refusal.hint for refusal in plan.refusals)),
        )


def _stall(error: ReconcilerError) -> Stall:
    return Stall(reason=error.message, hint=error.hint, waiting=isinstance(error, Waiting))


def _failed_models(prepared: Prepared, fetched: Fetched) -> Mapping[ModelId, Stall]:
    """Find the models that want bytes which could not be brought, where they are not yet."""
    lacking = lacking_models(prepared.desired, prepared.observed, fetched.failed)
    return {key: _stall(fetched.failed[digest]) for key, digest in lacking.items()}


def _roll_out(
    plan: Plan, host: Host, prepared: Prepared, *, run: str, pins_after: PinTexts
) -> RolloutResult:
    if plan.is_empty and prepared.back is None:
        if prepared.moves:
            host.moved.write(pins_after.moved)
        if prepared.recovered or plan.ledger_after != prepared.ledger:
            host.inventory.save_ledger(plan.ledger_after)
        return RolloutResult()
    loaded = loaded_models(host) if host.warm else ()
    with shielded():
        rollout = prepare_rollout(
            plan,
            host,
            prepared.ledger,
            run=run,
            desired_digest=prepared.desired.digest,
            pins_before=prepared.pins_before.texts,
            pins_after=pins_after,
            manifest=manifest_to_text(prepared.manifest.texts),
            returns_to=prepared.back.generation.number if prepared.back else 0,
        )
        result = carry_out(rollout, host)
    warm_up(host, loaded, {} if result.problem else plan.renames)
    return result
