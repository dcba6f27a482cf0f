"""Where a user's own files lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.adapters.base.user_folders import user_folder
from tests.support.small_disk import needs_root

PROJECT = Path(__file__).parents[2]
ASK = """
import os, sys
from reconciler.adapters.base.user_folders import user_folder
from reconciler.errors import UsageError
os.setuid(54321)
try:
    user_folder({}, "XDG_STATE_HOME", ".local/state")
except UsageError as error:
    sys.exit(error.hint)
"""


@pytest.mark.parametrize(
    ("named", "folder"), [("/named", "/named"), ("", "/home/me/state"), ("a/b", "/home/me/state")]
)
def test_variable_wins_over_home(named: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable names the folder if it is an absolute path; else it lies in the home folder."""
    monkeypatch.setenv("HOME", "/home/me")
    assert user_folder({"XDG_STATE_HOME": named}, "XDG_STATE_HOME", "state") == Path(folder)


@needs_root
def test_user_without_a_home_is_told_what_to_name() -> None:
    """A number without a name, as containers run with, has no home: that is no defect of ours."""
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**environment, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert asked.stderr == "name one in HOME, or the folder itself in XDG_STATE_HOME\n"
