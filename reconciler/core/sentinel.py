"""Tell a models folder from the place that is left of it when its disk is not mounted."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.filesystems import Mount
from reconciler.core.refusal import Refusal

_HINT = "mount the disk it lay on; if it is meant to begin anew, run again with --allow-prune"


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedFolder:
    """What a models folder was when a run left it: its filesystem, and how many models it had."""

    filesystem: str
    models: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSight:
    """A models folder as it is found. `has_inventory`: one lies in it, beside the models."""

    path: str
    filesystem: str
    is_bare: bool
    has_inventory: bool


def filesystem_name(mount: Mount | None, *, filesystem_id: int, device: int) -> str:
    """Name a filesystem so that it is known again after a restart, as far as that goes.

    What another system serves gets a new number with each mount, so its source names it; others are
    named by the kernel's `filesystem_id`, and where that is 0 by their device number.
    """
    if mount is not None and mount.is_served:
        return f"{mount.kind} {mount.source}"
    return f"id {filesystem_id:x}" if filesystem_id else f"device {device}"


def guard_folder(sight: FolderSight, remembered: RememberedFolder | None) -> Refusal | None:
    """Stop before a folder whose models have vanished, all at once, is taken for the real one.

    The inventory vanishes with its disk, so this is decided from what is remembered elsewhere.
    """
    if remembered is None or not remembered.models:
        return None
    same = sight.filesystem == remembered.filesystem
    if same and sight.has_inventory:
        return None
    models = f"{remembered.models} model{'s' if remembered.models > 1 else ''}"
    if sight.is_bare:
        return Refusal(
            message=f"{sight.path} held {models} last time, and is empty now", hint=_HINT
        )
    if not same and not sight.has_inventory:
        return Refusal(
            message=f"{sight.path} held {models} last time, and now another filesystem is there "
            "that has no inventory of ours",
            hint=_HINT,
        )
    return None
