"""The models folder, what is kept beside it, and the filesystems they lie on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.core.copies import Linking
from reconciler.core.filesystems import Mount, Room
from reconciler.core.generations import GENERATIONS_KEPT, Generation, GenerationState
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.seen import SeenHeader
from reconciler.core.gguf.window import ByteSource
from reconciler.core.identity import FileIdentity
from reconciler.core.keeping import Leftover, Partial, Trash, TrashedRun
from reconciler.core.ledger import Ledger
from reconciler.core.names import RelPath, Sha256
from reconciler.core.rollout import Rollout
from reconciler.core.runs import Outcome, RunReport, SyncMode


class ModelsFolder(Protocol):
    """The models folder. Staged and trashed names are relative to our state folder in it."""

    @property
    def root(self) -> Path:
        """The folder, without symlinks."""

    @property
    def device(self) -> int:
        """The number of the device it lies on."""

    def ignores_case(self) -> bool:
        """Whether names that differ in case alone are seen to mean one file."""

    def trash_bytes(self) -> int:
        """How many bytes would be free if the trash were emptied."""

    def look(self, path: RelPath) -> tuple[FileIdentity, int] | None:
        """Give the identity and the number of links of a file, None without one."""

    def obstacle(self, path: RelPath) -> str:
        """Say why nothing of ours can be placed at `path`; empty where it can."""

    def is_free(self, path: RelPath) -> bool:
        """Whether nothing at all stands at `path`."""

    def full(self, path: RelPath) -> Path:
        """Give the absolute path."""

    def reading(self, path: RelPath) -> AbstractContextManager[ByteSource]:
        """Open the file at `path` for reading at any place. Raises `FileMissing`, `Refused`."""

    def reading_kept(self, name: str) -> AbstractContextManager[ByteSource]:
        """Open a staged or trashed file likewise. Raises `FileMissing`, `Refused`."""

    def staged(self, sha256: Sha256) -> Path:
        """Give where the bytes of a digest are gathered, safe to write to."""

    def staged_disk_bytes(self, sha256: Sha256) -> int:
        """How many bytes of the disk the staged file of a digest takes up already."""

    def staged_bytes(self, sha256: Sha256, size_bytes: int) -> int:
        """How many of the `size_bytes` bytes of a digest are staged already."""

    def stage_name(self, sha256: Sha256, number: int) -> str:
        """Name the staged file of the `number`th path that wants one digest."""

    def stage_again(self, sha256: Sha256, number: int) -> None:
        """Make that staged file, from the first."""

    def stage_shared(
        self, source: Path, sha256: Sha256, *, linking: Linking
    ) -> FileIdentity | None:
        """Stage a file without copying: by sharing its blocks, or its inode as `linking` allows.

        What was staged before is replaced. Gives the identity that `source` had before and after;
        None, with nothing changed, where its bytes cannot be shared.
        """

    def may_share(self, source: Path, *, linking: Linking, mount: Mount | None) -> bool:
        """Whether `stage_shared` will need no room on `mount`, as far as can be told beforehand."""

    def drop_staged(self, sha256: Sha256) -> None:
        """Take away the staged file of a digest."""

    def trashed(self, sizes_bytes: Collection[int]) -> Sequence[tuple[Path, FileIdentity]]:
        """Give the files of these sizes in the trash."""

    def gguf_files(self) -> Mapping[RelPath, FileIdentity]:
        """Give every file named `*.gguf`, whoever put it there; hidden folders are left out."""

    def partials(self) -> Sequence[Partial]:
        """Give what lies in the partial folder."""

    def trash(self) -> Trash:
        """Measure the trash."""

    def trashed_runs(self) -> Sequence[TrashedRun]:
        """Give what each run took away, and what its going would free."""

    def empty_trash(self, run: str) -> Sequence[FileIdentity]:
        """Delete for good what a run took away; nothing there is no harm.

        Gives the files that are gone with it: those without another name.
        """

    def leftovers(self) -> Sequence[Leftover]:
        """Give each file of the partial folder, the records of none apart."""

    def delete_leftover(self, name: str) -> Sequence[FileIdentity]:
        """Delete a file of the partial folder with its record, and give it as `empty_trash` does.

        Nothing there is no harm.
        """

    def is_plain(self, path: RelPath) -> bool:
        """Whether a regular file itself stands at `path`, not a link to one."""

    def look_kept(self, name: str) -> FileIdentity | None:
        """Give the identity of a staged or trashed file, None without one."""

    def keeps(self, name: str) -> bool:
        """Whether anything at all is staged or trashed under `name`."""

    def put(self, staged: str, path: RelPath) -> None:
        """Make a staged file visible. Raises `Refused` where something stands there."""

    def stamp(self, path: RelPath, sha256: Sha256) -> None:
        """Put the `.sha256` beside a file, unless somebody has one of their own there."""

    def stamped(self, path: RelPath) -> Sha256 | None:
        """Give the digest in the `.sha256` beside a file, None where it does not read as ours."""

    def noted_digest(self, path: RelPath) -> Sha256 | None:
        """Give the sha256 that the `.sha256` beside a file notes for it, whoever wrote it."""

    def take_back(self, path: RelPath, staged: str) -> None:
        """Undo `put` and `stamp`."""

    def discard(self, path: RelPath, trash: str) -> None:
        """Move what stands at `path` to the trash; nothing there is no harm."""

    def restore(self, trash: str, path: RelPath) -> None:
        """Undo `discard`, where nothing stands at `path`."""

    def delete(self, path: RelPath) -> Sequence[FileIdentity]:
        """Delete a file for good, and give it as `empty_trash` does."""

    def remove_empty_folders(self, path: RelPath) -> None:
        """Take away the folders that lead to `path`, as far as nothing is left in them."""


class Filesystems(Protocol):
    """The filesystems of this machine, by absolute paths on them."""

    def room(self, path: str) -> Room:
        """Give the room where `path` lies, or would lie. Raises `ReconcilerError`."""

    def mount(self, path: str) -> Mount | None:
        """Give the mount that `path` lies on; None where this system does not tell."""


class Contents(Protocol):
    """What files say of themselves, kept by the digest of their bytes."""

    def known(self) -> Collection[Sha256]:
        """Give the digests of all contents that were read, whether they could be understood."""

    def facts_of(self, digests: Collection[Sha256]) -> Mapping[Sha256, GgufFacts]:
        """Give what is known of these contents, and could be understood."""

    def record(self, found: Mapping[Sha256, tuple[int, GgufFacts | None]]) -> None:
        """Keep sizes in bytes and facts by digest; None where a header cannot be understood."""


class Inventory(Protocol):
    """What we keep beside the models. Each write is one synced transaction."""

    @property
    def contents(self) -> Contents:
        """What the files say of themselves."""

    def load_ledger(self) -> Ledger:
        """Give what was last applied.

        Before the first run, and where it is lost, the ledger is empty and names no device.
        """

    def ledger_hint(self) -> Ledger | None:
        """Give the copy of the ledger, of whatever age; None where there is none to read."""

    def save_ledger(self, ledger: Ledger) -> None:
        """Keep the ledger."""

    def load_rollout(self) -> Rollout | None:
        """Give the rollout that an earlier run did not finish."""

    def save_rollout(self, rollout: Rollout) -> None:
        """Write a rollout, or its progress, down."""

    def end_rollout(
        self,
        ledger: Ledger,
        generation: Generation | None = None,
        *,
        keep: int = GENERATIONS_KEPT,
    ) -> None:
        """Forget the rollout and keep the ledger it ended in; with the generation it made.

        The newest `keep` generations are kept.
        """

    def last_generations(self, count: int) -> tuple[Generation, ...]:
        """Give the newest states that were applied, newest first, without their `state`."""

    def ledger_of(self, number: int) -> Ledger | None:
        """Give the ledger of a generation, None where it is not kept any more."""

    def state_of(self, number: int) -> GenerationState | None:
        """Give what a generation was made of, None where that is not kept."""

    def forget_digests(self, gone: Collection[FileIdentity]) -> None:
        """Forget what was computed from files that are `gone`, and that no other file needs."""

    def load_headers(self) -> Mapping[FileIdentity, SeenHeader]:
        """Give what is known of the headers of files that no model declares."""

    def save_headers(self, headers: Mapping[FileIdentity, SeenHeader]) -> None:
        """Keep these, and no others."""

    def load_check(self) -> datetime | None:
        """Give when the check of all files was begun that is not finished yet."""

    def save_check(self, begun_at: datetime | None) -> None:
        """Keep when a check of all files was begun; None: it is finished."""

    def record_run(self, report: RunReport) -> None:
        """Keep what a run did."""

    def last_runs(
        self, count: int, *, outcomes: Collection[Outcome] = (), mode: SyncMode | None = None
    ) -> tuple[RunReport, ...]:
        """Give the newest runs, newest first; those with one of `outcomes`, in `mode`, if named."""
