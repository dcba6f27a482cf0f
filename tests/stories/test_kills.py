"""Killed amid a download: the next run goes on where it was. `python -m tests.kills` kills more."""

from __future__ import annotations

from pathlib import Path

from tests.kills import PROMISED_BYTES, kill_downloads


def test_killed_download_fetches_little_again(tmp_path: Path, mount_table: Path) -> None:
    """Killed at any moment of a download, at most 8 MiB are fetched again, no byte that is kept is
    wrong, and the file ends as upstream has it.
    """
    assert mount_table.exists()
    kills = kill_downloads(tmp_path, 4, seed=4)
    assert max(kill.again_bytes for kill in kills) <= PROMISED_BYTES
    assert max(kill.present_bytes for kill in kills) > 0
