"""Where other programs keep models, by what their own variables and notes say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.adapters.foreign.places import find_places
from tests.support.foreign import write

HOME = Path("/home/nobody-there")


def test_without_variables_the_usual_places_are_meant() -> None:
    """Each program's own default, below the home folder; Ollama's service has its own home."""
    places = find_places({"HOME": str(HOME)})
    assert places.hub_caches == (HOME / ".cache/huggingface/hub",)
    assert places.ollama == (HOME / ".ollama/models", Path("/usr/share/ollama/.ollama/models"))
    assert places.docker_models == (HOME / ".docker/models",)
    assert places.lm_studio == (HOME / ".lmstudio/models", HOME / ".cache/lm-studio/models")
    assert places.llama_cpp == (HOME / ".cache/llama.cpp", HOME / "Library/Caches/llama.cpp")


@pytest.mark.parametrize(
    ("variables", "cache"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/b"}, "/a"),
        ({"LLAMA_CACHE": "/a", "HF_HUB_CACHE": "/b"}, "/a"),
        ({"HF_HOME": "/a"}, "/a/hub"),
        ({"HF_HOME": "~/a"}, f"{HOME}/a/hub"),
        ({"HF_HOME": "$DATA/a", "DATA": "/d"}, "/d/a/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
    ],
)
def test_variables_of_the_hubs_client_are_honoured(variables: dict[str, str], cache: str) -> None:
    """The cache they lead to is looked at first."""
    assert find_places({"HOME": str(HOME), **variables}).hub_caches[0] == Path(cache)


def test_a_relative_or_empty_path_names_no_store() -> None:
    """It would mean another folder wherever the command is run."""
    places = find_places({"HOME": str(HOME), "OLLAMA_MODELS": "models", "MODELS_PATH": ""})
    assert Path("models") not in places.ollama
    assert places.docker_models == (HOME / ".docker/models",)


def test_lm_studio_is_followed_to_where_it_was_moved(tmp_path: Path) -> None:
    """Its pointer names its home, and its settings the folder that its models were moved to."""
    write(tmp_path / ".lmstudio-home-pointer", b"/data/studio\n")
    settings = {"downloadsFolder": "/big/models"}
    write(tmp_path / ".lmstudio" / "settings.json", json.dumps(settings).encode())
    found = find_places({"HOME": str(tmp_path)}).lm_studio
    assert found[0] == Path("/data/studio/models")
    assert Path("/big/models") in found


@pytest.mark.parametrize("nonsense", [b"[]", b"{", b'{"downloadsFolder": 7}', b"[" * 100_000])
def test_nonsense_in_its_settings_is_passed_over(tmp_path: Path, nonsense: bytes) -> None:
    """Settings of another program may hold anything."""
    write(tmp_path / ".lmstudio" / "settings.json", nonsense)
    assert find_places({"HOME": str(tmp_path)}).lm_studio[0] == tmp_path / ".lmstudio/models"
