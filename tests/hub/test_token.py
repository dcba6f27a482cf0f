"""The hub's token: where it is looked for, and what is said about the place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.adapters.hub.token import read_token


def _file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_variables_come_before_the_file(tmp_path: Path) -> None:
    """HF_TOKEN wins over its older name, and both win over the file."""
    token_file = _file(tmp_path / "token", "hf_file")
    environment = {
        "HF_TOKEN": "hf_new",
        "HUGGING_FACE_HUB_TOKEN": "hf_old",
        "HF_TOKEN_PATH": str(token_file),
    }
    assert read_token(environment).value == "hf_new"
    del environment["HF_TOKEN"]
    assert read_token(environment).value == "hf_old"
    del environment["HUGGING_FACE_HUB_TOKEN"]
    assert read_token(environment).value == "hf_file"


@pytest.mark.parametrize(
    ("place", "environment"),
    [
        ("a/named", {"HF_TOKEN_PATH": "{root}/a/named", "HF_HOME": "{root}/elsewhere"}),
        ("hf/token", {"HF_HOME": "{root}/hf", "XDG_CACHE_HOME": "{root}/elsewhere"}),
        ("xdg/huggingface/token", {"XDG_CACHE_HOME": "{root}/xdg", "HOME": "{root}/elsewhere"}),
        ("home/.cache/huggingface/token", {"HOME": "{root}/home"}),
        ("home/t", {"HOME": "{root}/home", "HF_TOKEN_PATH": "~/t"}),
        ("secrets/t", {"WHERE": "{root}/secrets", "HF_TOKEN_PATH": "$WHERE/t"}),
    ],
)
def test_file_is_looked_for_where_the_hubs_own_client_does(
    tmp_path: Path, place: str, environment: dict[str, str]
) -> None:
    """Of HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME and the home folder, the first set counts."""
    _file(tmp_path / place, "hf_here")
    expanded = {name: value.format(root=tmp_path) for name, value in environment.items()}
    assert read_token(expanded).value == "hf_here"


def test_token_is_cleaned_of_line_ends_and_blanks(tmp_path: Path) -> None:
    """A file an editor ended with a line end, and a variable with blanks, hold the same token."""
    assert read_token({"HF_TOKEN": " hf_a\r\n"}).value == "hf_a"
    token_file = _file(tmp_path / "token", "hf_b\n")
    assert read_token({"HF_TOKEN_PATH": str(token_file)}).value == "hf_b"


def test_empty_places_hold_no_token(tmp_path: Path) -> None:
    """An empty variable is passed over, and nothing anywhere is no token and no warning."""
    token_file = _file(tmp_path / "token", "\n")
    reading = read_token({"HF_TOKEN": "  ", "HF_TOKEN_PATH": str(token_file)})
    assert (reading.value, reading.warnings) == (None, ())
    assert read_token({}).value is None
    assert read_token({"HOME": str(tmp_path)}).warnings == ()


def test_implicit_token_can_be_switched_off() -> None:
    """HF_HUB_DISABLE_IMPLICIT_TOKEN keeps a token that lies about from being sent."""
    environment = {"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "true"}
    assert read_token(environment).value is None
    assert read_token({**environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}).value == "hf_a"


def test_token_is_read_anew_each_time(tmp_path: Path) -> None:
    """A token that is renewed while we run is the one that is used."""
    token_file = _file(tmp_path / "token", "hf_first")
    environment = {"HF_TOKEN_PATH": str(token_file)}
    assert read_token(environment).value == "hf_first"
    _file(token_file, "hf_second")
    assert read_token(environment).value == "hf_second"


def test_file_that_others_may_read_is_used_with_a_warning(tmp_path: Path) -> None:
    """A badly kept token still works, and its owner is told, without the token being shown."""
    token_file = _file(tmp_path / "token", "hf_secret", mode=0o644)
    reading = read_token({"HF_TOKEN_PATH": str(token_file)})
    assert reading.value == "hf_secret"
    assert len(reading.warnings) == 1
    assert str(token_file) in reading.warnings[0]
    assert "chmod 600" in reading.warnings[0]
    assert "hf_secret" not in reading.warnings[0]


def test_pipe_in_place_of_the_file_does_not_hold_us_up(tmp_path: Path) -> None:
    """Something that is no regular file is named in a warning instead of being waited for."""
    os.mkfifo(tmp_path / "token")
    reading = read_token({"HF_TOKEN_PATH": str(tmp_path / "token")})
    assert reading.value is None
    assert "not a regular file" in reading.warnings[0]


def test_token_that_no_header_can_hold_is_not_sent() -> None:
    """Characters HTTP forbids make a warning that names the place, not a crash, nor the token."""
    reading = read_token({"HF_TOKEN": "hf_ä secret"})
    assert reading.value is None
    assert "HF_TOKEN" in reading.warnings[0]
    assert "secret" not in reading.warnings[0]
