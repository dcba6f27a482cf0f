"""Which commit the manifest is of, for the report of a run."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.adapters.manifest_files import manifest_files
from reconciler.cli.settings import Settings
from reconciler.errors import ReconcilerError


def manifest_commit(settings: Settings) -> str:
    """Give the commit that the manifest is of, with `+edits` where it was edited since.

    Empty where it is of none, or where that cannot be told: a run does not fail for it.
    """
    folder = manifest_folder(settings)
    # Where there is no repository, git need not be started to say so.
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return ""
    from reconciler.adapters.git.checkout import Checkout

    try:
        files = [file.resolve() for file in manifest_files(settings.manifest)]
        return Checkout.open(folder, environ=settings.environment).commit_of(files)
    except (ReconcilerError, OSError):
        return ""


def manifest_folder(settings: Settings) -> Path:
    """Give the folder that the manifest lies in, links followed; those in a circle are not."""
    path = Path(os.path.realpath(settings.manifest))
    return path if path.is_dir() else path.parent
