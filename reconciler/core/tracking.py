"""What tracked models follow: the branches and tags they name, and when these have moved on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.core.asked import Named, commits_of
from reconciler.core.lock import Pin, PinnedFile
from reconciler.core.manifest import ModelSpec
from reconciler.core.names import Commit, ModelId, Sha256
from reconciler.core.ports.hub import Upstream
from reconciler.core.sizes import human_bytes
from reconciler.core.source import HubOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A tracked model: its pin, and the commits that pin holds by what was followed to them."""

    pin: Pin
    commits: Mapping[Named, Collection[Commit]]


def followed_models(
    models: Mapping[ModelId, ModelSpec], pins: Mapping[ModelId, Pin]
) -> dict[ModelId, Followed]:
    """Give the models that are tracked, served and pinned.

    A source that names a commit follows nothing.
    """
    followed = {}
    for key, spec in models.items():
        if not (spec.track and spec.enabled and key in pins):
            continue
        commits: dict[Named, set[Commit]] = {}
        for named, commit in commits_of(pins[key]):
            if named[1] != commit:
                commits.setdefault(named, set()).add(commit)
        followed[key] = Followed(pin=pins[key], commits=commits)
    return followed


def may_have_newer(
    model: Followed,
    found: Mapping[Named, Upstream],
    *,
    now: datetime,
    window_hours: float | None,
) -> bool:
    """Whether its files are worth a look: a commit differs where the hub tells of a late change.

    `found` is what the hub says. Without a window any change counts, and so does one whose time is
    not known, or lies in the future by this clock.
    """
    window = timedelta.max if window_hours is None else timedelta(hours=window_hours)
    return any(
        {upstream.commit} != set(commits)
        and (upstream.modified_at is None or now - upstream.modified_at <= window)
        for named, commits in model.commits.items()
        if (upstream := found.get(named)) is not None
    )


def clashing_moves(
    moves: Mapping[ModelId, Pin], pins: Mapping[ModelId, Pin]
) -> dict[ModelId, ModelId]:
    """Give the moves that cannot be, each with the model that wants other bytes at one path.

    `pins` are all pins there are, those that would move included.
    """
    clashing: dict[ModelId, ModelId] = {}
    while True:
        after = {**pins, **{key: pin for key, pin in moves.items() if key not in clashing}}
        wants: dict[str, dict[Sha256, ModelId]] = {}
        for key, pin in after.items():
            for file in pin.files:
                wants.setdefault(file.path, {}).setdefault(file.sha256, key)
        found = {
            key: other
            for key in moves
            if key not in clashing
            for file in moves[key].files
            for digest, other in wants[file.path].items()
            if digest != file.sha256
        }
        if not found:
            return clashing
        clashing |= found


def describe_move(before: Pin, after: Pin, here: Collection[Sha256]) -> str:
    """Say what a move changes: commits, files, and the bytes to fetch beyond those of `here`."""
    old = set(before.contents)
    new = [file for file in after.files if (file.role, file.path, file.sha256) not in old]
    missing = {file.sha256: file.size_bytes for file in new if file.sha256 not in here}
    gone = len(old) - (len(after.files) - len(new))
    files = max(len(new), gone)
    return (
        f"{_commits(before, (new or after.files)[0])}, "
        f"{files} {'file' if files == 1 else 'files'} changed, "
        f"{human_bytes(sum(missing.values()))} to fetch"
    )


def _commits(before: Pin, file: PinnedFile) -> str:
    if not isinstance(file.origin, HubOrigin):
        return "a file of this machine"
    old = [
        other.origin.commit
        for other in before.files
        if isinstance(other.origin, HubOrigin) and other.origin.repo == file.origin.repo
    ]
    was = f"{old[0][:8]} → " if old else ""
    return f"commit {was}{file.origin.commit[:8]}"
