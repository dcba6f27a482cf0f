"""The watcher: whatever happens in a folder wakes, and whatever happens to it does not end it."""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from reconciler.adapters.watching import events
from reconciler.adapters.watching.folder_watcher import FolderWatcher
from reconciler.adapters.watching.patrol import Pace, Patrol, Seen
from reconciler.adapters.watching.way import way_to
from reconciler.core.watching import Spot
from tests.support.fakes import Heard
from tests.support.waiting import wait_for

# So rare that nothing but an event wakes within a test, and so often that one need not wait.
EVENTS_ALONE = Pace(near=600, far=600, near_check=600, far_check=600)
OFTEN = Pace(near=0.02, far=0.05, near_check=0.02, far_check=0.05, grace=0.3)


class Watch:
    """A watcher that follows some folders, as the loop does after each look."""

    def __init__(
        self,
        *spots: Spot,
        pace: Pace = EVENTS_ALONE,
        silence_of: Callable[[str], str] = lambda _: "",
        only_looks: bool = False,
        debounce_seconds: float = 0.01,
    ) -> None:
        self.wake, self.heard = Event(), Heard()
        self.watcher = FolderWatcher(
            wake=self.wake,
            debounce_seconds=debounce_seconds,
            reporter=self.heard,
            silence_of=silence_of,
            only_looks=only_looks,
            pace=pace,
        )
        self.watcher.follow(spots)

    def __enter__(self) -> Watch:
        self.watcher.__enter__()
        self.expect("the begin of the watch")
        return self

    def __exit__(self, *_: object) -> None:
        self.watcher.__exit__(None, None, None)

    def expect(self, what: str) -> None:
        """Wait until it is woken, and be ready for the next time."""
        assert self.wake.wait(60), what
        self.wake.clear()

    def expect_rest(self) -> None:
        """Nothing wakes."""
        assert not self.wake.wait(0.3)


def whole(folder: Path, *, is_far: bool = False) -> Spot:
    """Everything in a folder."""
    return Spot(folder=str(folder), is_far=is_far)


def way(file: Path) -> list[Spot]:
    """All that leads to a file."""
    names: dict[str, set[str]] = {}
    for folder, name in way_to(str(file)):
        names.setdefault(folder, set()).add(name)
    return [Spot(folder=folder, names=frozenset(some)) for folder, some in names.items()]


def test_every_kind_of_save_wakes(tmp_path: Path) -> None:
    """Writing in place, an atomic save by rename and a deletion each wake."""
    file = tmp_path / "home.yaml"
    with Watch(whole(tmp_path)) as watch:
        file.write_text("a")
        watch.expect("a new file")
        (tmp_path / ".swp").write_text("b")
        watch.expect("an editor's own file")
        (tmp_path / ".swp").replace(file)
        watch.expect("an atomic save")
        file.unlink()
        watch.expect("a deletion")


def test_only_what_is_on_the_way_to_a_file_wakes(tmp_path: Path) -> None:
    """A file beside it that somebody writes all day long costs no look; the file itself does."""
    file = tmp_path / "home.yaml"
    file.write_text("a")
    with Watch(*way(file)) as watch:
        (tmp_path / "noise.log").write_text("b")
        watch.expect_rest()
        file.write_text("b")
        watch.expect("a save")


