"""Where the inventory of a models folder lies: beside the models, or elsewhere where that fails."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.filesystems import Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePlace:
    """The folder of inventory, ledger copy and run lock; `reason` is empty beside the models."""

    folder: str
    reason: str = ""


def choose_state_place(
    *,
    own: str,
    elsewhere: str,
    own_has_one: bool,
    elsewhere_has_one: bool,
    named: bool,
    read_only: bool,
    mount: Mount | None,
) -> StatePlace:
    """Choose between our folder beside the models (`own`) and one of the user's (`elsewhere`).

    An inventory that is there already is used where it lies, so that there is never a second one.
    Else it lies beside the models, unless that folder cannot hold it: nothing can be written there,
    or another system serves it, where several processes cannot share a database. `named`: a person
    has chosen the place elsewhere, which then is the only one.
    """
    if named:
        return StatePlace(folder=elsewhere, reason="as RECONCILER_STATE_DIR says")
    if own_has_one:
        return StatePlace(folder=own)
    if elsewhere_has_one:
        return StatePlace(folder=elsewhere, reason="where an earlier run began it")
    if read_only:
        return StatePlace(folder=elsewhere, reason="for nothing can be written beside the models")
    if mount is not None and mount.is_served:
        reason = f"for another system serves the models ({mount.kind} on {mount.point})"
        return StatePlace(folder=elsewhere, reason=reason)
    return StatePlace(folder=own)
