"""Bring the bytes a plan needs into the partial folder, each digest once, all of them proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from reconciler.core.actions import Adopt, Download
from reconciler.core.file_actions import renamed_files
from reconciler.core.ledger import Ledger
from reconciler.core.names import RelPath, Sha256
from reconciler.core.plan import Plan
from reconciler.core.ports.reporting import Batch, Progress
from reconciler.core.ports.transfer import Piece, Stretch
from reconciler.core.source import LocalOrigin, Origin
from reconciler.engine.adoption import adopt
from reconciler.engine.host import Host
from reconciler.engine.lanes import Lanes
from reconciler.engine.moved_header import known_parts
from reconciler.engine.repair import intact_parts
from reconciler.engine.window import within_window
from reconciler.errors import ReconcilerError

# A large file fills a line by itself: two at once, so that one's end or trouble leaves no gap. Of
# small ones each waits for an answer most of its time.
_LARGE_BYTES: Final = 64 * 1024 * 1024
_LARGE_AT_ONCE: Final = 2
_SMALL_AT_ONCE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came of it. `failed` holds the digests that could not be brought, and why."""

    failed: Mapping[Sha256, ReconcilerError]
    fetched_bytes: int
    reused_bytes: int


def fetch_all(plan: Plan, ledger: Ledger, host: Host) -> Fetched:
    """Stage every file of the plan, several at once; one that fails does not stop the others."""
    wanted = [action for action in plan.actions if isinstance(action, Download | Adopt)]
    if not wanted:
        return Fetched(failed={}, fetched_bytes=0, reused_bytes=0)
    failed: dict[Sha256, ReconcilerError] = {}
    fetched = reused = 0
    with host.reporter.batch(len(wanted), sum(action.size_bytes for action in wanted)) as batch:
        stage = _Stage(host, ledger, batch, renamed_files(plan.actions, str(host.folder.root)))
        lanes = Lanes(
            stage.bring,
            ([action for action in wanted if action.size_bytes > _LARGE_BYTES], _LARGE_AT_ONCE),
            ([action for action in wanted if action.size_bytes <= _LARGE_BYTES], _SMALL_AT_ONCE),
            stop=stage.stop,
        )
        for action, result in lanes.results():
            if isinstance(result, ReconcilerError):
                failed[action.sha256] = result
                batch.leave_out(action.size_bytes)
                host.reporter.warn(f"{action.model}: {result.message}", result.hint)
            else:
                fetched += result
                reused += max(action.size_bytes - result, 0)
    return Fetched(failed=failed, fetched_bytes=fetched, reused_bytes=reused)


def is_staged(name: str, sha256: Sha256, host: Host) -> bool:
    """Whether the staged file `name` is there and proven to have this digest."""
    identity = host.folder.look_kept(name)
    known = host.digests.find(identity) if identity else None
    return known is not None and known.sha256 == sha256


@dataclass(frozen=True, slots=True)
class _Stage:
    """Stages one file after another, from any thread. `renames` is what `renamed_files` gives."""

    host: Host
    ledger: Ledger
    batch: Batch
    renames: Mapping[Sha256, RelPath]

    def bring(self, action: Download | Adopt) -> int:
        """Stage one digest, proven; gives how many bytes the network brought for it."""
        if is_staged(self.host.folder.stage_name(action.sha256, 0), action.sha256, self.host):
            with self.batch.task("adopting", action.path, action.size_bytes) as progress:
                progress.skip(action.size_bytes)
            return 0
        if isinstance(action, Adopt) and action.source:
            renames = self.renames.get(action.sha256)

            def copy(origin: Origin) -> None:
                self._transfer(action, origin)

            if adopt(action, self.host, self.batch, renames=renames, copy=copy):
                return 0
        return self._transfer(action, action.origin)

    def stop(self) -> None:
        """End what is under way; what arrived is kept."""
        self.host.transfer.stop()
        self.host.digests.stop()

    def _transfer(self, action: Download | Adopt, origin: Origin) -> int:
        """Fetch or copy one file, and remember its digests; gives what its origin had to send."""
        host = self.host
        doing = "copying" if isinstance(origin, LocalOrigin) else "fetching"
        with (
            self.batch.task(doing, action.path, action.size_bytes) as told,
            self._allowed(origin, told) as progress,
        ):
            known: Sequence[Stretch | Piece] = intact_parts(action, host)
            if not known and isinstance(action, Download):
                known = known_parts(action, self.ledger, host)
            brought = host.transfer.fetch(
                origin,
                host.folder.staged(action.sha256),
                size_bytes=action.size_bytes,
                sha256=action.sha256,
                progress=progress,
                known=known,
            )
        identity = host.folder.look_kept(host.folder.stage_name(action.sha256, 0))
        assert identity is not None, "a fetch that succeeded leaves its file"
        host.digests.record(identity, brought.digests)
        read_bytes = sum(len(part.data) for part in known if isinstance(part, Piece))
        return brought.fetched_bytes + read_bytes

    def _allowed(self, origin: Origin, progress: Progress) -> AbstractContextManager[Progress]:
        """Bytes of this machine may be copied at any time."""
        if isinstance(origin, LocalOrigin):
            return nullcontext(progress)
        return within_window(self.host, progress)
