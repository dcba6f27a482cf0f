"""What a plan printed is answered again only where nothing that decided it has changed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli.remembered import PlanMemory
from tests.support.waiting import wait_for

ANSWER = "In sync: 1 model, nothing to do.\n"
WORDS = ["--plan"]
NOBODY = 65534


@dataclass
class Inputs:
    """Everything that one answer was decided on, on disk."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "sub").mkdir()
        for path in (self.text, self.file, self.other):
            path.write_bytes(b"what it was")
        self.link.symlink_to("sub")

    @property
    def text(self) -> Path:
        """A text that was read."""
        return self.folder / "home.yaml"

    @property
    def file(self) -> Path:
        """A file that was looked at."""
        return self.folder / "sub" / "model.gguf"

    @property
    def other(self) -> Path:
        """A file that matters in some way."""
        return self.folder / "inventory.db"

    @property
    def link(self) -> Path:
        """A link that leads to a folder."""
        return self.folder / "link"

    @property
    def absent(self) -> Path:
        """A file that was not there."""
        return self.folder / ".env"

    def keep(
        self, answer: str = ANSWER, *, tells_room: bool = False, with_link: bool = True
    ) -> None:
        """Keep an answer, as soon as all of this is old enough."""
        found = self.file.stat()
        looked = (found.st_dev, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns)

        def kept() -> bool:
            PlanMemory(WORDS).keep(
                answer,
                texts={str(self.text): self.text.read_bytes()},
                files={str(self.file): looked, str(self.folder / "gone"): None},
                others=[str(self.other), str(self.absent)],
                links=[str(self.link)] if with_link else [],
                engine=None,
                models_dir=str(self.folder),
                tells_room=tells_room,
            )
            return PlanMemory(WORDS).recall() is not None

        wait_for(kept, "an answer to be kept")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder; where answers lie in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "reconciler" / "plans"


@pytest.fixture
def inputs(tmp_path: Path, cache: Path) -> Inputs:
    """Inputs, and nothing kept yet."""
    assert not cache.exists()
    return Inputs(tmp_path / "inputs")


def touch(path: Path) -> None:
    """Give it another time of writing."""
    os.utime(path, ns=(1, 1))


def edit(path: Path) -> None:
    """Write other bytes of the same length, and give back the time of writing."""
    before = path.stat().st_mtime_ns
    with path.open("r+b") as writing:
        writing.write(b"What it was")
    os.utime(path, ns=(before, before))


def grow(path: Path) -> None:
    """Write more."""
    with path.open("ab") as writing:
        writing.write(b".")


def delete(path: Path) -> None:
    """Take it away."""
    path.unlink()


def forbid(path: Path) -> None:
    """Give it another mode."""
    path.chmod(0o600)


def give_away(path: Path) -> None:
    """Give it another owner, which only root may."""
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, NOBODY, NOBODY)


def link(path: Path) -> None:
    """Give it a second name."""
    path.with_name("second").hardlink_to(path)


def swap(path: Path) -> None:
    """Put another file of the same size, mode and time of writing there."""
    other = path.with_name("other")
    other.write_bytes(b"What it was")
    shutil.copystat(path, other)
    other.replace(path)


def replace_by_folder(path: Path) -> None:
    """Put a folder there."""
    path.unlink()
    path.mkdir()


CHANGES = (touch, edit, grow, delete, forbid, give_away, link, swap, replace_by_folder)
TEXT_CHANGES = (edit, grow, delete, swap, replace_by_folder)


def keep_in(
    memory: PlanMemory,
    *,
    files: dict[str, tuple[int, int, int, int, int] | None] | None = None,
    others: Sequence[str] = (),
) -> None:
    """Have `memory` keep an answer that was made from no more than these."""
    memory.keep(
        ANSWER,
        texts={},
        files=files or {},
        others=list(others),
        links=[],
        engine=None,
        models_dir="/",
        tells_room=False,
    )


def test_what_was_kept_is_given_again(inputs: Inputs) -> None:
    """While all is as it was, the same call gets the same answer."""
    assert PlanMemory(WORDS).recall() is None
    inputs.keep()
    assert PlanMemory(WORDS).recall() == ANSWER


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("file", change) for change in CHANGES),
        *(("other", change) for change in CHANGES),
        *(("text", change) for change in TEXT_CHANGES),
    ],
    ids=lambda item: item if isinstance(item, str) else item.__name__,
)
def test_any_change_of_any_input_leads_the_whole_way(
    inputs: Inputs, name: str, change: Callable[[Path], None]
) -> None:
    """Whatever is done to anything that decided the answer, it is not given again."""
    inputs.keep()
    change(getattr(inputs, name))
    assert PlanMemory(WORDS).recall() is None


@pytest.mark.parametrize("name", [".env", "gone"])
def test_what_was_not_there_must_stay_away(inputs: Inputs, name: str) -> None:
    """Absence is an input like any other."""
    inputs.keep()
    (inputs.folder / name).touch()
    assert PlanMemory(WORDS).recall() is None


def test_text_that_lies_elsewhere_is_another_one(inputs: Inputs, tmp_path: Path) -> None:
    """A link to the manifest that leads to the same bytes in another folder is not the same: paths
    in it count from there.
    """
    moved = tmp_path / "moved"
    inputs.keep(with_link=False)
    inputs.folder.rename(moved)
    inputs.folder.symlink_to(moved)
    assert PlanMemory(WORDS).recall() is None


