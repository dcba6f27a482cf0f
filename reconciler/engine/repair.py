"""Mend a damaged file from what is left of it: only the segments that are damaged are fetched."""

from __future__ import annotations

from reconciler.core.actions import Adopt, Download
from reconciler.core.damage import intact_extents
from reconciler.core.ports.transfer import Stretch
from reconciler.engine.host import Host
from reconciler.errors import Interrupted, ReconcilerError


def intact_parts(action: Download | Adopt, host: Host) -> tuple[Stretch, ...]:
    """Give what the file at the path of `action` has of the wanted bytes, in order.

    It is read for that once more, for damage may grow. Empty where the segments of those bytes are
    not known, or nothing of them is there; what goes wrong is left to the fetching that follows.

    Raises:
        Interrupted: the person, or the system, asked us to stop.
    """
    good = host.digests.segments(action.sha256)
    if good is None:
        return ()
    try:
        if host.folder.look(action.path) is None:
            return ()
        path = host.folder.full(action.path)
        found = host.digests.read_segments(path, host.reporter)
    except Interrupted:
        raise
    except ReconcilerError:
        return ()
    return tuple(
        Stretch(start=start, length_bytes=end - start, path=path, source_start=start)
        for start, end in intact_extents(good, found, action.size_bytes)
    )
