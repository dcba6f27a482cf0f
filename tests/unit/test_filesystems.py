"""Filesystems: what the kernel's table says of a folder, and what follows for a plan."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.mounts import Mounts
from reconciler.core.filesystems import (
    Mount,
    impossible_names,
    mount_of,
    mount_warnings,
    parse_mountinfo,
)
from reconciler.core.guards import guard_read_only
from reconciler.core.names import RelPath
from tests.support.mounts import TABLE
from tests.support.small_disk import needs_root, small_disk
from tests.support.worlds import World, desired, model, pinned

MOUNTS = parse_mountinfo(TABLE)
FOUR_GIB = 2**32


def lying_on(path: str) -> Mount:
    """Give what `path` lies on in the recorded table."""
    found = mount_of(path, MOUNTS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/home/me/models", "/", "ext4"),
        ("/srv/models/acme", "/srv/models", "xfs"),
        ("/srv/models-old", "/", "ext4"),
        ("/media/me/My Disk/models", "/media/me/My Disk", "vfat"),
        ("/stacked/x", "/stacked", "tmpfs"),
        ("/covered/inner/x", "/covered", "ext4"),
        ("/mnt/c/models", "/mnt/c", "9p"),
    ],
)
def test_path_lies_on_the_mount_that_can_be_seen(path: str, point: str, kind: str) -> None:
    """The deepest folder counts, whole names only; blanks are unescaped; of two mounts on one
    folder the later, and what a mount above has covered is not there any more.
    """
    found = lying_on(path)
    assert (found.point, found.kind) == (point, kind)


def test_nonsense_in_the_table_is_passed_over() -> None:
    """Lines that are none, and a table without a root, end in no answer, never in an error."""
    assert parse_mountinfo("") == ()
    assert parse_mountinfo("a b c\n1 2 - x\n27 1 8:1 / / rw\n27 x 8:1 / / rw - ext4\n") == ()
    alone = parse_mountinfo("1 1 0:1 / / rw - rootfs rootfs rw\n")
    assert mount_of("/srv", alone) == alone[0]
    assert mount_of("/srv", ()) is None


@pytest.mark.parametrize(
    ("path", "read_only"),
    [
        ("/srv/models", False),
        ("/usb", True),
        ("/bound", True),
        ("/windows", True),
    ],
)
def test_read_only_is_seen_wherever_it_comes_from(path: str, read_only: bool) -> None:
    """A filesystem that went read-only, and a bind mount of one that did not, are both told."""
    assert lying_on(path).is_read_only is read_only


def test_read_only_mount_refuses_the_plan_before_the_first_byte() -> None:
    """The refusal names the place and what lifts it; where NTFS is the cause, Windows is."""
    world = replace(World(), mount=lying_on("/bound"))
    (refusal,) = world.plan(desired(model("a"))).refusals
    assert refusal.message == "/models lies on /bound (ext4), which is mounted read-only"
    assert "remount,rw /bound" in refusal.hint
    ntfs = replace(world, mount=lying_on("/windows"))
    (refusal,) = ntfs.plan(desired(model("a"))).refusals
    assert "Windows" in refusal.hint


def test_read_only_config_refuses_only_where_it_would_change() -> None:
    """A config that cannot be written is told before a byte is fetched, unless it stays."""
    observed = replace(World().observed(), config_mount=lying_on("/bound"))
    (refusal,) = guard_read_only((), observed, changes_config=True)
    assert refusal.message.startswith("/etc/config.yaml lies on /bound")
    assert guard_read_only((), observed, changes_config=False) == ()


def test_plan_without_file_changes_says_nothing_of_the_filesystem() -> None:
    """Once the bytes are there, neither a warning nor a refusal is made of where they lie."""
    world = World().reached(desired(model("a")))
    for path in ("/bound", "/nfs", "/ram"):
        plan = replace(world, mount=lying_on(path)).plan(desired(model("a")))
        assert (plan.refusals, plan.warnings) == ((), ())


def test_fat_takes_no_file_of_4_gib() -> None:
    """One byte less is the most; exFAT and others have no limit that a model would meet."""
    sizes = {RelPath("big.gguf"): FOUR_GIB, RelPath("fits.gguf"): FOUR_GIB - 1}
    problems = impossible_names(lying_on("/media/me/My Disk"), sizes, ignores_case=True)
    assert list(problems) == ["big.gguf"]
    assert "4 GiB - 1" in problems[RelPath("big.gguf")]
    for path in ("/exfat", "/srv/models", "/windows"):
        assert impossible_names(lying_on(path), sizes, ignores_case=False) == {}
    assert impossible_names(None, sizes, ignores_case=False) == {}


def test_names_that_differ_in_case_alone_are_told_where_case_is_ignored() -> None:
    """Neither of the two can be placed, each names the other; elsewhere both can."""
    upper, lower, other = (RelPath(name) for name in ("a/X.gguf", "a/x.GGUF", "a/y.gguf"))
    sizes = {upper: 1, lower: 1, other: 1}
    problems = impossible_names(None, sizes, ignores_case=True)
    assert set(problems) == {upper, lower}
    assert lower in problems[upper]
    assert impossible_names(None, sizes, ignores_case=False) == {}


@pytest.mark.parametrize(
    ("kind", "is_silent"),
    [
        *((kind, True) for kind in ("nfs4", "cifs", "9p", "virtiofs", "fuse.sshfs", "fuse.new")),
        *((kind, True) for kind in ("fakeowner", "vboxsf")),
        *((kind, False) for kind in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk")),
    ],
)
def test_filesystems_that_others_write_to_are_silent(kind: str, is_silent: bool) -> None:
    """Where another system, or a program, has the files, nobody tells what it changes there."""
    mount = Mount(id=1, parent=0, point="/srv", kind=kind, source="x")
    assert mount.is_silent == is_silent


@pytest.mark.parametrize(
    ("path", "ignores_case"),
    [
        ("/media/me/My Disk", True),
        ("/exfat", True),
        ("/mnt/c", True),
        ("/nocase", True),
        ("/srv/models", False),
        ("/windows", False),
    ],
)
def test_case_is_ignored_where_the_table_says_so(path: str, ignores_case: bool) -> None:
    """FAT, exFAT, drives of Windows, and whatever is mounted with `nocase`."""
    assert lying_on(path).ignores_case is ignores_case


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nfs", "another system serves"),
        ("/share", "another system serves"),
        ("/sshfs", "another system serves"),
        ("/mnt/c", "another system serves"),
        ("/ram", "in memory"),
        ("/forced", "force"),
        ("/srv/models", ""),
        ("/home/me", ""),
        ("/windows", ""),
        ("/merged", ""),
    ],
)
def test_what_a_person_should_know_is_one_warning(path: str, told: str) -> None:
    """Served, forgetful and doubtful filesystems are named with where they are; of the rest, and
    of what is not known, nothing is said.
    """
    warnings = mount_warnings(lying_on(path), "/models")
    assert len(warnings) == (1 if told else 0)
    assert all(told in line and line.startswith("/models lies on ") for line in warnings)
    assert mount_warnings(None, "/models") == ()


def test_layer_of_a_container_is_told_and_an_overlay_elsewhere_is_not() -> None:
    """A models folder that was not mounted into the container goes with it."""
    layer = "612 540 0:58 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"
    (warning,) = mount_warnings(mount_of("/models", parse_mountinfo(layer)), "/models")
    assert "gone with the container" in warning


def test_warning_stands_once_in_a_plan_that_brings_bytes() -> None:
    """Two models, one warning."""
    plan = replace(World(), mount=lying_on("/nfs")).plan(desired(model("a"), model("b")))
    assert len([line for line in plan.warnings if "nfs4" in line]) == 1


def test_second_name_costs_a_copy_where_there_are_no_links() -> None:
    """Two paths for the same bytes: one file's room with links, two files' without."""
    wanted = desired(model("a", pinned("a", "same")), model("b", pinned("b", "same")))
    room = {path: replace(World(), mount=lying_on(path)).plan(wanted) for path in ("/", "/exfat")}
    left = {path: plan.summary.disk_left_bytes for path, plan in room.items()}
    assert left["/"] - left["/exfat"] == 100


def test_this_machine_has_a_root(tmp_path: Path) -> None:
    """The real table is read: this folder lies on something, and has room."""
    mount = Mounts().mount(str(tmp_path))
    assert mount is None or mount.kind
    room = Mounts().room(str(tmp_path / "not" / "there"))
    assert room.device == tmp_path.stat().st_dev
    assert room.free_bytes > 0


def test_system_without_the_table_says_nothing(tmp_path: Path) -> None:
    """Where there is no such file, nothing is known, and nothing fails."""
    assert Mounts(tmp_path / "missing").mount("/") is None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem in memory."""
    with small_disk(tmp_path / "disk", size="1m") as folder:
        yield folder


