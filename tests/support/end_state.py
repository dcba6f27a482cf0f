"""How a host ends, in a form in which two of them can be compared."""

from __future__ import annotations

import json
from typing import Any

from tests.support.sandbox import Sandbox


def state(host: Sandbox) -> dict[str, Any]:
    """Everything that must be the same in the end, wherever the host lies."""
    ledger = (host.models / ".reconciler" / "ledger.json").read_text()
    ledger = json.loads(ledger.replace(str(host.home), "HOME"))
    trash = host.models / ".reconciler" / "trash"
    return {
        "files": host.model_files(),
        "config": host.config.read_text().replace(str(host.home), "HOME"),
        "beside the config": sorted(
            path.name for path in host.config.parent.iterdir() if ".bak." not in path.name
        ),
        "lock": host.lock.read_text(),
        "ledger": {**ledger, "device": 0},
        "trash": sorted(path.name for path in trash.rglob("*") if path.is_file()),
        "partial": [p.name for p in (host.models / ".reconciler" / "partial").iterdir()],
    }