def test_one_burst_is_told_once_it_pauses_or_has_lasted_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst of saves is one wake-up, after the last; one that never pauses is told after a
    while all the same, even where others make noise beside it.
    """
    file, noise = tmp_path / "home.yaml", tmp_path / "noise.log"
    with Watch(*way(file), debounce_seconds=0.4) as watch:
        while longest_pause(file, seconds=1.4) > 0.3:
            # The machine was busy with others for so long that this was no burst.
            while watch.wake.wait(1.5):
                watch.wake.clear()
        assert not watch.wake.is_set()
        watch.expect("the burst")
        watch.expect_rest()
        file.write_text("last")
        while not watch.wake.is_set():
            noise.write_text("more")
        watch.wake.clear()
        monkeypatch.setattr(events, "_LONGEST_BURST_MS", 500)
        while not watch.wake.is_set():
            file.write_text("more")


def longest_pause(file: Path, *, seconds: float) -> float:
    """Save as fast as can be for so long; gives the longest time between two saves."""
    saved_at = [time.monotonic()]
    while saved_at[-1] - saved_at[0] < seconds:
        file.write_text("more")
        saved_at.append(time.monotonic())
    return max(after - before for before, after in itertools.pairwise(saved_at))


def test_links_swapped_as_a_config_map_does_wake(tmp_path: Path) -> None:
    """A file that is a link into a folder that is swapped by one rename, wherever that lies."""
    data = tmp_path / "elsewhere"
    for version in ("v1", "v2"):
        (data / version).mkdir(parents=True)
        (data / version / "home.yaml").write_text(version)
    (data / "..data").symlink_to("v1")
    (tmp_path / "home.yaml").symlink_to(data / "..data" / "home.yaml")
    file = tmp_path / "home.yaml"
    with Watch(*way(file)) as watch:
        (data / "..new").symlink_to("v2")
        (data / "..new").replace(data / "..data")
        watch.expect("a swapped link")
        watch.watcher.follow(way(file))
        watch.expect("the new way is watched")
        (data / "v1" / "home.yaml").write_text("nobody reads that")
        watch.expect_rest()
        file.write_text("v3")
        watch.expect("a save behind the new link")


def test_way_holds_each_link_and_ends_where_something_is_missing(tmp_path: Path) -> None:
    """Relative and absolute links, `..` and a circle of links: each step is in it once met."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "home.yaml").symlink_to("deep/../../gone/home.yaml")
    (tmp_path / "circle").symlink_to("circle")
    steps = way_to(str(tmp_path / "link" / "home.yaml"))
    here = str(tmp_path)
    assert steps[-5:] == (
        (here, "link"),
        (here, "real"),
        (f"{here}/real", "home.yaml"),
        (f"{here}/real", "deep"),
        (here, "gone"),
    )
    assert steps[0] == ("/", tmp_path.parts[1])
    assert set(way_to(str(tmp_path / "circle"))) >= {(here, "circle")}


def test_nothing_is_missed_between_start_and_watch(tmp_path: Path) -> None:
    """When the watch begins it wakes once: what happened until then is looked at."""
    watch = Watch(whole(tmp_path))
    with watch.watcher:
        assert watch.wake.is_set()


def test_folder_that_is_deleted_and_made_again_is_watched_again(tmp_path: Path) -> None:
    """A fresh checkout in the old one's place, be it while nobody asks: saves in it wake, and
    nothing is said about it. So with a folder further up.
    """
    folder = tmp_path / "srv" / "manifests"
    folder.mkdir(parents=True)
    file = folder / "home.yaml"
    with Watch(*way(file)) as watch:
        for gone in (folder, folder.parent):
            shutil.rmtree(gone)
            watch.expect("the folder's end")
            folder.mkdir(parents=True)
            watch.expect("the new folder")
            watch.watcher.follow(way(file))
            wait_for(lambda: not _wakes_by_itself(watch.wake), "the new watch")
            file.write_text("b")
            watch.expect("a save in the new folder")
    assert not watch.heard.warnings
    assert not watch.heard.said


@pytest.mark.parametrize("above", [0, 1], ids=["itself", "its parent"])
def test_folder_that_was_swapped_for_another_is_watched(tmp_path: Path, above: int) -> None:
    """A folder renamed away, with another renamed into its place at once: the loop, which sees the
    same path, need not follow it anew.
    """
    folder = tmp_path / "srv" / "manifests"
    swapped = [folder, folder.parent][above]
    inside = folder.relative_to(swapped)
    folder.mkdir(parents=True)
    with Watch(*way(folder / "home.yaml")) as watch:
        (tmp_path / "next" / inside).mkdir(parents=True)
        swapped.rename(tmp_path / "old")
        (tmp_path / "next").rename(swapped)
        wait_for(lambda: not _wakes_by_itself(watch.wake), "the new watch")
        (folder / "home.yaml").write_text("a")
        watch.expect("a save in the other folder")
        (tmp_path / "old" / inside / "home.yaml").write_text("a")
        watch.expect_rest()


