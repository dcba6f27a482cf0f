"""Hosts that were applied before they are measured, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def applied(home: Path, **settings: str) -> dict[str, str]:
    """Apply the manifest below `home`; give the settings that lead to it, `settings` among them."""
    settings = {
        "RECONCILER_MANIFEST": str(home / "manifests" / "home.yaml"),
        "RECONCILER_MODELS_DIR": str(home / "models"),
        "RECONCILER_RUNTIME": "none",
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        **settings,
    }
    subprocess.run(
        [sys.executable, "-m", "reconciler", "--yes", "--quiet", "--offline"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return settings
