"""What the engine asks of the outside world, one Protocol for each system we live between.

The engine knows adapters by these alone; `cli` is the one place that joins the two. Each method
says what it raises, in our own words (`reconciler.errors`); an adapter never lets a foreign
exception through.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.core.ledger import Ledger
from reconciler.core.names import Blake3, Commit, RelPath, RepoId, Sha256
from reconciler.core.observed import FileIdentity, RuntimeState
from reconciler.core.rollout import Rollout
from reconciler.core.runs import RunReport
from reconciler.core.source import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a repository at a commit. `sha256` is None for small files kept in git itself."""

    path: RelPath
    size_bytes: int
    sha256: Sha256 | None


class Hub(Protocol):
    """The hub's metadata: what a name means, and which files there are."""

    def resolve_revision(self, repo: RepoId, revision: str | None) -> Commit:
        """Give the commit that `revision` (None: the default branch) stands for now.

        Raises:
            RepositoryMissing, RevisionMissing, RepositoryGated, TokenRejected: a person must act.
            Unreachable, RateLimited, Offline: it may work later.
        """

    def list_files(self, repo: RepoId, commit: Commit) -> tuple[RemoteFile, ...]:
        """Give every file of the repository at `commit`, whole, however many pages it takes.

        Raises what `resolve_revision` raises.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Both digests of the same bytes, computed in one pass."""

    sha256: Sha256
    blake3: Blake3
    size_bytes: int


class Progress(Protocol):
    """Hears how one file's work goes on. Called from any thread."""

    def advance(self, count_bytes: int) -> None:
        """`count_bytes` more are done; negative when work must be done again."""


class Transfer(Protocol):
    """Brings bytes from their origin into a partial file."""

    def fetch(
        self,
        origin: Origin,
        partial: Path,
        *,
        size_bytes: int,
        sha256: Sha256,
        progress: Progress,
    ) -> Digests:
        """Complete `partial` from `origin`, continuing what is there, and prove it by sha256.

        `partial` is created where it is missing, synced before this returns, and kept on every
        failure but a proven wrong digest. Progress counts the bytes that were there as done.

        Raises:
            DigestMismatch: the bytes are not the locked ones; the partial file is gone.
            FileMissing, RepositoryMissing, RepositoryGated, TokenRejected, DiskFull: a person must
                act; the partial file is kept.
            Unreachable, RateLimited, TransferBroken, Offline: it may work later; the partial file
                is kept.
        """

    def measure(self, url: str) -> int:
        """Give the size in bytes of what lies at a plain `https` URL, without fetching it.

        Raises what `fetch` raises, `DigestMismatch` and `DiskFull` excepted.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file of this machine, measured and hashed."""

    size_bytes: int
    sha256: Sha256


class LocalFiles(Protocol):
    """Files of this machine outside the models folder, which a manifest names as sources."""

    def describe(self, path: str) -> LocalFile:
        """Measure and hash the file at absolute `path`; an unchanged file is not hashed twice.

        Raises:
            FileMissing: it is not there, is no regular file, or cannot be read.
        """


class Runtime(Protocol):
    """What runs llama-swap: a Docker container, or nothing that we manage."""

    def observe(self) -> RuntimeState:
        """Look at it anew. Raises `RuntimeUnavailable`."""

    def restart(self) -> None:
        """Stop it with enough grace for running answers to end, and start it again.

        Raises:
            RuntimeUnavailable: the engine does not answer, or the container is gone.
            RuntimeFailed: the engine refused.
        """

    def last_log_lines(self, count: int) -> tuple[str, ...]:
        """Give the newest `count` lines it logged; empty where there is no log. Never raises."""


class Server(Protocol):
    """llama-swap's own HTTP interface."""

    def is_healthy(self) -> bool:
        """Whether `/health` answers 200 now. Never raises: no answer is False."""

    def model_ids(self) -> frozenset[str]:
        """Every ID that `/v1/models` lists, aliases left out. Raises `ServerUnreachable`."""

    def alias_ids(self) -> frozenset[str]:
        """Every alias `/v1/models` tells of in `meta.llamaswap.aliases`. Raises as `model_ids`."""

    def version(self) -> str | None:
        """What `/api/version` says; None where it does not say. Never raises."""


