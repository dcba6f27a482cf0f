"""Take a rollout back: files, config and lock as they were, and nothing of others overwritten.

Each step looks first whether it is done or needed, so that all of it can be done again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.gate import Gate
from reconciler.core.names import RelPath
from reconciler.core.rollout import Move, Rollout, as_bytes
from reconciler.engine.health import pass_gate
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError


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
    log_lines = host.runtime.last_log_lines(20) if rollout.restart else ()
    config_left = not _restore_config(rollout, host)
    _restore_files(rollout, host)
    _restore_pins(rollout, host)
    old_problem = _see_old_state_up(rollout, host) if rollout.restart else ""
    ledger = rollout.ledger_taken_back(config_left=config_left)
    ledger = replace(ledger, reload_pending=bool(old_problem) or ledger.reload_pending)
    if rollout.unhealthy:
        ledger = replace(ledger, stalled=rollout.desired_digest, stalled_reason=rollout.reason)
    host.inventory.end_rollout(ledger)
    return RolloutResult(
        problem=rollout.reason,
        unhealthy=rollout.unhealthy,
        old_state_problem=old_problem,
        log_lines=log_lines,
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


def _restore_config(rollout: Rollout, host: Host) -> bool:
    """Put the old config back; False where somebody else has written the file since."""
    if host.config is None or not rollout.changes_config:
        return True
    before, after = as_bytes(rollout.config_before), as_bytes(rollout.config_after) or b""
    found = host.config.read()
    if found == before:
        return True
    if before is None and found == after:
        host.config.remove()
        return True
    if before is not None and (found == after or host.config.half_written(before, after)):
        host.config.write(before, expected=found, now=host.clock.now())
        return True
    host.reporter.warn(
        f"{host.config_path} was edited by somebody else in the meantime and is left as it is"
    )
    return False


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


def _see_old_state_up(rollout: Rollout, host: Host) -> str:
    try:
        host.runtime.restart()
    except ReconcilerError as error:
        return error.message
    listed = frozenset(rollout.listed_before or ())
    return pass_gate(host, Gate(expected=listed, absent=frozenset())).problem


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
