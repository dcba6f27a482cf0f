"""The desired state: manifest and pins joined, and what cannot be had both at once."""

from __future__ import annotations

import pytest

from reconciler.core.desired import expand
from reconciler.core.lock import Asked, Lock, Pin, PinnedFile
from reconciler.core.manifest import Manifest, Policy
from reconciler.core.names import ModelId
from reconciler.errors import ManifestInvalid
from tests.support.worlds import digest, model, pinned


def join(*models: tuple[str, PinnedFile]) -> tuple[str, ...]:
    """Join models of one file each; gives what is wrong with them."""
    manifest = Manifest(
        models={ModelId(name): model(name).spec for name, _ in models},
        policy=Policy(),
        paths=("home.yaml",),
        digest=digest("manifest"),
    )
    asked = Asked(source="")
    lock = Lock(pins={ModelId(name): Pin(asked=asked, files=(file,)) for name, file in models})
    try:
        expand(manifest, lock, lock_digest="", stalled={})
    except ManifestInvalid as error:
        return tuple(fault.message for fault in error.faults)
    return ()


def test_one_file_for_two_models_is_fine() -> None:
    """Two models may want the same bytes at the same path."""
    assert join(("a", pinned("x", "same")), ("b", pinned("x", "same"))) == ()


def test_different_bytes_at_one_path_are_refused() -> None:
    """Both models and the path are named."""
    (fault,) = join(("a", pinned("x", "one")), ("b", pinned("x", "two")))
    assert fault.startswith("'b' and 'a' want different bytes at acme/x/m.gguf")


@pytest.mark.parametrize("turned", [False, True])
def test_file_where_another_needs_a_folder_is_refused(turned: bool) -> None:
    """No disk can hold a file and a folder of one name: told before anything is fetched."""
    models = [("a", pinned("x", "one", name="m")), ("b", pinned("x", "two", name="m/deep.gguf"))]
    (fault,) = join(*(reversed(models) if turned else models))
    assert fault == "'b' wants acme/x/m/deep.gguf, but acme/x/m is a file of 'a': drop one"
