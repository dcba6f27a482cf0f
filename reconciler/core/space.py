"""How much room a plan needs before its first byte, and how much it gives back afterwards.

Old bytes live until the health gate has passed, and what goes to the trash stays on its disk: so
nothing that a plan takes away makes room for what it brings. What was in the trash before may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from reconciler.core.actions import (
    Action,
    Adopt,
    Download,
    EmptyTrash,
    Place,
    Prune,
    Replace,
)
from reconciler.core.copies import Store
from reconciler.core.file_actions import renamed_files
from reconciler.core.identity import FileIdentity
from reconciler.core.keeping import runs_that_make_room
from reconciler.core.names import Sha256
from reconciler.core.observed import Observed


def needed_bytes(actions: Sequence[Action], observed: Observed) -> int:
    """Give how many more bytes the models folder's filesystem must take until the gate."""
    links = observed.mount is None or observed.mount.has_links
    # What can neither be shared nor needs to be copied is renamed.
    free = observed.shared | renamed_files(actions, observed.models_dir).keys()
    needed = 0
    names: Counter[Sha256] = Counter()
    for action in actions:
        match action:
            case Download():
                needed += _missing(action, observed)
            case Adopt() if action.source and action.sha256 not in free:
                needed += _missing(action, observed)
            case Place() | Replace():
                # Each further name of the same bytes is a link, or else a copy.
                needed += action.size_bytes if names[action.sha256] and not links else 0
                names[action.sha256] += 1
            case _:
                pass
    return needed


def room_actions(
    actions: Sequence[Action], observed: Observed, *, reserve_bytes: int
) -> tuple[EmptyTrash, ...]:
    """Empty the trash, the oldest first, as far as `actions` lack room; not at all in vain.

    What they take out of the trash stays there. `reserve_bytes` must stay free.
    """
    needed = needed_bytes(actions, observed)
    missing = needed + reserve_bytes - observed.room.free_bytes
    if not needed or missing <= 0:
        return ()
    wanted = [
        item.source for item in actions if isinstance(item, Adopt) and item.store is Store.TRASH
    ]
    return tuple(
        EmptyTrash(
            run=item.run,
            files=item.files,
            size_bytes=item.size_bytes,
            frees_bytes=item.frees_bytes,
            reason="room is needed for what is brought",
        )
        for item in runs_that_make_room(observed.trash, missing, wanted=wanted)
    )


def emptied_bytes(actions: Iterable[Action]) -> int:
    """Give how many bytes are free once the trash is emptied as far as a plan says."""
    return sum(item.frees_bytes for item in actions if isinstance(item, EmptyTrash))


def freed_bytes(actions: Iterable[Action], observed: Observed) -> int:
    """Give how many bytes are free once pruned files are deleted: those of their last names."""
    deleted = [
        observed.files[action.path]
        for action in actions
        if isinstance(action, Prune) and not action.to_trash and action.path in observed.files
    ]
    names: Counter[FileIdentity] = Counter(item.identity for item in deleted)
    links = {item.identity: item.links for item in deleted}
    return sum(one.size_bytes for one, count in names.items() if count >= links[one])


def _missing(action: Download | Adopt, observed: Observed) -> int:
    """A partial file may be as large as the whole from its first byte on, and holds its room."""
    return max(action.size_bytes - observed.staged_disk_bytes.get(action.sha256, 0), 0)
