"""A base image made of what this machine has: Python and pip, haproxy, and llama-swap's stand-in.

Nothing is pulled. Programs of the host are taken with the libraries that they ask for, so that the
image runs by itself, and images can be built from it without any network.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import docker
import pip
import pytest
import ruamel.yaml

from tests.support.engine import SCRIPTS, STAND_IN, SUPPORT, add_member, host_python

_PROGRAMS = ("sh", "ls", "cat", "curl")
# No program asks for these by itself; compiled modules of wheels do.
_FURTHER_LIBRARIES = (
    *("libgcc_s.so.1", "libstdc++.so.6"),
    *("libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
)
_PACKAGES = "/opt/packages"


def import_base(client: docker.DockerClient, tag: str, *, further: Iterable[str] = ()) -> None:
    """Make the image `tag`; `further` are names of more programs to put into it."""
    python = host_python()
    standard = Path(_asked(python, "import sysconfig; print(sysconfig.get_path('stdlib'))"))
    programs = [python, *map(_program, (*_PROGRAMS, *further))]
    compiled = sorted((standard / "lib-dynload").glob("*.so"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for link in ("bin", "sbin", "lib", "lib64"):
            if (path := Path("/") / link).is_symlink():
                add_member(tar, link, tarfile.SYMTYPE, target=str(path.readlink()))
        for file in sorted({*programs, *_libraries([*programs, *compiled])}):
            _add_file(tar, file.resolve(), _in_usr(file))
        _add_tree(tar, standard, standard)
        _add_tree(tar, Path(pip.__file__).parent, Path("/usr/lib/python3/dist-packages/pip"))
        _add_tree(tar, Path(ruamel.yaml.__file__).parents[1], Path(_PACKAGES) / "ruamel")
        for file in SUPPORT.glob("llama_s*.py"):
            _add_file(tar, file, Path(STAND_IN) / file.name)
        for script, name in SCRIPTS.items():
            modules = f"PYTHONPATH={Path(STAND_IN).parents[1]}:{_PACKAGES}"
            text = f'#!/bin/sh\n{modules} exec {python} {STAND_IN}/{name} "$@"\n'
            add_member(tar, script, tarfile.REGTYPE, data=text.encode())
        add_member(tar, "usr/bin/python3", tarfile.SYMTYPE, target=str(python))
        add_member(tar, "tmp", tarfile.DIRTYPE, mode=0o1777)
        add_member(
            tar, "etc/nsswitch.conf", tarfile.REGTYPE, mode=0o644, data=b"hosts: files dns\n"
        )
    changes = ["ENV PATH=/usr/sbin:/usr/bin", "ENV PYTHONDONTWRITEBYTECODE=1"]
    repository, _, version = tag.partition(":")
    answer = client.api.import_image_from_data(
        buffer.getvalue(), repository=repository, tag=version, changes=changes
    )
    assert "status" in json.loads(answer.strip().splitlines()[-1]), answer


def has_python_for(version: str) -> bool:
    """Whether the base's Python can use modules that were compiled for `version`, as `3.11`."""
    asked = "import sysconfig; print(sysconfig.get_python_version())"
    return _asked(host_python(), asked) == version


def _asked(python: Path, program: str) -> str:
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _program(name: str) -> Path:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    return Path(found) if found else pytest.fail(f"the base image needs {name} of this machine")


def _libraries(files: Iterable[Path]) -> set[Path]:
    """Give the libraries that are loaded with any of the files, under the names they are sought."""
    told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    further = re.findall(
        rf"({'|'.join(map(re.escape, _FURTHER_LIBRARIES))}) .*=> (/\S+)", known.stdout
    )
    return {Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+) \(0x", told, re.MULTILINE)} | {
        Path(path) for _, path in further
    }


def _in_usr(path: Path) -> Path:
    """Give the path with the host's own links for `/bin`, `/lib` and the like resolved."""
    top = Path("/") / path.parts[1]
    return top.resolve() / path.relative_to(top)


def _add_file(tar: tarfile.TarFile, source: Path, target: Path) -> None:
    tar.add(source, str(target).lstrip("/"), recursive=False)


def _add_tree(tar: tarfile.TarFile, source: Path, target: Path) -> None:
    tar.add(source, str(target).lstrip("/"), filter=_wanted)


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what is large and used by nothing here."""
    parts = Path(member.name).parts
    unused = {"__pycache__", "test", "tests", "idlelib", "tkinter", "lib2to3", "pydoc_data"}
    is_library = any(part.startswith("config-") for part in parts)
    return None if is_library or unused & set(parts) else member
