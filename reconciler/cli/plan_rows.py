"""What a plan does to files, a row for each: fetching and placing told as one, and so shards."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from reconciler.cli.terminal import counted
from reconciler.core.actions import (
    Action,
    Adopt,
    Download,
    EmptyTrash,
    Forget,
    Place,
    Prune,
    Replace,
)
from reconciler.core.names import ModelId, RelPath
from reconciler.core.plan import Plan
from reconciler.core.sizes import human_bytes

_SHARD = re.compile(r"-\d{5}(-of-\d{5}\.gguf)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One line on a file. `size_bytes` is None where nothing is moved."""

    verb: str
    path: str
    size_bytes: int | None
    why: str
    count: int = 1


def model_rows(plan: Plan, model: ModelId) -> tuple[FileRow, ...]:
    """Give what becomes of the files that `model` brings."""
    replaced = {item.path: item.old_bytes for item in plan.actions if isinstance(item, Replace)}
    fetched = {item.path for item in plan.actions if isinstance(item, Download | Adopt)}
    rows = (_brought(action, model, replaced, fetched) for action in plan.actions)
    return _fold(row for row in rows if row is not None)


def room_rows(plan: Plan) -> tuple[FileRow, ...]:
    """Give what is deleted for good before anything is brought."""
    return tuple(
        FileRow(
            verb="delete",
            path=f"trash/{item.run}",
            size_bytes=item.frees_bytes,
            why=f"{counted(item.files, 'file')} in the trash: {item.reason}",
        )
        for item in plan.actions
        if isinstance(item, EmptyTrash)
    )


def leftover_rows(plan: Plan) -> tuple[FileRow, ...]:
    """Give what becomes of the files that no model wants any more."""
    rows = []
    for action in plan.actions:
        if isinstance(action, Prune):
            verb = "trash" if action.to_trash else "delete"
            rows.append(_row(verb, action.path, action.size_bytes, action.reason))
        elif isinstance(action, Forget):
            rows.append(_row("forget", action.path, None, action.reason))
    return _fold(rows)


def _brought(
    action: Action, model: ModelId, replaced: dict[RelPath, int], fetched: set[RelPath]
) -> FileRow | None:
    """Give one row for each path; how a file comes here tells more than that it is placed."""
    match action:
        case Download() if action.model == model:
            verb, size = "download", action.size_bytes - action.have_bytes
        case Adopt() if action.model == model:
            verb, size = "reuse", action.size_bytes
        case Place() | Replace() if action.model == model and action.path not in fetched:
            verb, size = "place", action.size_bytes
        case _:
            return None
    why = action.reason
    if action.path in replaced:
        why += f"; the old {human_bytes(replaced[action.path])} go to the trash"
    return _row(verb, action.path, size, why)


def _row(verb: str, path: str, size_bytes: int | None, why: str) -> FileRow:
    return FileRow(verb=verb, path=path, size_bytes=size_bytes, why=why)


def _fold(rows: Iterable[FileRow]) -> tuple[FileRow, ...]:
    """Make one row of neighbours that are shards of one file, in for the same."""

    def kind(row: FileRow) -> tuple[str, str, str]:
        return row.verb, row.why, _SHARD.sub(r"-*\1", row.path)

    folded = []
    for _, group in groupby(rows, key=kind):
        first, *others = group
        if others:
            sizes = [row.size_bytes or 0 for row in (first, *others)]
            first = replace(
                first,
                path=_SHARD.sub(r"-*\1", first.path),
                size_bytes=sum(sizes) if first.size_bytes is not None else None,
                count=len(sizes),
            )
        folded.append(first)
    return tuple(folded)