def _wakes_by_itself(wake: Event) -> bool:
    wake.clear()
    return wake.wait(0.3)


def test_folder_that_is_not_there_yet_is_no_end(tmp_path: Path) -> None:
    """Started before its folder exists it does not hang: what leads there is watched."""
    file = tmp_path / "srv" / "home.yaml"
    with Watch(*way(file)) as watch:
        file.parent.mkdir()
        watch.expect("the folder")
        watch.watcher.follow(way(file))
        watch.expect("the watch on it")
        file.write_text("a")
        watch.expect("a save")


def test_folders_can_be_added_at_any_time(tmp_path: Path) -> None:
    """What the first pass found out is watched from then on, and what is no more is not."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with Watch(whole(one)) as watch:
        watch.watcher.follow([whole(two)])
        watch.expect("the new watch")
        (two / "a").write_text("a")
        watch.expect("a change there")
        (one / "a").write_text("a")
        watch.expect_rest()


@pytest.mark.parametrize("error", [OSError("limit"), RuntimeError("too many open files")])
def test_system_that_gives_no_events_is_looked_at_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Where the system's limit of watches is reached, changes are looked for now and then, and a
    person is told what to do about it, once.
    """
    from watchfiles import _rust_notify

    def no_watches_left(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(_rust_notify, "RustNotify", no_watches_left)
    with Watch(whole(tmp_path), pace=OFTEN) as watch:
        for number in range(3):
            (tmp_path / "a").write_text("a" * number)
            watch.expect("a look")
        watch.watcher.follow([whole(tmp_path), whole(tmp_path.parent)])
        watch.expect("others")
    assert len(watch.heard.warnings) == 1
    assert str(error) in watch.heard.warnings[0]
    assert "fs.inotify" in watch.heard.hints[0]


def test_what_is_edited_by_hand_is_watched_before_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too few watches for all folders the near ones have theirs, and the far ones are looked
    at now and then.
    """
    from watchfiles import _rust_notify

    real = _rust_notify.RustNotify

    def two_at_most(folders: list[str], **options: object) -> object:
        if len(folders) > 2:
            raise OSError("OS file watch limit reached")
        return real(folders, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(_rust_notify, "RustNotify", two_at_most)
    near, far = tmp_path / "near", [tmp_path / f"far{number}" for number in range(3)]
    for folder in (near, *far):
        folder.mkdir()
    spots = [whole(near), *(whole(folder, is_far=True) for folder in far)]
    # None but far ones that nobody tells of are looked at within the test.
    pace = Pace(near=0.05, far=0.05, near_check=600, far_check=600)
    with Watch(*spots, pace=pace) as watch:
        (near / "home.yaml").write_text("a")
        watch.expect("an event")
        (far[2] / "model.gguf").write_text("a")
        watch.expect("a look")
    assert len(watch.heard.warnings) == 1


def test_filesystem_that_does_not_tell_is_looked_at(tmp_path: Path) -> None:
    """On a filesystem that others write to unseen, looking is all there is; that is said once, and
    needs no setting. With RECONCILER_POLL=on no events are asked for at all.
    """
    deep = tmp_path / "deep"
    deep.mkdir()
    with Watch(
        whole(tmp_path), whole(deep), pace=OFTEN, silence_of=lambda _: "it lies on /srv (nfs4)"
    ) as watch:
        _write_unseen(tmp_path / "home.yaml")
        watch.expect("a look")
    assert len(watch.heard.said) == 1
    assert "nfs4" in watch.heard.said[0]
    with Watch(whole(tmp_path), pace=OFTEN, only_looks=True) as watch:
        (tmp_path / "home.yaml").write_text("other")
        watch.expect("a look")
        watch.expect_rest()


def _write_unseen(path: Path) -> None:
    """Change a file so that the system tells nobody: through a mapping of it."""
    if not path.exists():
        path.write_bytes(b"a" * 4096)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] ^= 1
        mapped.flush()


def test_folder_whose_change_was_not_told_is_looked_at_from_then_on(tmp_path: Path) -> None:
    """A change that is seen and that no event told of wakes; the folder is then looked at often,
    and that is said once. An event that came is no reason to.
    """
    told, untold = tmp_path / "told", tmp_path / "untold"
    for folder in (told, untold):
        folder.mkdir()
        (folder / "home.yaml").write_bytes(b"a" * 4096)
    pace = Pace(near=0.05, far=600, near_check=0.1, far_check=600, grace=0.5)

    def changed_unseen() -> bool:
        _write_unseen(untold / "home.yaml")
        return bool(watch.heard.warnings)

    with Watch(whole(told), whole(untold), pace=pace) as watch:
        for _ in range(3):
            (told / "home.yaml").write_text("b")
            watch.expect("an event")
        wait_for(changed_unseen, "a word on it")
    assert len(watch.heard.warnings) == 1
    assert str(untold) in watch.heard.warnings[0]


def test_patrol_takes_its_time(tmp_path: Path) -> None:
    """Far folders are looked at less often than near ones, and those that nobody tells of more
    often; what is inside a hidden folder, or in a folder below, is not seen here.
    """
    clock = [0.0]
    heard: dict[str, int] = {}
    near, far = tmp_path / "near", tmp_path / "far"
    for folder in (near, far):
        (folder / ".hidden").mkdir(parents=True)
        (folder / "below").mkdir()
    spots = {str(near): whole(near), str(far): whole(far, is_far=True)}
    patrol = Patrol(heard, Pace(), monotonic=lambda: clock[0])
    patrol.follow(spots)

    def looked_at(seconds: float, blind: frozenset[str] = frozenset()) -> list[Path]:
        clock[0] += seconds
        return [Path(spot.folder) for spot, _ in patrol.look(blind)]

    assert looked_at(0) == []
    for folder in (near, far):
        (folder / "below" / "x").write_text("x")
        (folder / ".hidden" / "x").write_text("x")
        (folder / ".x").write_text("x")
    assert looked_at(600) == []
    for folder in (near, far):
        (folder / "x").write_text("x")
    assert looked_at(1) == []
    assert looked_at(4) == [near]
    assert looked_at(295) == [near, far]

    blind = frozenset(spots)
    assert looked_at(60, blind) == []
    for folder in (near, far):
        (folder / "x").write_text("more")
    assert looked_at(1, blind) == [near]
    assert looked_at(59, blind) == [far]


def test_patrol_accuses_nobody_whose_word_is_late(tmp_path: Path) -> None:
    """An event that comes some time after the change was seen is an event that came; a folder that
    is another than it was is watched anew instead.
    """
    clock, heard = [0.0], {str(tmp_path): 0}
    folder = str(tmp_path)
    patrol = Patrol(heard, Pace(), monotonic=lambda: clock[0])
    patrol.follow({folder: whole(tmp_path)})

    def look(seconds: float) -> list[Seen]:
        clock[0] += seconds
        return [seen for _, seen in patrol.look(frozenset())]

    assert look(0) == []
    (tmp_path / "a").write_text("a")
    assert look(5) == [Seen.CHANGED]
    heard[folder] += 1
    assert look(5) == []
    assert look(5) == []
    (tmp_path / "a").write_text("aa")
    assert look(5) == [Seen.CHANGED]
    assert look(5) == [Seen.MISSED]
    assert look(5) == []
    os.rename(tmp_path, f"{tmp_path}-old")  # noqa: PTH104 - the fixture's own path is moved away
    tmp_path.mkdir()
    assert look(5) == [Seen.SWAPPED]


def test_leaving_ends_its_threads(tmp_path: Path) -> None:
    """After the block nothing wakes any more."""
    with Watch(whole(tmp_path)) as watch:
        assert all(thread.is_alive() for thread in watch.watcher._threads)
    assert not any(thread.is_alive() for thread in watch.watcher._threads)
