"""Where a file goes below the models folder."""

from __future__ import annotations

import pytest

from reconciler.core.destination import destination
from reconciler.core.names import Commit, InvalidName, RelPath, RepoId
from reconciler.core.source import HubOrigin, LocalOrigin, Origin, UrlOrigin

HUB = HubOrigin(repo=RepoId("acme/Tiny"), commit=Commit("a" * 40), path=RelPath("Q8_0/m.gguf"))


@pytest.mark.parametrize(
    ("origin", "models_dir", "expected"),
    [
        (HUB, "/models", "acme/Tiny/Q8_0/m.gguf"),
        (HUB, None, "acme/Tiny/Q8_0/m.gguf"),
        (
            UrlOrigin(url="https://example.org/a/m%20x.gguf?t=1"),
            None,
            "_url/example.org/a/m x.gguf",
        ),
        (UrlOrigin(url="http://[::1]:80/m.gguf"), None, "_url/___1__80/m.gguf"),
        (LocalOrigin(path="/models/mine/m.gguf"), "/models/", "mine/m.gguf"),
        (LocalOrigin(path="/models-old/m.gguf"), "/models", "_local/m.gguf"),
        (LocalOrigin(path="/mnt/m.gguf"), None, "_local/m.gguf"),
    ],
)
def test_a_file_has_one_place(origin: Origin, models_dir: str | None, expected: str) -> None:
    """The place follows from the origin alone, and a file already in the folder stays put."""
    assert destination(origin, models_dir) == expected


def test_nothing_goes_into_our_own_folder() -> None:
    """A local file in the state folder cannot be taken for a model."""
    with pytest.raises(InvalidName):
        destination(LocalOrigin(path="/models/.reconciler/m.gguf"), "/models")
