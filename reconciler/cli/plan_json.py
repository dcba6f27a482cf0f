"""A plan as machines read it: one JSON object, whose shape `format_version` names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from reconciler.core.plan import Plan

FORMAT_VERSION: Final = 1
_NAMES: Final = {
    "EmptyTrash": "empty_trash",
    "SetEntry": "set_entry",
    "RemoveEntry": "remove_entry",
    "EditReference": "edit_reference",
}


def plan_to_json(plan: Plan, *, to_json: Callable[[Any], Any] = asdict) -> dict[str, Any]:
    """Give the plan as plain JSON values; see `docs/commands.md` for what each means.

    `to_json` makes an object of each of its dataclasses.
    """
    return {
        "format_version": FORMAT_VERSION,
        "fingerprint": plan.fingerprint,
        "actions": [
            {"action": _NAMES.get(name := type(item).__name__, name.lower()), **to_json(item)}
            for item in plan.actions
        ],
        "unchanged": list(plan.unchanged),
        "drift": [to_json(item) for item in plan.drift],
        "warnings": list(plan.warnings),
        "refusals": [to_json(item) for item in plan.refusals],
        "stalled": {key: to_json(stall) for key, stall in plan.stalled.items()},
        "discovered": [to_json(item) for item in plan.discovered],
        "llama_swap_version": plan.llama_swap_version,
        "summary": to_json(plan.summary),
    }
