"""Places of this machine where others keep models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.copies import Store
from reconciler.core.identity import FileIdentity
from reconciler.core.lock import PinnedFile
from reconciler.core.names import Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file of this machine that may have wanted bytes.

    `claims` is the digest that its name, or a note beside it, gives: a hint, never a proof.
    """

    path: Path
    store: Store
    identity: FileIdentity
    claims: Sha256 | None


class ForeignStores(Protocol):
    """Places of this machine where others keep models. They are only ever read.

    Nothing here raises: what is not there, or may not be read, is simply no candidate.
    """

    def claiming(self, file: PinnedFile) -> Iterator[Candidate]:
        """Give the files that other programs keep under the very digest of `file`."""

    def of_size(self, sizes_bytes: Collection[int]) -> Sequence[Candidate]:
        """Search the folders that tell no digest for whole files of one of these sizes."""
