"""How many files are read at once: as the drive below a folder likes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.adapters.store.drives import Drives
from reconciler.adapters.store.mounts import Mounts

MANY = 16


@pytest.fixture(autouse=True)
def _many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: MANY)


class Machine:
    """The kernel's folder of devices, and its table of mounts, as files of a test."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.models.mkdir()
        self._devices = folder / "devices"
        self._devices.mkdir()
        self._table = folder / "mountinfo"
        self._table.write_text("")

    def disk(self, name: str, *, turns: bool, driver: str = "sd") -> Path:
        """Describe a disk; gives its folder."""
        node = self._devices / name
        (node / "queue").mkdir(parents=True)
        (node / "queue" / "rotational").write_text(f"{int(turns)}\n")
        (node / "device").mkdir()
        (node / "drivers" / driver).mkdir(parents=True)
        (node / "device" / "driver").symlink_to(node / "drivers" / driver)
        return node

    def partition(self, disk: Path) -> Path:
        """Describe a partition of a disk."""
        node = disk / f"{disk.name}1"
        node.mkdir()
        (node / "partition").write_text("1\n")
        return node

    def made_of(self, *below: Path) -> Path:
        """Describe a device that is made of others: device mapper, RAID."""
        node = self.disk("made", turns=False)
        (node / "slaves").mkdir()
        for part in below:
            (node / "slaves" / part.name).symlink_to(part)
        return node

    def holds_models(self, node: Path) -> None:
        """Let the models lie on this device."""
        number = self.models.stat().st_dev
        link = self._devices / f"{os.major(number)}:{os.minor(number)}"
        link.symlink_to(node)

    def mount(self, kind: str, source: str, options: str = "rw", *, point: str = "/") -> None:
        """Mount a filesystem over all, or at `point` on what is mounted over all."""
        number, parent = (20, 1) if point == "/" else (21, 20)
        with self._table.open("a") as table:
            table.write(f"{number} {parent} 0:99 / {point} rw - {kind} {source} {options}\n")

    def readers(self) -> int:
        """Give what is found."""
        return Drives(Mounts(self._table), devices=self._devices).readers(self.models)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without a drive."""
    return Machine(tmp_path)


def test_a_turning_disk_has_one_reader_and_a_solid_one_several(machine: Machine) -> None:
    """The kernel's word on the disk counts, and no more than eight read at once."""
    machine.holds_models(machine.disk("sda", turns=False))
    assert machine.readers() == 8


def test_a_partition_is_its_disk(machine: Machine) -> None:
    """A partition has no word of its own."""
    machine.holds_models(machine.partition(machine.disk("sda", turns=True)))
    assert machine.readers() == 1


@pytest.mark.parametrize(("turns", "readers"), [(True, 1), (False, 8)])
def test_what_is_made_of_several_is_as_slow_as_the_slowest(
    machine: Machine, turns: bool, readers: int
) -> None:
    """An encrypted volume, LVM or RAID over partitions follows what lies below it."""
    fast, other = machine.disk("sda", turns=False), machine.disk("sdb", turns=turns)
    machine.holds_models(machine.made_of(fast, machine.partition(other)))
    assert machine.readers() == readers


def test_a_virtual_disk_says_nothing_of_what_is_below_it(machine: Machine) -> None:
    """A virtual disk that calls itself turning, as they do, is not believed."""
    machine.holds_models(machine.disk("vda", turns=True, driver="virtio_blk"))
    assert machine.readers() == 2


@pytest.mark.parametrize(
    ("kind", "readers"), [("nfs4", 1), ("cifs", 1), ("tmpfs", 8), ("fuse.mystery", 2)]
)
def test_filesystems_without_a_device_are_told_by_their_type(
    machine: Machine, kind: str, readers: int
) -> None:
    """A network has one reader, memory several; of what is not known a little is dared."""
    machine.mount(kind, "somewhere:/export")
    assert machine.readers() == readers


def test_an_overlay_is_what_holds_its_upper_layer(machine: Machine, tmp_path: Path) -> None:
    """A container's own layer lies where its engine keeps it."""
    upper = tmp_path / "upper"
    upper.mkdir()
    machine.mount("overlay", "overlay", f"rw,upperdir={upper}")
    assert machine.readers() == 2
    machine.mount("nfs4", "somewhere:/export", point=str(upper))
    assert machine.readers() == 1


def test_a_loop_device_is_the_disk_of_its_file(machine: Machine, tmp_path: Path) -> None:
    """An image in a file follows the file; one that is gone is not known."""
    loop = machine.disk("loop0", turns=False)
    (loop / "loop").mkdir()
    (loop / "loop" / "backing_file").write_text(f"{tmp_path / 'gone'}\n")
    machine.holds_models(loop)
    assert machine.readers() == 2


def test_where_nothing_is_told_two_read(machine: Machine, tmp_path: Path) -> None:
    """No device, no table, no folder: a little at once."""
    assert machine.readers() == 2
    assert Drives(Mounts(tmp_path / "none"), devices=tmp_path / "none").readers(tmp_path) == 2
    assert Drives(devices=tmp_path).readers(tmp_path / "absent") == 2
