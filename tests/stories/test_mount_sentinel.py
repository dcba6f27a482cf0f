"""A disk that is not mounted is not a folder without models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.small_disk import needs_root, small_disk

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
COMMANDS = (["--plan"], ["--yes"], ["verify"], ["status"], ["list"])

pytestmark = needs_root


@pytest.fixture
def served(host: Sandbox) -> Sandbox:
    """A host with two models in the manifest, and a hub that has them."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.settings["RECONCILER_DISK_RESERVE"] = "0"
    return host


@contextmanager
def plugged(host: Sandbox) -> Iterator[Path]:
    """Mount a disk on the models folder until the block ends."""
    with small_disk(host.models, size="8m") as folder:
        yield folder


@pytest.fixture
def unplugged(served: Sandbox) -> Sandbox:
    """A host whose models were applied to a disk that is not mounted any more."""
    with plugged(served):
        served.apply()
    assert list(served.models.iterdir()) == []
    served.hub.forget_requests()
    return served


@pytest.mark.parametrize("models", [CHAT + CODE, CHAT, ""], ids=["all", "one", "none"])
def test_empty_mount_point_stops_every_run(unplugged: Sandbox, models: str) -> None:
    """Nothing is removed, fetched or written, whatever the manifest says, and the way out is told:
    exit 1.
    """
    unplugged.write_manifest(models)
    before = unplugged.snapshot()
    for command in COMMANDS:
        result = unplugged.run(*command)
        assert result.code == 1, command
        assert "held 2 models last time, and is empty now" in result.err
        assert "mount the disk" in result.err
    assert unplugged.snapshot() == before
    assert list(unplugged.models.iterdir()) == []
    assert unplugged.hub.requests == ()


def test_plugged_in_again_all_is_as_before(served: Sandbox) -> None:
    """Once the disk is mounted again there is nothing to do."""
    disk = served.home / "disk"
    with small_disk(disk, size="8m"):
        served.settings["RECONCILER_MODELS_DIR"] = str(disk)
        served.apply()
        with small_disk(disk, size="8m"):
            assert served.run("--yes").code == 1
        assert "nothing to do" in served.apply().out


def test_allow_prune_accepts_a_new_beginning(unplugged: Sandbox) -> None:
    """A disk that is gone for good: the models are brought anew where a person says so."""
    unplugged.apply("--allow-prune")
    assert len(unplugged.model_files()) == 4
    assert "nothing to do" in unplugged.apply().out


def test_what_somebody_left_on_the_mount_point_is_no_models_folder(unplugged: Sandbox) -> None:
    """The place below the mount need not be empty: it is another filesystem without our state."""
    (unplugged.models / "README").write_text("the disk goes here")
    result = unplugged.run("--yes")
    assert result.code == 1
    assert "another filesystem" in result.err
    assert [path.name for path in unplugged.models.iterdir()] == ["README"]


def test_hidden_files_on_the_mount_point_do_not_make_it_a_models_folder(
    unplugged: Sandbox,
) -> None:
    """A `.gitkeep`, or a folder of ours without an inventory, is nothing to see."""
    (unplugged.models / ".gitkeep").touch()
    (unplugged.models / ".reconciler").mkdir()
    assert "is empty now" in unplugged.run("--plan").err


def test_missing_folder_stops_every_run(served: Sandbox) -> None:
    """Where even the mount point is gone nothing is made in its place."""
    served.apply()
    served.models.rename(served.home / "elsewhere")
    before = served.snapshot()
    for command in COMMANDS:
        assert served.run(*command).code == 1, command
    assert served.snapshot() == before
    assert not served.models.exists()


def test_folder_emptied_on_its_own_disk_is_filled_again(served: Sandbox) -> None:
    """Where our inventory is still there, the disk is: files that were deleted are drift."""
    served.apply()
    for path in served.models.glob("acme/*/*"):
        path.unlink()
    assert served.apply().code == 0
    assert len(served.model_files()) == 4


def test_folder_that_held_no_model_may_be_empty(served: Sandbox) -> None:
    """Before the first run, and after the last model has gone, there is nothing to miss."""
    served.apply()
    served.write_manifest("")
    served.apply("--allow-prune")
    with plugged(served):
        assert served.run("--plan").code == 0


def test_unwritable_memory_is_said_and_stops_nothing(served: Sandbox) -> None:
    """Where nothing can be kept outside of the folder, a run says so and goes on."""
    (served.home / ".local").write_text("no folder")
    assert "cannot be remembered" in served.apply().err
