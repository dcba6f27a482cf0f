"""The watcher: whatever happens in a folder wakes, and whatever happens to it does not end it."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from threading import Event

import pytest

from reconciler.adapters import watch
from reconciler.adapters.watch import FolderWatcher
from tests.support.fakes import Heard
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def _look_often_where_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second between two looks is for people's machines; a test need not wait that long."""
    monkeypatch.setattr(watch, "_BLIND_SECONDS", 0.05)


def watcher(folders: Collection[Path], wake: Event, heard: Heard | None = None) -> FolderWatcher:
    """Give a watcher of `folders`."""
    return FolderWatcher(folders, wake=wake, debounce_seconds=0.01, reporter=heard or Heard())


def expect_wake(wake: Event, what: str) -> None:
    """Wait until it is woken, and be ready for the next time."""
    assert wake.wait(10), what
    wake.clear()


def test_every_kind_of_save_wakes(tmp_path: Path) -> None:
    """Writing in place, an atomic save by rename and a deletion each wake."""
    wake, file = Event(), tmp_path / "home.yaml"
    with watcher([tmp_path], wake):
        wake.clear()
        file.write_text("a")
        expect_wake(wake, "a new file")
        (tmp_path / ".swp").write_text("b")
        expect_wake(wake, "an editor's own file")
        (tmp_path / ".swp").replace(file)
        expect_wake(wake, "an atomic save")
        file.unlink()
        expect_wake(wake, "a deletion")


def test_links_swapped_as_a_config_map_does_wake(tmp_path: Path) -> None:
    """A folder of links into a folder that is swapped by one rename wakes too."""
    wake = Event()
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "home.yaml").write_text(version)
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "home.yaml").symlink_to("data/home.yaml")
    with watcher([tmp_path], wake):
        wake.clear()
        (tmp_path / "data.new").symlink_to("v2")
        (tmp_path / "data.new").replace(tmp_path / "data")
        expect_wake(wake, "a swapped link")
    assert (tmp_path / "home.yaml").read_text() == "v2"


def test_nothing_is_missed_between_start_and_watch(tmp_path: Path) -> None:
    """When the watch begins it wakes once: what happened until then is looked at."""
    wake = Event()
    with watcher([tmp_path], wake):
        assert wake.is_set()


def test_folder_that_is_deleted_and_made_again_is_watched_again(tmp_path: Path) -> None:
    """A fresh checkout in the old one's place: saves in it wake, and the gap is told once."""
    folder, wake, heard = tmp_path / "manifests", Event(), Heard()
    folder.mkdir()
    with watcher([folder], wake, heard):
        wake.clear()
        shutil.rmtree(folder)
        expect_wake(wake, "the folder's end")
        wait_for(lambda: len(heard.warnings) == 1, "a word on it")
        folder.mkdir()
        (folder / "home.yaml").write_text("a")
        expect_wake(wake, "the new folder")
        # From here on it is watched again, and not only looked at now and then.
        wait_for(lambda: not _wakes_by_itself(wake), "an end of looking blindly")
        (folder / "home.yaml").write_text("b")
        expect_wake(wake, "a save in the new folder")
    assert len(heard.warnings) == 1
    assert "manifests" in heard.warnings[0]


def _wakes_by_itself(wake: Event) -> bool:
    wake.clear()
    return wake.wait(0.3)


def test_folder_that_was_swapped_for_another_is_watched(tmp_path: Path) -> None:
    """A folder renamed away, with another renamed into its place at once."""
    folder, wake = tmp_path / "manifests", Event()
    folder.mkdir()
    with watcher([folder], wake):
        (tmp_path / "next").mkdir()
        folder.rename(tmp_path / "old")
        (tmp_path / "next").rename(folder)
        wait_for(lambda: not _wakes_by_itself(wake), "the new watch")
        (folder / "home.yaml").write_text("a")
        expect_wake(wake, "a save in the other folder")


def test_folder_that_is_not_there_yet_is_no_end(tmp_path: Path) -> None:
    """Started before its folder exists it does not hang: it says so, looks, and finds it."""
    folder, wake, heard = tmp_path / "manifests", Event(), Heard()
    with watcher([folder], wake, heard):
        expect_wake(wake, "a blind look")
        expect_wake(wake, "another one")
        folder.mkdir()
        wait_for(lambda: not _wakes_by_itself(wake), "the watch")
        (folder / "home.yaml").write_text("a")
        expect_wake(wake, "a save")
    assert len(heard.warnings) == 1


def test_system_that_gives_no_events_is_looked_at_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system's limit of watches is reached, changes are looked for now and then, and a
    person is told what to do about it.
    """
    import watchfiles

    def no_watches_left(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device (os error 28)")

    monkeypatch.setattr(watchfiles, "watch", no_watches_left)
    wake, heard = Event(), Heard()
    with watcher([tmp_path], wake, heard):
        for _ in range(3):
            expect_wake(wake, "a look")
    assert len(heard.warnings) == 1
    assert "No space left" in heard.warnings[0]
    assert "fs.inotify" in heard.hints[0]


def test_leaving_ends_its_thread(tmp_path: Path) -> None:
    """After the block nothing wakes any more."""
    wake = Event()
    with watcher([tmp_path], wake) as entered:
        assert entered._thread.is_alive()
    assert not entered._thread.is_alive()
