"""The inventory lies elsewhere where it cannot lie beside the models."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.small_disk import needs_root, small_disk

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
READ_ONLY = "36 28 0:40 / {point} ro - tmpfs tmpfs ro\n"
NFS = "36 28 0:40 / {point} rw - nfs4 nas:/models rw\n"


@pytest.fixture
def served(host: Sandbox) -> Sandbox:
    """A host with one model in the manifest."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.settings["RECONCILER_DISK_RESERVE"] = "0"
    return host


def elsewhere(host: Sandbox, home: Path | None = None) -> Path:
    """Give the folder outside that belongs to the models folder."""
    digest = hashlib.sha256(str(host.models.resolve()).encode()).hexdigest()[:16]
    return (home or host.home / ".local" / "state" / "reconciler") / digest


def test_network_filesystem_keeps_files_and_its_inventory_lies_elsewhere(
    served: Sandbox, mount_table: Path
) -> None:
    """Database and lock are in the user's state folder, staged files beside the models; it is said
    once, and the next run finds all of it.
    """
    with mount_table.open("a") as table:
        table.write(NFS.format(point=served.models))
    result = served.apply()
    there = elsewhere(served)
    assert result.err.count(f"lies in {there}") == 1
    assert {"inventory.db", "ledger.json", "run.lock"} <= {path.name for path in there.iterdir()}
    assert sorted(path.name for path in (served.models / ".reconciler").iterdir()) == [
        "partial",
        "trash",
    ]
    assert "nothing to do" in served.apply().out
    served.write_manifest("")
    served.apply("--allow-prune")
    assert served.model_files() == {}


def test_inventory_beside_the_models_is_used_where_it_lies(
    served: Sandbox, mount_table: Path
) -> None:
    """There is never a second one: what an earlier run began beside the models goes on there."""
    served.apply()
    with mount_table.open("a") as table:
        table.write(NFS.format(point=served.models))
    assert "nothing to do" in served.apply().out
    assert not (elsewhere(served) / "inventory.db").exists()


def test_state_dir_names_the_place(served: Sandbox) -> None:
    """RECONCILER_STATE_DIR wins over all; each models folder has a folder of its own in it."""
    state = served.home / "state"
    served.settings["RECONCILER_STATE_DIR"] = str(state)
    result = served.apply()
    assert (elsewhere(served, state) / "inventory.db").exists()
    assert "as RECONCILER_STATE_DIR says" in result.err
    assert not (served.models / ".reconciler" / "inventory.db").exists()
    assert "nothing to do" in served.apply().out


@needs_root
def test_models_on_a_read_only_filesystem_can_be_served(served: Sandbox, mount_table: Path) -> None:
    """Nothing can be brought there, but what is there is found, and its entry written."""
    files = served.add_repo("acme/chat-GGUF", seed=3)
    with small_disk(served.models, size="8m"):
        (served.models / CHAT_PATH).parent.mkdir(parents=True)
        (served.models / CHAT_PATH).write_bytes(files["chat-Q4_K_M.gguf"])
        remount = ["mount", "-o", "remount,ro", str(served.models)]
        subprocess.run(remount, check=True)
        with mount_table.open("a") as table:
            table.write(READ_ONLY.format(point=served.models))
        result = served.apply()
        assert f"lies in {elsewhere(served)}" in result.err
        assert CHAT_PATH in served.config.read_text()
        assert "nothing to do" in served.apply().out
        served.write_manifest(CHAT + "  big:\n    source: acme/chat-GGUF:Q8_0\n")
        refused = served.run("--yes")
        assert refused.code == 1
        assert "read-only" in refused.err
