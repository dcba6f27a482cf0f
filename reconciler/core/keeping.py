"""What lies in the models folder beside the models: partial downloads and the trash."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.names import Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """One file that is not whole yet: `have_bytes` of `size_bytes`, from `origin`.

    Size and origin are None where nothing beside it tells.
    """

    sha256: Sha256
    have_bytes: int
    size_bytes: int | None
    origin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trash:
    """What was taken away and can come back. `oldest_run` is the run that began it, if any."""

    files: int = 0
    size_bytes: int = 0
    oldest_run: str | None = None