class ServerFactory(Protocol):
    """Opens llama-swap's HTTP interface once its URL is known."""

    def __call__(self, url: str) -> Server:
        """Give the interface at `url`; nothing is asked yet."""


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime:
        """The time now, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class Reporter(Protocol):
    """Tells a person what is going on. Called from any thread; never raises."""

    def task(self, doing: str, name: str, size_bytes: int) -> Progress:
        """Begin to show work on `size_bytes` bytes of the file `name`."""

    def say(self, message: str) -> None:
        """One line worth knowing."""

    def warn(self, message: str, hint: str = "") -> None:
        """One line that a person should act on, and the next step."""


class KnownDigests(Protocol):
    """Digests of files, from memory where they are known, by reading where they are not."""

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of a file with exactly this identity, if it was ever hashed."""

    def digest(self, path: Path) -> Digests:
        """Give the digests of the file at `path`. Raises `FileMissing`."""

    def rehash(self, path: Path) -> Digests:
        """Read the file at `path` whatever is known of it. Raises `FileMissing`."""

    def record(self, identity: FileIdentity, found: Digests) -> None:
        """Keep digests that were computed elsewhere."""


class Inventory(Protocol):
    """What we keep beside the models. Each write is one synced transaction."""

    def load_ledger(self) -> Ledger:
        """Give what was last applied; an empty ledger before the first run."""

    def save_ledger(self, ledger: Ledger) -> None:
        """Keep the ledger."""

    def load_rollout(self) -> Rollout | None:
        """Give the rollout that an earlier run did not finish."""

    def save_rollout(self, rollout: Rollout) -> None:
        """Write a rollout, or its progress, down."""

    def end_rollout(self, ledger: Ledger) -> None:
        """Forget the rollout and keep the ledger it ended in."""

    def record_run(self, report: RunReport) -> None:
        """Keep what a run did."""

    def last_runs(self, count: int) -> tuple[RunReport, ...]:
        """Give the newest runs, newest first."""


class ModelsFolder(Protocol):
    """The models folder. Staged and trashed names are relative to our state folder in it."""

    @property
    def root(self) -> Path:
        """The folder, without symlinks."""

    @property
    def device(self) -> int:
        """The number of the device it lies on."""

    def free_bytes(self) -> int:
        """How many bytes may still be written."""

    def look(self, path: RelPath) -> tuple[FileIdentity, int] | None:
        """Give the identity and the number of links of a file, None without one."""

    def obstacle(self, path: RelPath) -> str:
        """Say why nothing of ours can be placed at `path`; empty where it can."""

    def is_free(self, path: RelPath) -> bool:
        """Whether nothing at all stands at `path`."""

    def full(self, path: RelPath) -> Path:
        """Give the absolute path."""

    def staged(self, sha256: Sha256) -> Path:
        """Give where the bytes of a digest are gathered, safe to write to."""

    def stage_name(self, sha256: Sha256, number: int) -> str:
        """Name the staged file of the `number`th path that wants one digest."""

    def stage_again(self, sha256: Sha256, number: int) -> None:
        """Make that staged file, from the first."""

    def stage_twin(self, twin: RelPath, sha256: Sha256) -> bool:
        """Stage a file of ours by a hard link; False where links cannot be made."""

    def look_kept(self, name: str) -> FileIdentity | None:
        """Give the identity of a staged or trashed file, None without one."""

    def keeps(self, name: str) -> bool:
        """Whether anything at all is staged or trashed under `name`."""

    def put(self, staged: str, path: RelPath) -> None:
        """Make a staged file visible. Raises `Refused` where something stands there."""

    def stamp(self, path: RelPath, sha256: Sha256) -> None:
        """Put the `.sha256` beside a file, unless somebody has one of their own there."""

    def take_back(self, path: RelPath, staged: str) -> None:
        """Undo `put` and `stamp`."""

    def discard(self, path: RelPath, trash: str) -> None:
        """Move what stands at `path` to the trash; nothing there is no harm."""

    def restore(self, trash: str, path: RelPath) -> None:
        """Undo `discard`, where nothing stands at `path`."""

    def delete(self, path: RelPath) -> None:
        """Delete a file for good."""

    def remove_empty_folders(self, path: RelPath) -> None:
        """Take away the folders that lead to `path`, as far as nothing is left in them."""


class ConfigFile(Protocol):
    """llama-swap's config as a file."""

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist."""

    def write(self, data: bytes, *, expected: bytes | None, now: datetime) -> None:
        """Replace its bytes. Raises `Refused` where it is no longer as `expected`."""

    def half_written(self, before: bytes, after: bytes) -> bool:
        """Whether a write from `before` to `after` has ended in its middle."""

    def remove(self) -> None:
        """Take away a file that was not there before us."""


class LockFile(Protocol):
    """The lock as a file beside the manifest."""

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist."""

    def write(self, data: bytes | None) -> None:
        """Replace its bytes, whole; None takes it away."""
