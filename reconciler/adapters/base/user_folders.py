"""Where a user's own files lie, by the XDG rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.errors import UsageError


def user_folder(environment: Mapping[str, str], variable: str, below_home: str) -> Path:
    """Give the folder that `variable` names, else the one at `below_home`.

    What is not an absolute path does not count, as the XDG rules have it.

    Raises:
        UsageError: nothing names it, and this user has no home folder.
    """
    named = Path(environment.get(variable, ""))
    if named.is_absolute():
        return named
    try:
        return Path.home() / below_home
    except RuntimeError as error:
        raise UsageError(
            "this user has no home folder to keep files in",
            hint=f"name one in HOME, or the folder itself in {variable}",
        ) from error