def test_link_that_leads_elsewhere_leads_the_whole_way(inputs: Inputs) -> None:
    """What the paths of a container mean hangs on the links in them."""
    inputs.keep()
    inputs.link.unlink()
    inputs.link.symlink_to("/")
    assert PlanMemory(WORDS).recall() is None


def test_another_call_has_another_answer(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words, environment and working folder are part of the question; what a shell changes at
    each call is not.
    """
    inputs.keep()
    monkeypatch.setenv("SHLVL", "77")
    assert PlanMemory(WORDS).recall() == ANSWER
    assert PlanMemory([*WORDS, "--json"]).recall() is None
    with monkeypatch.context() as there:
        there.setenv("RECONCILER_CONFIG", "/elsewhere.yaml")
        assert PlanMemory(WORDS).recall() is None
    monkeypatch.chdir(tmp_path / "inputs")
    assert PlanMemory(WORDS).recall() is None


def test_what_was_changed_just_now_is_not_trusted(inputs: Inputs) -> None:
    """A file that may change again within one tick of the clock is nothing to go by."""
    inputs.keep()
    memory = PlanMemory(WORDS)
    grow(inputs.other)
    keep_in(memory, others=[str(inputs.other)])
    assert PlanMemory(WORDS).recall() is None


def test_what_is_not_what_the_pass_saw_is_not_kept(inputs: Inputs) -> None:
    """Where a file has changed since the pass looked at it, its answer is of the past."""
    for seen in (None, (1, 2, 3, 4, 5)):
        keep_in(PlanMemory(WORDS), files={str(inputs.file): seen})
    assert PlanMemory(WORDS).recall() is None


def test_free_room_is_told_as_it_is_now(inputs: Inputs) -> None:
    """The one number that changes by itself is looked at anew, in a line of its own."""
    inputs.keep('{\n  "disk_left_bytes": 12,\n  "x": 1\n}\n', tells_room=True)
    answer = PlanMemory(WORDS).recall()
    assert answer is not None
    assert json.loads(answer)["disk_left_bytes"] > 12


def only(folder: Path) -> Path:
    """Give the one answer that lies there."""
    (path,) = folder.iterdir()
    return path


def as_garbage(folder: Path) -> None:
    """Write nonsense over it."""
    only(folder).write_bytes(b"\x00\xff{[")


def as_half(folder: Path) -> None:
    """Cut it short."""
    data = only(folder).read_bytes()
    only(folder).write_bytes(data[: len(data) // 2])


def as_one_byte_off(folder: Path) -> None:
    """Change one byte of the answer."""
    only(folder).write_bytes(only(folder).read_bytes().replace(b"In sync", b"In sink"))


def as_link(folder: Path) -> None:
    """Make it a link to the same bytes."""
    path = only(folder)
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def as_open_file(folder: Path) -> None:
    """Let others write to it."""
    only(folder).chmod(0o666)


def as_open_folder(folder: Path) -> None:
    """Let others write to its folder."""
    folder.chmod(0o777)


def as_pipe(folder: Path) -> None:
    """Put a pipe in its place, which nobody will ever write to."""
    path = only(folder)
    path.unlink()
    os.mkfifo(path, 0o600)


def as_somebody_elses(folder: Path) -> None:
    """Give it away, which only root may."""
    give_away(only(folder))


def as_linked_folder(folder: Path) -> None:
    """Make the folder a link to itself elsewhere."""
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [
        *(as_garbage, as_half, as_one_byte_off, as_link, as_open_file, as_open_folder),
        *(as_pipe, as_somebody_elses, as_linked_folder),
    ],
)
def test_garbage_and_what_others_may_have_written_is_passed_over(
    inputs: Inputs, cache: Path, spoil: Callable[[Path], None]
) -> None:
    """What is damaged in the cache, or may be from somebody else, is never printed."""
    inputs.keep()
    spoil(cache)
    assert PlanMemory(WORDS).recall() is None


def test_nothing_is_written_where_others_may_write(inputs: Inputs, cache: Path) -> None:
    """In a folder that is not ours alone nothing is kept, and nothing is said of it."""
    inputs.keep()
    only(cache).unlink()
    cache.chmod(0o777)
    keep_in(PlanMemory(WORDS))
    assert list(cache.iterdir()) == []


def test_cache_stays_small(inputs: Inputs, cache: Path) -> None:
    """However many environments a plan is asked from, the newest few answers are kept; each file
    is for its owner alone.
    """
    inputs.keep()
    for number in range(20):
        PlanMemory([*WORDS, str(number)]).keep(
            ANSWER,
            texts={},
            files={},
            others=[],
            links=[],
            engine=None,
            models_dir="/",
            tells_room=False,
        )
    assert len(list(cache.iterdir())) == 8
    assert {path.stat().st_mode & 0o777 for path in cache.iterdir()} == {0o600}
    assert cache.stat().st_mode & 0o777 == 0o700


def test_cache_that_cannot_be_written_is_no_harm(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cache every plan goes the whole way."""
    assert inputs.text.exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_in(PlanMemory(WORDS))
    assert PlanMemory(WORDS).recall() is None


def test_clock_that_counts_in_seconds_has_longer_ticks(inputs: Inputs) -> None:
    """On a filesystem whose times are whole seconds, what is younger than two is not trusted."""
    memory = PlanMemory(WORDS)
    second = time.time_ns() // 10**9 * 10**9
    assert inputs.file.exists()
    assert not memory._is_settled(second - 10**9)
    assert memory._is_settled(second - 3 * 10**9)
    assert memory._is_settled(second - 10**9 + 1)
