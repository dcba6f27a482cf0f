"""Carry a rollout out: each step can be done twice, so that it can be taken up where it stood.

The order is fixed: old files away, new files in, config, reload, health gate, disposals. Old bytes
and the old config live until the gate has passed.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace

from reconciler.core.actions import Place, Prune, Reload, Replace, Restart, Unload
from reconciler.core.config_sources import read_sources
from reconciler.core.file_actions import renamed_files
from reconciler.core.gate import Gate, expect_models
from reconciler.core.generations import Generation, GenerationState, digest_of
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import RuntimeStatus
from reconciler.core.plan import Plan
from reconciler.core.reload import Strategy
from reconciler.core.rollout import (
    Disposal,
    Move,
    Rollout,
    RolloutState,
    as_bytes,
    as_text,
)
from reconciler.core.yamltext.config import read_config
from reconciler.engine.fetch import is_staged
from reconciler.engine.health import listed_models, pass_gate
from reconciler.engine.host import Host
from reconciler.engine.host_pins import PinTexts
from reconciler.engine.reload import mark_log, tell
from reconciler.engine.rollback import RolloutResult, go_back, is_placed, stands_at
from reconciler.errors import (
    DiskFull,
    ReconcilerError,
    Refused,
    TransferBroken,
)


def prepare_rollout(
    plan: Plan,
    host: Host,
    ledger: Ledger,
    *,
    run: str,
    desired_digest: str,
    pins_before: PinTexts,
    pins_after: PinTexts,
    manifest: str = "",
    returns_to: int = 0,
) -> Rollout:
    """Turn a plan whose bytes are all staged into a rollout. Nothing that shows is changed.

    The pins are the bytes of the lock before this run and now, and of the pins kept here before it
    and after the rollout, which writes them. `manifest` and `returns_to` are as for `Rollout`.

    Raises:
        TransferBroken: bytes are not staged after all; the next run brings them.
        KeyRefused, Refused: the health gate could not ask llama-swap anything.
        ReconcilerError: the container or the models folder cannot be looked at.
    """
    tells = any(isinstance(action, Reload | Restart | Unload) for action in plan.actions)
    listed = listed_models(host) if tells else None
    return Rollout(
        run=run,
        desired_digest=desired_digest,
        moves=_moves(plan, host, run),
        disposals=tuple(
            Disposal(
                path=action.path,
                sha256=ledger.files[action.path].sha256,
                trash=f"trash/{run}/{action.path}" if action.to_trash else None,
            )
            for action in plan.actions
            if isinstance(action, Prune)
        ),
        config_before=as_text(plan.config_before),
        config_after=as_text(plan.config_after),
        tells=tells,
        unload=tuple(
            model
            for action in plan.actions
            if isinstance(action, Unload)
            for model in action.models
        ),
        listed_before=tuple(sorted(listed)) if listed is not None else None,
        changes_lock=pins_after.lock != pins_before.lock,
        lock_before=as_text(pins_before.lock),
        lock_after=as_text(pins_after.lock),
        moved_before=as_text(pins_before.moved),
        moved_after=as_text(pins_after.moved),
        ledger_before=ledger,
        ledger_after=plan.ledger_after,
        manifest=manifest,
        returns_to=returns_to,
    )


def carry_out(rollout: Rollout, host: Host) -> RolloutResult:
    """Bring a rollout to its end from wherever it stands: applied, or taken back.

    Raises:
        ReconcilerError: it could not be brought to an end; it is written down, so the next run can.
    """
    downtime = 0.0
    if rollout.state is RolloutState.STARTED:
        host.inventory.save_rollout(rollout)
        rollout, downtime = _go_forward(rollout, host)
        # Where even this has no room, the next run comes to the same end from the start.
        with suppress(DiskFull):
            host.inventory.save_rollout(rollout)
    if rollout.state is RolloutState.FAILED:
        result = go_back(rollout, host)
        return replace(result, downtime_seconds=downtime + result.downtime_seconds)
    gone: list[FileIdentity] = []
    kept = [item for item in rollout.disposals if not _dispose(item, host, gone)]
    host.inventory.forget_digests(gone)
    still_there = {item.path: rollout.ledger_before.files[item.path] for item in kept}
    files = {**rollout.ledger_after.files, **still_there}
    host.inventory.end_rollout(
        replace(rollout.ledger_after, files=files),
        _generation(rollout, host),
        keep=host.generations_kept,
    )
    return RolloutResult(downtime_seconds=downtime)


def _generation(rollout: Rollout, host: Host) -> Generation:
    """Give the state that this rollout has made; one that an earlier version began lacks a part."""
    state = GenerationState(
        manifest=rollout.manifest,
        lock=rollout.lock_after,
        moved=rollout.moved_after,
        config=rollout.config_after,
    )
    return Generation(
        run=rollout.run,
        applied_at=host.clock.now().isoformat(),
        lock_digest=_digest(rollout.lock_after),
        config_digest=_digest(rollout.config_after),
        found_digest=_digest(rollout.config_before),
        returned_to=rollout.returns_to,
        state=state if rollout.manifest else None,
    )


def _digest(text: str | None) -> str:
    return digest_of(as_bytes(text))


def _moves(plan: Plan, host: Host, run: str) -> tuple[Move, ...]:
    """Give every placement a staged file of its own."""
    moves = []
    numbers: Counter[Sha256] = Counter()
    renames = renamed_files(plan.actions, str(host.folder.root))
    for action in plan.actions:
        if not isinstance(action, Place | Replace):
            continue
        number = numbers[action.sha256]
        numbers[action.sha256] += 1
        if number:
            _stage_again(action.sha256, number, host)
        staged = host.folder.stage_name(action.sha256, number)
        old_path = None
        identity = host.folder.look_kept(staged)
        if not is_staged(staged, action.sha256, host):
            old_path = renames.get(action.sha256)
            identity = _identity_of_renamed(old_path, action.sha256, host)
        if identity is None:
            raise TransferBroken(
                f"{action.path} changed while other bytes were brought", hint="run again"
            )
        moves.append(
            Move(
                path=action.path,
                sha256=action.sha256,
                staged=staged,
                inode=identity.inode,
                trash=f"trash/{run}/{action.path}" if isinstance(action, Replace) else None,
                old_path=old_path,
            )
        )
    return tuple(moves)


def _identity_of_renamed(path: RelPath | None, sha256: Sha256, host: Host) -> FileIdentity | None:
    """Give the identity of a file that the rollout will rename, None where it must not."""
    found = host.folder.look(path) if path is not None and host.folder.is_plain(path) else None
    known = host.digests.find(found[0]) if found else None
    return found[0] if found and known is not None and known.sha256 == sha256 else None


def _stage_again(sha256: Sha256, number: int, host: Host) -> None:
    host.folder.stage_again(sha256, number)
    first = host.folder.look_kept(host.folder.stage_name(sha256, 0))
    other = host.folder.look_kept(host.folder.stage_name(sha256, number))
    known = host.digests.find(first) if first else None
    if known is not None and other is not None and other != first:
        host.digests.record(other, known)


def _go_forward(rollout: Rollout, host: Host) -> tuple[Rollout, float]:
    """Go as far as it goes; gives how that ended, and the seconds without a healthy answer."""
    # Where an earlier run wrote the config, it may have told of it, too.
    told = was_written = rollout.config_written
    try:
        _place_files(rollout, host)
        rollout, watches = _leave_alone(rollout, host)
        rollout = _write_config(rollout, host)
        # What watches its config may know of it from here on.
        told = told or (rollout.config_written and watches)
        if rollout.config_written and not was_written:
            host.inventory.save_rollout(rollout)
        if rollout.moved_after != rollout.moved_before:
            host.moved.write(as_bytes(rollout.moved_after))
        if rollout.returns_to and rollout.changes_lock:
            _write_lock(rollout, host)
        gate = _gate_after(rollout, host)
    except ReconcilerError as error:
        return _failed(rollout, error.message, told=told), 0.0
    if not rollout.tells:
        return replace(rollout, state=RolloutState.PASSED), 0.0
    result = tell(rollout, host, gate, listed_before=rollout.listed_before)
    downtime = result.downtime_seconds
    if result.problem:
        failed = _failed(rollout, result.problem, told=True, unhealthy=result.unhealthy)
        return replace(failed, kept_old=result.kept_old), downtime
    passed = pass_gate(host, gate)
    downtime += passed.downtime_seconds
    if not passed.passed:
        return _failed(rollout, passed.problem, told=True, unhealthy=True), downtime
    return replace(rollout, state=RolloutState.PASSED), downtime


def _leave_alone(rollout: Rollout, host: Host) -> tuple[Rollout, bool]:
    """Tell nothing to what nobody may tell, or stopped before our change could have ended it.

    Gives also whether it may notice by itself what is written.
    """
    if not rollout.tells:
        return rollout, False
    state = host.runtime.observe()
    if host.reload == Strategy.NONE:
        tells = False
    elif state.status is RuntimeStatus.STOPPED:
        tells = rollout.config_written
    elif state.status is RuntimeStatus.UNMANAGED:
        # To stop a model is all that may be asked of it, where its address is known.
        tells = bool(rollout.unload) and state.url is not None
    else:
        tells = True
    return replace(rollout, tells=tells), state.watches is not False


def _write_lock(rollout: Rollout, host: Host) -> None:
    """Going back, the lock goes with the files: what asks for them does not ask for it."""
    found = host.lock.read()
    if found == as_bytes(rollout.lock_before):
        host.lock.write(as_bytes(rollout.lock_after))
    elif found != as_bytes(rollout.lock_after):
        raise Refused(f"{host.lock_path} changed while we were at work, so it is left as it is")


def _failed(rollout: Rollout, reason: str, *, told: bool, unhealthy: bool = False) -> Rollout:
    return replace(
        rollout,
        state=RolloutState.FAILED,
        reason=reason,
        tells=rollout.tells and told,
        mark=None,
        unhealthy=unhealthy,
    )


def _place_files(rollout: Rollout, host: Host) -> None:
    """Take shard 1 of a set away first and put it back last: a load in between fails cleanly."""
    for move in rollout.moves:
        if move.trash and not host.folder.keeps(move.trash) and not is_placed(move, host):
            host.folder.discard(move.path, move.trash)
        if move.old_path is not None and stands_at(move.old_path, move, host):
            host.folder.take_back(move.old_path, move.staged)
    for move in reversed(rollout.moves):
        if not is_placed(move, host):
            if not is_staged(move.staged, move.sha256, host):
                raise TransferBroken(f"the bytes for {move.path} are no longer staged")
            host.folder.put(move.staged, move.path)
        host.folder.stamp(move.path, move.sha256)


def _write_config(rollout: Rollout, host: Host) -> Rollout:
    """Write it, once, with the place in llama-swap's log from which on it may tell of that."""
    if host.config is None or not rollout.changes_config or rollout.config_written:
        return rollout
    before, after = as_bytes(rollout.config_before), as_bytes(rollout.config_after) or b""
    found = host.config.read()
    if found != after:
        if rollout.tells:
            rollout = replace(rollout, mark=mark_log(host))
            host.inventory.save_rollout(rollout)
        cut_short = before is not None and host.config.half_written(before, after)
        host.config.write(after, expected=found if cut_short else before, now=host.clock.now())
    return replace(rollout, config_written=True)


def _gate_after(rollout: Rollout, host: Host) -> Gate:
    path = host.config_path or "config"
    config = read_config((rollout.config_after or "").encode(), path)
    siblings = host.config_folder.read() if host.config_folder else None
    everything = read_sources(path, siblings).merged(config).view()
    return expect_models(
        everything, rollout.ledger_before, rollout.ledger_after, rollout.listed_before or ()
    )


def _dispose(disposal: Disposal, host: Host, gone: list[FileIdentity]) -> bool:
    """Take one file away, if it is still the one that was meant; False where that fails.

    What is deleted for good is added to `gone`.
    """
    try:
        found = host.folder.look(disposal.path)
        known = host.digests.find(found[0]) if found else None
        if known is not None and known.sha256 == disposal.sha256:
            if disposal.trash is None:
                gone += host.folder.delete(disposal.path)
            else:
                host.folder.discard(disposal.path, disposal.trash)
        host.folder.remove_empty_folders(disposal.path)
    except ReconcilerError as error:
        host.reporter.warn(f"{disposal.path} stays for now: {error.message}", error.hint)
        return False
    return True
