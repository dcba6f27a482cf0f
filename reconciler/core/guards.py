"""What forbids a plan: removals too many to be meant, and models that are protected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.desired import Desired
from reconciler.core.ledger import Ledger
from reconciler.core.names import ModelId
from reconciler.core.observed import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a plan may not be applied, and what would lift that."""

    message: str
    hint: str


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


def allowed_removals(max_prune: float, owned: int) -> int:
    """Give how many of `owned` models may go at once.

    A float is a share of them, an int a count. One may always go, except the last: a manifest that
    lost its only model is more often a mistake than a wish.
    """
    share = math.floor(max_prune * owned) if isinstance(max_prune, float) else max_prune
    return min(max(share, 1), owned - 1)


def _guard_share(desired: Desired, ledger: Ledger, removed: Sequence[ModelId]) -> Sequence[Refusal]:
    owned = len(ledger.models)
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
