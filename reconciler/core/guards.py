"""What forbids a plan: removals too many to be meant, and models that are protected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from reconciler.core.actions import Action, Prune, Replace
from reconciler.core.desired import Desired
from reconciler.core.filesystems import Mount
from reconciler.core.ledger import Ledger
from reconciler.core.names import STATE_FOLDER, ModelId
from reconciler.core.observed import Observed
from reconciler.core.refusal import Refusal
from reconciler.core.sizes import human_bytes
from reconciler.core.space import emptied_bytes, needed_bytes


def guard_removals(
    desired: Desired, ledger: Ledger, removed: Sequence[ModelId], *, allow_prune: bool
) -> tuple[Refusal, ...]:
    """Check the models that a plan takes out. `allow_prune` lifts all but `protect`."""
    refusals = [*_guard_protected(desired, ledger, removed)]
    if removed and not allow_prune:
        refusals.extend(_guard_share(desired, ledger, removed))
    return tuple(refusals)


def guard_other_device(
    observed: Observed, ledger: Ledger, *, removes: bool, allow_prune: bool
) -> tuple[Refusal, ...]:
    """Remove nothing where the models folder is not the one we knew: a disk may not be mounted."""
    if not removes or allow_prune or ledger.device in (None, observed.device):
        return ()
    return (
        Refusal(
            message=f"{observed.models_dir} lies on another device than the last time, "
            "and this would remove something from it",
            hint="mount the disk it lay on; if the device has only changed its number, "
            "run again with --allow-prune",
        ),
    )


def guard_unmanaged_entries(
    desired: Desired, observed: Observed, ledger: Ledger, removed: Sequence[ModelId]
) -> tuple[Refusal, ...]:
    """A model does not go while its entry would be left behind in a config that we do not see."""
    if observed.config_path is not None:
        return ()
    disabled = [key for key, model in desired.models.items() if not model.spec.enabled]
    return tuple(
        Refusal(
            message=f"the entry of {key} stands in {ledger.config_path}, "
            "which this run does not manage",
            hint=f"name it with --config {ledger.config_path}",
        )
        for key in (*removed, *disabled)
        if key in ledger.models and ledger.models[key].entry is not None
    )


def guard_room(
    actions: Sequence[Action], observed: Observed, *, config_bytes: int, reserve_bytes: int
) -> tuple[Refusal, ...]:
    """Bring no first byte of what does not fit whole.

    `config_bytes` are written beside llama-swap's config, 0 where it stays. `reserve_bytes` must
    stay free on the models folder's filesystem.
    """
    refusals = []
    needed = needed_bytes(actions, observed)
    free = observed.room.free_bytes + emptied_bytes(actions)
    missing = needed + reserve_bytes - free
    if needed and missing > 0:
        spare = f", and {human_bytes(reserve_bytes)} stay free" if reserve_bytes else ""
        message = (
            f"{observed.models_dir} has no room for this: {human_bytes(needed)} must be "
            f"brought{spare}, but only {human_bytes(free)} are free{_on(observed.mount)}"
        )
        refusals.append(
            Refusal(message=message, hint=_how_to_make_room(actions, observed, missing))
        )
    config = observed.config_room
    if config is None or not config_bytes:
        return tuple(refusals)
    emptied = emptied_bytes(actions) if config.device == observed.room.device else 0
    left = config.free_bytes + emptied - (needed if config.device == observed.room.device else 0)
    if left < config_bytes and not refusals:
        message = (
            f"{observed.config_path} has no room for its new text and a backup of the old one: "
            f"{human_bytes(config_bytes)} are needed, but only {human_bytes(max(left, 0))} are "
            f"free{_on(observed.config_mount)}"
        )
        refusals.append(Refusal(message=message, hint="free some space there"))
    return tuple(refusals)


def guard_read_only(
    actions: Sequence[Action], observed: Observed, *, changes_config: bool
) -> tuple[Refusal, ...]:
    """Begin nothing that cannot be written at its end."""
    places = [(observed.models_dir, observed.mount)] if actions else []
    if changes_config:
        places.append((str(observed.config_path), observed.config_mount))
    return tuple(
        Refusal(
            message=f"{path} lies on {mount.point} ({mount.kind}), which is mounted read-only",
            hint=_how_to_mount_for_writing(mount),
        )
        for path, mount in places
        if mount is not None and mount.is_read_only
    )


def allowed_removals(max_prune: float, owned: int) -> int:
    """Give how many of `owned` models may go at once.

    A float is a share of them, an int a count. One may always go, except the last: a manifest that
    lost its only model is more often a mistake than a wish.
    """
    share = math.floor(max_prune * owned) if isinstance(max_prune, float) else max_prune
    return min(max(share, 1), owned - 1)


def _guard_share(desired: Desired, ledger: Ledger, removed: Sequence[ModelId]) -> Sequence[Refusal]:
    owned = sum(model.discovered is None for model in ledger.models.values())
    allowed = allowed_removals(desired.policy.max_prune, owned)
    if len(removed) <= allowed:
        return ()
    if len(removed) == owned:
        message = f"this would remove every model ({owned} of {owned})"
    else:
        message = (
            f"this would remove {len(removed)} of {owned} models; policy.max_prune allows {allowed}"
        )
    hint = "if that is meant, run again with --allow-prune; else mend the manifest"
    return (Refusal(message=message, hint=hint),)


def _guard_protected(
    desired: Desired, ledger: Ledger, removed: Sequence[ModelId]
) -> Sequence[Refusal]:
    """The ledger remembers protection: only `protect: false`, once applied, lifts it."""
    disabled = [key for key, model in desired.models.items() if not model.spec.enabled]
    losing_entry = [key for key in disabled if key in ledger.models and ledger.models[key].entry]
    return [
        Refusal(
            message=f"{key} is protected, and this would take it out",
            hint=f"declare {key} with `protect: false`, apply that, and then take it out",
        )
        for key in (*removed, *losing_entry)
        if ledger.models[key].protect
    ]


def _on(mount: Mount | None) -> str:
    return f" on {mount.point} ({mount.kind})" if mount else ""


def _how_to_make_room(actions: Iterable[Action], observed: Observed, missing_bytes: int) -> str:
    ways = [f"free {human_bytes(missing_bytes)} there"]
    if observed.trash_bytes:
        ways.append(
            f"{human_bytes(observed.trash_bytes)} of it lie in "
            f"{observed.models_dir}/{STATE_FOLDER}/trash: `reconcile prune --trash` deletes them"
        )
    if any(
        isinstance(item, Replace) or (isinstance(item, Prune) and item.to_trash) for item in actions
    ):
        ways.append("what this plan takes away stays in the trash, so it makes no room")
    ways.append("or leave a model out with `enabled: false`")
    return "; ".join(ways)


def _how_to_mount_for_writing(mount: Mount) -> str:
    if mount.is_ntfs:
        return (
            "NTFS stays read-only where Windows did not leave it clean: let Windows check the disk "
            "and shut down whole (`shutdown /s /t 0`, no fast start-up), then mount it again"
        )
    return f"mount it for writing: mount -o remount,rw {mount.point}"
