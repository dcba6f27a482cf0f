"""The eyes of a watch: what counts as a change, and which folders it may happen in."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.adapters.llamaswap.config_folder import ConfigFolder
from reconciler.cli.watching.contents import Eyes
from reconciler.core.watching import Contents, Spot
from reconciler.engine.host import Host


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of manifests, one of configs (our own a link), and a models folder."""
    files = {
        "manifests/a.yaml": "a",
        "manifests/reconcile.lock": "lock",
        "manifests/.git/HEAD": "main",
        "real/b.yaml": "b",
        "configs/theirs.yaml": "models: {}",
        "elsewhere/ours.yaml": "models: {}",
        "named/llama-swap.yaml": "models: {}",
        "models/acme/chat.gguf": "weights",
        "models/acme/README.md": "words",
        "models/.reconciler/partial/x.gguf": "half",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "manifests" / "b.yaml").symlink_to("../real/b.yaml")
    (tmp_path / "configs" / "ours.yaml").symlink_to(tmp_path / "elsewhere" / "ours.yaml")
    return tmp_path


def eyes_on(home: Path) -> Eyes:
    """Eyes that a pass has told where everything lies."""
    own = home / "configs" / "ours.yaml"
    host = SimpleNamespace(
        config_path=str(own),
        config_folder=ConfigFolder(
            home / "configs", own=own, named=home / "named" / "llama-swap.yaml"
        ),
        folder=SimpleNamespace(root=home / "models"),
    )
    eyes = Eyes(home / "manifests")
    eyes.note(cast(Any, cast(Host, host)))
    eyes.look()
    return eyes


def changed(before: Contents, after: Contents) -> set[str]:
    """Name what differs."""
    names = (item.name for item in fields(Contents))
    return {name for name in names if getattr(before, name) != getattr(after, name)}


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("manifests/a.yaml", {"manifest"}),
        ("manifests/new.yml", {"manifest"}),
        ("real/b.yaml", {"manifest"}),
        ("manifests/reconcile.lock", {"lock"}),
        ("elsewhere/ours.yaml", {"config"}),
        ("configs/theirs.yaml", {"siblings"}),
        ("configs/new.yaml", {"siblings"}),
        ("named/llama-swap.yaml", {"siblings"}),
        ("models/acme/chat.gguf", {"models"}),
        ("models/new.gguf", {"models"}),
        ("models/acme/README.md", set()),
        ("models/.reconciler/partial/x.gguf", set()),
        ("manifests/.git/HEAD", set()),
        ("manifests/.a.yaml.swp", set()),
    ],
)
def test_what_counts_is_seen_and_watched(home: Path, file: str, what: set[str]) -> None:
    """Each file that a pass is made from counts, behind links as well, as what it is; it lies in a
    folder that is watched for it. What does not count is not seen.
    """
    eyes = eyes_on(home)
    before, spots = eyes.look(), {spot.folder: spot for spot in eyes.spots()}
    (home / file).write_text("other")
    assert changed(before, eyes.look()) == what
    spot = spots.get(str((home / file).parent))
    is_watched = spot is not None and (spot.names is None or Path(file).name in spot.names)
    assert is_watched or not what


def test_all_that_leads_there_is_watched(home: Path) -> None:
    """Every folder above and every link on the way is watched for just that name, from the root
    on; the models' folders alone are far, and what is hidden there is left out.
    """
    eyes = eyes_on(home)
    spots = {Path(spot.folder): spot for spot in eyes.spots(beside=home / "beside")}
    above = spots[home].names
    assert above is not None
    assert above >= {"manifests", "real", "configs", "elsewhere", "named", "models", "beside"}
    assert Path(home.parts[0]) in spots
    models = {home / "models", home / "models" / "acme"}
    assert {folder for folder, spot in spots.items() if spot.is_far} == models
    assert not [folder for folder in spots if ".reconciler" in folder.parts]


def test_lock_beside_a_manifest_of_one_file_is_watched(home: Path) -> None:
    """Of the folder around one file nothing but that file and its lock counts."""
    eyes = Eyes(home / "manifests" / "a.yaml")
    before = eyes.look()
    names = {spot.folder: spot.names for spot in eyes.spots()}
    assert names[str(home / "manifests")] == frozenset({"a.yaml", "a.yaml.lock"})
    (home / "manifests" / "a.yaml.lock").write_text("pulled")
    assert changed(before, eyes.look()) == {"lock"}


def test_what_cannot_be_read_counts_as_not_there(tmp_path: Path) -> None:
    """Without a manifest, a config or a models folder there is nothing to see, and no error."""
    eyes = Eyes(tmp_path / "gone" / "home.yaml")
    assert eyes.look() == Contents(manifest="", lock="")
    assert eyes.spots()[-1] == Spot(folder=str(tmp_path), names=frozenset({"gone"}))