@needs_root
def test_real_mounts_are_recognised(disk: Path, tmp_path: Path) -> None:
    """A filesystem in memory, and a read-only bind mount of it behind a name with blanks."""
    found = Mounts().mount(str(disk))
    assert found is not None
    assert (found.point, found.kind, found.is_read_only) == (str(disk), "tmpfs", False)
    bound = tmp_path / "read only, too"
    bound.mkdir()
    subprocess.run(["mount", "--bind", str(disk), str(bound)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(bound)], check=True)
        seen = Mounts().mount(str(bound / "models"))
        assert seen is not None
        assert (seen.point, seen.is_read_only) == (str(bound), True)
        link = tmp_path / "link"
        link.symlink_to(bound)
        assert Mounts().mount(str(link)) == seen
    finally:
        subprocess.run(["umount", str(bound)], check=True)


def test_folder_tells_whether_it_ignores_case(tmp_path: Path) -> None:
    """Our own folder in capitals is another one here; where it is found, case is ignored."""
    folder = ModelsFolder(tmp_path)
    assert not folder.ignores_case()
    folder.prepare()
    assert not folder.ignores_case()
    # What such a filesystem answers: the same folder under both names.
    (tmp_path / ".RECONCILER").symlink_to(".reconciler")
    assert folder.ignores_case()


def test_folder_measures_what_its_own_files_take_up(tmp_path: Path) -> None:
    """A staged file counts with the room it was given, not with its length; of the trash, what has
    a name elsewhere frees nothing.
    """
    folder = ModelsFolder(tmp_path)
    assert folder.trash_bytes() == 0
    folder.prepare()
    digest = pinned("a", "a-1").sha256
    assert folder.staged_disk_bytes(digest) == 0
    staged = folder.staged(digest)
    with staged.open("wb") as file:
        file.truncate(10_000_000)
        assert folder.staged_disk_bytes(digest) < 1_000_000
        os.posix_fallocate(file.fileno(), 0, 1_000_000)
    assert 1_000_000 <= folder.staged_disk_bytes(digest) < 2_000_000
    run = folder.state / "trash" / "run"
    run.mkdir()
    (run / "alone.gguf").write_bytes(bytes(100_000))
    (run / "shared.gguf").write_bytes(bytes(500_000))
    (tmp_path / "live.gguf").hardlink_to(run / "shared.gguf")
    assert 100_000 <= folder.trash_bytes() < 200_000
