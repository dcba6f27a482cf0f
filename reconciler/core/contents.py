"""What the headers of a model's files say, and which of them are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.core.desired import DesiredModel
from reconciler.core.llamaswap.capabilities import Contents
from reconciler.core.llamaswap.version import knows_capabilities
from reconciler.core.lock import PinnedFile
from reconciler.core.observed import Observed

# What is said of a new entry that lacks what its files would tell.
TOLD_LATER: Final = "capabilities follow with the file"


def contents_of(model: DesiredModel, observed: Observed) -> Contents | None:
    """Give what the model's files say; None where that was not read, or llama-swap cannot use it.

    A projector that was not read might see or hear anything, so that nothing is said then.
    """
    if not observed.facts:
        return None
    facts = {
        file.role: observed.facts.get(file.sha256)
        for file in telling_files(model, observed.version)
    }
    first = facts.get("model")
    if first is None or ("mmproj" in facts and facts["mmproj"] is None):
        return None
    return Contents(model=first, projector=facts.get("mmproj"))


def is_told_later(model: DesiredModel, observed: Observed) -> bool:
    """Whether the model's files can say more once they are here."""
    return any(
        file.path not in observed.files or observed.files[file.path].sha256 != file.sha256
        for file in telling_files(model, observed.version)
        if file.sha256 not in observed.facts
    )


def telling_files(model: DesiredModel, version: int | None) -> Iterator[PinnedFile]:
    """Give the files whose headers tell what the model can do, for llama-swap `version`.

    They are the first of the model, which describes all its shards, and of its projector; none
    where that build does not listen, or the manifest speaks for itself.
    """
    if "capabilities" in model.spec.serve.fields or not knows_capabilities(version):
        return
    for role in ("model", "mmproj"):
        yield from [file for file in model.files if file.role == role][:1]
