"""Models named on a command line."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from reconciler.core.names import ModelId
from reconciler.errors import UsageError


def chosen_models(
    names: Collection[str], known: Collection[ModelId], *, unknown: str, hint: str
) -> tuple[ModelId, ...]:
    """Give the named models, all of them `known`.

    Raises:
        UsageError: one is not; `unknown` says so, with `{}` for its name. The nearest known one is
            suggested, else `hint` says where to look.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                unknown.format(repr(name)),
                hint=f"did you mean {near[0]!r}?" if near else hint,
            )
    return tuple(ModelId(name) for name in names)
