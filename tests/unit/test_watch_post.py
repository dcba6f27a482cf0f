"""The place of a watch: taken once, kept over new settings, and looked for until it is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.adapters.store.pause_file import PauseFile
from reconciler.cli.settings import Settings
from reconciler.cli.watching.post import WatchPost
from reconciler.core.watching import Pause
from reconciler.errors import LockHeld
from tests.support.fakes import Heard


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that name a models folder."""
    (tmp_path / "models").mkdir()
    environment = {"HOME": str(tmp_path), "TZ": "UTC"}
    return Settings(models_dir=tmp_path / "models", runtime="none", environment=environment)


def order(settings: Settings, **given: object) -> Pause:
    """Order a pause as the command does."""
    assert settings.models_dir is not None
    pause = Pause(since=datetime.now(UTC), **given)  # type: ignore[arg-type]
    PauseFile(settings.models_dir / ".reconciler", Heard()).write(pause)
    return pause


def test_place_is_for_one_alone_and_free_afterwards(settings: Settings) -> None:
    """Taken again with the same settings it stays; another one is refused until the end."""
    with WatchPost(Heard()) as post, WatchPost(Heard()) as other:
        post.take(settings)
        post.take(replace(settings, resync=5))
        with pytest.raises(LockHeld, match="another watch"):
            other.take(settings)
        assert other.folder is None
    with WatchPost(Heard()) as post:
        post.take(settings)


def test_new_settings_lead_to_another_place_or_leave_it_at_the_old(
    settings: Settings, tmp_path: Path
) -> None:
    """Where the new place is taken, what was held stays held; else it is left for others."""
    (tmp_path / "new").mkdir()
    elsewhere = replace(settings, models_dir=tmp_path / "new")
    with WatchPost(Heard()) as post, WatchPost(Heard()) as other, WatchPost(Heard()) as third:
        post.take(settings)
        other.take(elsewhere)
        with pytest.raises(LockHeld):
            post.take(elsewhere)
        with pytest.raises(LockHeld):
            third.take(settings)
        other.__exit__(None, None, None)
        post.take(elsewhere)
        third.take(settings)


def test_place_that_is_not_known_yet_is_looked_for_again(
    settings: Settings, tmp_path: Path
) -> None:
    """A disk that is mounted later: nothing is told, for the pass says it; once it is there the
    place is taken, and the pause that lies there holds.
    """
    heard = Heard()
    late = replace(settings, models_dir=tmp_path / "late")
    with WatchPost(heard) as post, WatchPost(Heard()) as other:
        post.take(late)
        assert post.paused() is None
        assert post.folder is None
        assert not heard.warnings
        (tmp_path / "late" / ".reconciler").mkdir(parents=True)
        pause = order(late, by="ada@home")
        assert post.paused() == pause
        assert post.folder == tmp_path / "late" / ".reconciler" / "watch"
        with pytest.raises(LockHeld):
            other.take(late)


def test_place_moves_with_the_models_of_another_container(
    settings: Settings, tmp_path: Path
) -> None:
    """A pass that finds them elsewhere takes the watch's place along: the pause that is ordered
    there holds, and the old place is free; where another watch has it, it stays where it was.
    """
    (tmp_path / "new" / ".reconciler").mkdir(parents=True)
    elsewhere = replace(settings, models_dir=tmp_path / "new")
    with WatchPost(Heard()) as post, WatchPost(Heard()) as other:
        post.take(settings)
        post.keep(tmp_path / "new" / ".reconciler")
        other.take(settings)
        assert post.paused() is None
        pause = order(elsewhere)
        assert post.paused() == pause
        with pytest.raises(LockHeld):
            other.keep(tmp_path / "new" / ".reconciler")
        assert other.paused() is None


def test_begin_and_end_are_told_once(settings: Settings) -> None:
    """Looked at as often as the loop likes; another end is told anew, one that has come is none."""
    heard = Heard()
    with WatchPost(heard) as post:
        post.take(settings)
        assert [post.paused(), heard.said] == [None, []]
        first = order(settings, by="ada@home")
        assert [post.paused(), post.paused()] == [first, first]
        assert heard.said == ["paused until `reconcile resume`, by ada@home"]
        second = order(settings, until=datetime.now(UTC) + timedelta(hours=1))
        assert [post.paused(), post.paused()] == [second, second]
        assert len(heard.said) == 2
        order(settings, until=datetime.now(UTC) - timedelta(seconds=1))
        assert [post.paused(), post.paused()] == [None, None]
        assert heard.said[2:] == ["resumed"]
