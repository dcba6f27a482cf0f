"""Where our entries may stand: in the user's own config, or in a file of ours beside theirs.

They do not move from the one to the other by themselves: for a while two files would have them, and
llama-swap takes a model from one alone.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from reconciler.core.ledger import Ledger
from reconciler.core.observed import Observed
from reconciler.core.ownership import owned_in
from reconciler.core.refusal import Refusal
from reconciler.core.siblings import OUR_FILE, SINCE
from reconciler.core.yamltext.config import read_config
from reconciler.errors import ConfigUnreadable


def guard_old_home(observed: Observed, ledger: Ledger) -> tuple[Refusal, ...]:
    """Write nothing into another home while the old one has entries of ours as we wrote them."""
    old, new = ledger.config_path, observed.config_path
    if old is None or new is None or old == new or observed.old_config is None:
        return ()
    siblings = observed.siblings.texts if observed.siblings else {}
    if _is_ours(old) == _is_ours(new) and old not in siblings:
        return ()
    try:
        view = read_config(observed.old_config, old)
    except ConfigUnreadable:
        return ()
    held = [key for key, model in owned_in(view, ledger).models.items() if model.entry]
    if not held:
        return ()
    first = min(held, key=lambda key: view.models[key].line)
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    return (
        Refusal(
            message=f"{old}:{view.models[first].line}: {first}{more} stand there by us, "
            f"and this run would write to {new}",
            hint=f"go on there with --config {old}; or move these entries by hand, as they are, "
            f"below `models:` in {new}, and run again: they stay ours",
        ),
    )


def guard_folder_version(observed: Observed, *, changes_config: bool) -> tuple[Refusal, ...]:
    """Write nothing that the llama-swap that runs would never read."""
    version = observed.version
    if not changes_config or observed.siblings is None or version is None or version >= SINCE:
        return ()
    return (
        Refusal(
            message=f"llama-swap {version} reads no folder of configs (since {SINCE} it does), "
            f"and {observed.config_path} is to be merged with one",
            hint="name the one config that it reads with --config PATH, and no --config-dir",
        ),
    )


def _is_ours(path: str) -> bool:
    return PurePosixPath(path).name == OUR_FILE
