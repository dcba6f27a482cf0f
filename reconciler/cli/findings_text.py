"""What verifying found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from reconciler.cli.terminal import Style, counted, printable
from reconciler.core.damage import Damage
from reconciler.core.names import RelPath
from reconciler.core.sizes import human_bytes
from reconciler.engine.file_checks import Finding
from reconciler.engine.verify import VerifiedFile

_MOST_EXTENTS: Final = 4


def findings_to_json(files: Sequence[VerifiedFile], extra: Sequence[RelPath]) -> dict[str, Any]:
    """Give what was found as plain JSON values."""
    return {"files": [asdict(item) for item in files], "extra_shards": list(extra)}


def render_findings(
    files: Sequence[VerifiedFile], extra: Sequence[RelPath], style: Style, *, quick: bool
) -> str:
    """Give a line for each file about which there is something to say, and one for all."""
    lines = []
    for item in files:
        said = "; ".join(part for part in (_where(item.damage), item.note) if part)
        if item.finding is Finding.INTACT and not said:
            continue
        color = "green" if item.finding is Finding.INTACT else "red"
        what = f"{style(item.finding.value, color)}  {item.path}  ({', '.join(item.models)})"
        lines.append(f"{what}: {printable(said)}" if said else what)
    lines += [f"{style('extra', 'yellow')}  {path}  (no model wants this shard)" for path in extra]
    bad = bad_files(files)
    if not files:
        lines.append("There is no file of ours here to look at: see `reconcile status`")
    elif bad:
        lines.append(f"{len(bad)} of {len(files)} files are not as they should be")
    else:
        size = human_bytes(sum(item.size_bytes for item in files))
        done = "Unchanged" if quick else "Intact"
        lines.append(style(f"{done}: {counted(len(files), 'file')}, {size}", "green"))
    return "\n".join([*lines, ""])


def bad_files(files: Sequence[VerifiedFile]) -> list[VerifiedFile]:
    """Give those that are not as they should be."""
    return [item for item in files if item.finding is not Finding.INTACT]


def _where(damage: Damage | None) -> str:
    if damage is None:
        return ""
    extents = [f"{start}-{end - 1}" for start, end in damage.extents]
    more = len(extents) - _MOST_EXTENTS
    shown = ", ".join(extents[:_MOST_EXTENTS]) + (f" and {more} more" if more > 0 else "")
    return f"{damage.damaged} of {counted(damage.segments, 'segment')}, bytes {shown}"
