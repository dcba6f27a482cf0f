"""Take a rollout back: files, config and lock as they were, and nothing of others overwritten.

Each step looks first whether it is done or needed, so that all of it can be done again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from reconciler.core.gate import Gate
from reconciler.core.names import RelPath
from reconciler.core.observed import RuntimeStatus
from reconciler.core.rollout import Move, Rollout, as_bytes
from reconciler.engine.health import pass_gate
from reconciler.engine.host import Host
from reconciler.engine.reload import mark_log, tell
from reconciler.errors import DiskFull, ReconcilerError


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutResult:
    """How it ended. `problem` is empty where it passed; else all was taken back.

    `unhealthy` tells that llama-swap did not come up with it, so that trying it again is no use.
    `old_state_problem` is not empty where llama-swap did not come up with the old state either.
    """

    problem: str = ""
    unhealthy: bool = False
    old_state_problem: str = ""
    log_lines: tuple[str, ...] = ()
    downtime_seconds: float = 0.0


def go_back(rollout: Rollout, host: Host) -> RolloutResult:
    """Put files, config and lock back as they were, and see llama-swap up again with them."""
    log_lines = host.runtime.last_log_lines(20) if rollout.tells else ()
    listed = _listed_now(host) if rollout.tells else None
    rollout, config_left = _restore_config(rollout, host)
    _restore_files(rollout, host)
    _restore_pins(rollout, host)
    old_problem, downtime = "", 0.0
    if rollout.tells:
        old_problem, downtime = _see_old_state_up(rollout, host, listed=listed)
    ledger = rollout.ledger_taken_back(config_left=config_left)
    ledger = replace(ledger, reload_pending=bool(old_problem) or ledger.reload_pending)
    # What an earlier state was stalled for still holds where going back did not come up.
    if rollout.unhealthy and not rollout.returns_to:
        ledger = replace(ledger, stalled=rollout.desired_digest, stalled_reason=rollout.reason)
    host.inventory.end_rollout(ledger)
    return RolloutResult(
        problem=rollout.reason,
        unhealthy=rollout.unhealthy,
        old_state_problem=old_problem,
        log_lines=log_lines,
        downtime_seconds=downtime,
    )


def _restore_files(rollout: Rollout, host: Host) -> None:
    for move in rollout.moves:
        if is_placed(move, host):
            host.folder.take_back(move.path, move.staged)
        if move.old_path is not None:
            _restore_name(move.old_path, move, host)
    for move in reversed(rollout.moves):
        if not (move.trash and host.folder.keeps(move.trash)):
            continue
        if host.folder.is_free(move.path):
            host.folder.restore(move.trash, move.path)
        else:
            host.reporter.warn(
                f"{move.path} was put there by somebody else in the meantime and is left as it is",
                f"what stood there before is kept: {move.trash} in our folder",
            )
    for move in rollout.moves:
        host.folder.remove_empty_folders(move.path)


def _restore_config(rollout: Rollout, host: Host) -> tuple[Rollout, bool]:
    """Put the old config back; gives also whether somebody has written the file since: it stays."""
    if host.config is None or not rollout.changes_config:
        return rollout, False
    before, after = as_bytes(rollout.config_before), as_bytes(rollout.config_after) or b""
    found = host.config.read()
    if found == before:
        return rollout, False
    if before is None and found == after:
        host.config.remove()
        return rollout, False
    if before is not None and (found == after or host.config.half_written(before, after)):
        if rollout.tells:
            rollout = replace(rollout, mark=mark_log(host))
            # Without it the next run would tell it in a harder way, and that is all.
            with suppress(DiskFull):
                host.inventory.save_rollout(rollout)
        host.config.write(before, expected=found, now=host.clock.now())
        return rollout, False
    host.reporter.warn(
        f"{host.config_path} was edited by somebody else in the meantime and is left as it is"
    )
    return rollout, True


def _restore_pins(rollout: Rollout, host: Host) -> None:
    """Put the old pins back; the lock only where nobody else has written it since."""
    moved_before = as_bytes(rollout.moved_before)
    if rollout.moved_after != rollout.moved_before and host.moved.read() != moved_before:
        host.moved.write(moved_before)
    if not rollout.changes_lock:
        return
    found = host.lock.read()
    if found == as_bytes(rollout.lock_after):
        host.lock.write(as_bytes(rollout.lock_before))
    elif found != as_bytes(rollout.lock_before):
        host.reporter.warn(f"{host.lock_path} changed in the meantime and is left as it is")


def _see_old_state_up(
    rollout: Rollout, host: Host, *, listed: frozenset[str] | None
) -> tuple[str, float]:
    """Have llama-swap take the old state; gives why it did not come up, and how long it was down.

    What never took the new config, and does not watch it, need not be told of the old one.
    """
    gate = _gate_before(rollout)
    down_seconds = 0.0
    try:
        if not rollout.kept_old or host.runtime.observe().watches is not False:
            result = tell(rollout, host, gate, listed_before=listed)
            down_seconds = result.downtime_seconds
            if result.problem:
                return result.problem, down_seconds
    except ReconcilerError as error:
        return error.message, down_seconds
    passed = pass_gate(host, gate)
    return passed.problem, down_seconds + passed.downtime_seconds


def _gate_before(rollout: Rollout) -> Gate:
    """Give what must be listed once all is as it was: what was, and nothing that came with this."""
    listed = frozenset(rollout.listed_before or ())
    before, after = rollout.ledger_before.models, rollout.ledger_after.models
    came = {key for key, model in after.items() if model.entry is not None} - before.keys()
    return Gate(expected=listed, absent=frozenset(came - listed))


def _listed_now(host: Host) -> frozenset[str] | None:
    """Give what is listed with the new state in place; None where nobody answers."""
    try:
        state = host.runtime.observe()
        if state.status is not RuntimeStatus.RUNNING or state.url is None:
            return None
        return host.open_server(state.url).model_ids()
    except ReconcilerError:
        return None


def _restore_name(old_path: RelPath, move: Move, host: Host) -> None:
    """Give a renamed file its old name back, unless somebody else has taken that."""
    staged = host.folder.look_kept(move.staged)
    if staged is None or staged.inode != move.inode:
        return
    if host.folder.is_free(old_path):
        host.folder.put(move.staged, old_path)
        host.folder.stamp(old_path, move.sha256)
    else:
        host.reporter.warn(
            f"{old_path} was put there by somebody else in the meantime and is left as it is",
            f"what stood there before is kept: {move.staged} in our folder",
        )


def is_placed(move: Move, host: Host) -> bool:
    """Whether the file of this move stands at its place."""
    return stands_at(move.path, move, host)


def stands_at(path: RelPath, move: Move, host: Host) -> bool:
    """Whether the file of this move stands at `path`."""
    found = host.folder.look(path)
    return found is not None and found[0].inode == move.inode
