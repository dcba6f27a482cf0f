"""When a models folder is taken for an unplugged disk, and where its inventory lies."""

from __future__ import annotations

import pytest

from reconciler.core.filesystems import Mount
from reconciler.core.sentinel import FolderSight, RememberedFolder, filesystem_name, guard_folder
from reconciler.core.state_places import choose_state_place

NFS = Mount(id=2, parent=1, point="/models", kind="nfs4", source="nas:/models")
EXT4 = Mount(id=2, parent=1, point="/models", kind="ext4", source="/dev/sdb1")
BEFORE = RememberedFolder(filesystem="id 1", models=3)


@pytest.mark.parametrize(
    ("filesystem", "is_bare", "has_inventory", "refused"),
    [
        ("id 1", True, False, True),
        ("id 2", True, False, True),
        ("id 2", True, True, True),
        ("id 2", False, False, True),
        ("id 1", True, True, False),
        ("id 1", False, False, False),
        ("id 2", False, True, False),
    ],
)
def test_folder_is_refused_where_its_models_have_vanished_with_its_disk(
    filesystem: str, is_bare: bool, has_inventory: bool, refused: bool
) -> None:
    """A bare folder is no models folder unless its own inventory is there; another filesystem is
    one only with an inventory on it.
    """
    sight = FolderSight(
        path="/models", filesystem=filesystem, is_bare=is_bare, has_inventory=has_inventory
    )
    assert (guard_folder(sight, BEFORE) is not None) is refused
    assert guard_folder(sight, None) is None
    assert guard_folder(sight, RememberedFolder(filesystem="id 1", models=0)) is None


def test_filesystem_keeps_its_name_over_restarts() -> None:
    """What is served is known by its source, all else by its own number, else by the device's."""
    assert filesystem_name(NFS, filesystem_id=0, device=40) == "nfs4 nas:/models"
    assert filesystem_name(EXT4, filesystem_id=255, device=40) == "id ff"
    assert filesystem_name(None, filesystem_id=0, device=40) == "device 40"


@pytest.mark.parametrize(
    ("facts", "folder"),
    [
        ({}, "own"),
        ({"mount": NFS}, "else"),
        ({"read_only": True}, "else"),
        ({"mount": NFS, "own_has_one": True}, "own"),
        ({"read_only": True, "own_has_one": True, "elsewhere_has_one": True}, "own"),
        ({"elsewhere_has_one": True}, "else"),
        ({"named": True, "own_has_one": True}, "else"),
    ],
)
def test_inventory_that_is_there_is_never_left_for_another(
    facts: dict[str, object], folder: str
) -> None:
    """It lies beside the models where that works; one that is there already wins over that."""
    known = {
        "own_has_one": False,
        "elsewhere_has_one": False,
        "named": False,
        "read_only": False,
        "mount": EXT4,
    }
    place = choose_state_place(own="own", elsewhere="else", **{**known, **facts})  # type: ignore[arg-type]  # each case gives what fits
    assert place.folder == folder
    assert bool(place.reason) is (folder == "else")
