"""Wheels made again of what is installed, so that something can be installed without a network."""

from __future__ import annotations

import re
import sysconfig
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]


def pack_wheels(folder: Path) -> None:
    """Pack the project, and all that it needs as it is installed here, into wheels in `folder`."""
    folder.mkdir()
    installed = {
        _normal(found.name): found
        for found in Distribution.discover(path=[sysconfig.get_path("purelib")])
    }
    project = installed[_normal("reconciler")]
    ours = (path for path in (PROJECT / "reconciler").rglob("*") if path.is_file())
    _pack(project, folder, sorted(path for path in ours if path.suffix != ".pyc"), PROJECT)
    site = Path(sysconfig.get_path("purelib"))
    for name in sorted(_needed_by(project, installed)):
        found = installed[name]
        # Scripts lie outside; pip makes them anew.
        files = [site / file for file in found.files or () if ".." not in file.parts]
        _pack(found, folder, files, site)


def _needed_by(
    project: Distribution, installed: dict[str, Distribution]
) -> dict[str, Distribution]:
    """Give everything that is installed with the project, by normal name, itself left out."""
    needed: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[Distribution, str]] = [(project, "")]
    while waiting:
        wanted_by, extra = waiting.pop()
        for requirement in map(Requirement, wanted_by.requires or ()):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = _normal(requirement.name)
            needed[name] = installed[name]
            for each in ("", *requirement.extras):
                if (name, each) not in seen:
                    seen.add((name, each))
                    waiting.append((installed[name], each))
    return needed


def _pack(found: Distribution, folder: Path, files: list[Path], root: Path) -> None:
    information = f"{_name(found)}-{found.version}.dist-info"
    wheel = found.read_text("WHEEL") or ""
    tag = re.findall(r"(?m)^Tag: (\S+)$", wheel)[0]
    # An editable installation is called pure or not, as its one file is; the project is pure.
    with zipfile.ZipFile(folder / f"{_name(found)}-{found.version}-{tag}.whl", "w") as packed:
        names = []
        for file in files:
            name = str(file.relative_to(root))
            if file.suffix == ".pyc" or ".dist-info/" in name or not file.is_file():
                continue
            packed.write(file, name)
            names.append(name)
        for part in ("METADATA", "WHEEL", "entry_points.txt"):
            if text := found.read_text(part):
                packed.writestr(f"{information}/{part}", text)
                names.append(f"{information}/{part}")
        # Digests may be left out; pip writes its own record of what it installs.
        record = "".join(f"{name},,\n" for name in [*names, f"{information}/RECORD"])
        packed.writestr(f"{information}/RECORD", record)


def _name(found: Distribution) -> str:
    return re.sub(r"[-_.]+", "_", found.name)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
