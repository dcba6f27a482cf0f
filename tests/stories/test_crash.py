"""Killed at any instant: the next run goes on, and ends where an undisturbed one ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.end_state import state
from tests.support.fuse import Fuse, run_killed
from tests.support.hub import running_hub, sharded_model
from tests.support.sandbox import Sandbox

BEFORE = """\
  chat:
    source: acme/chat-GGUF:Q4_K_M
  gone:
    source: acme/gone-GGUF:Q4_K_M
  big:
    source: acme/big-GGUF:Q4_K_M
"""
AFTER = """\
  chat:
    source: acme/chat-GGUF:Q4_K_M
    serve: {ttl: 42}
  again:
    source: acme/again-GGUF:Q4_K_M
  big:
    source: acme/big-GGUF:Q4_K_M
"""
MOST_CHANGES = 44


@contextlib.contextmanager
def prepared_host(home: Path) -> Iterator[Sandbox]:
    """A host with three applied models, whose manifest and lock then changed in every way."""
    with running_hub() as hub:
        host = Sandbox(home=home, hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/gone-GGUF", seed=2)
        host.add_repo("acme/again-GGUF", seed=1)
        hub.add_commit("acme/big-GGUF", big(seed=3))
        host.write_manifest(BEFORE)
        host.apply()
        host.add_repo("acme/chat-GGUF", seed=4)
        hub.add_commit("acme/big-GGUF", big(seed=5))
        assert host.run("update", "--all").code == 0
        host.write_manifest(AFTER)
        yield host


def big(*, seed: int) -> dict[str, bytes]:
    """A model in two shards."""
    return sharded_model("big-Q4_K_M", shards=2, payload_bytes=20_000, seed=seed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The end of a run that nobody disturbs, and how many lasting changes it makes."""
    with prepared_host(tmp_path_factory.mktemp("undisturbed") / "host") as host:
        fuse = Fuse()
        assert not run_killed(host, fuse)
        assert host.plan()["actions"] == []
        return state(host), fuse.count


def test_the_undisturbed_run_makes_many_lasting_changes(
    undisturbed: tuple[dict[str, Any], int],
) -> None:
    """The instants tried below are those of a run that does everything: many, but bounded."""
    end, changes = undisturbed
    assert 12 <= changes <= MOST_CHANGES
    files = [
        "big-Q4_K_M-00001-of-00002.gguf",
        "big-Q4_K_M-00002-of-00002.gguf",
        "chat-Q4_K_M.gguf",
        "gone-Q4_K_M.gguf",
    ]
    assert end["trash"] == sorted([*files, *(f"{name}.sha256" for name in files)])
    assert end["partial"] == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, MOST_CHANGES + 1))
def test_killed_at_any_change_it_ends_in_the_same_state(
    number: int, after: bool, tmp_path: Path, undisturbed: tuple[dict[str, Any], int]
) -> None:
    """Killed right before or right after its nth lasting change, the next run needs nothing but to
    be started, and files, config, lock, ledger and trash end as if nothing had happened.
    """
    end, changes = undisturbed
    if number > changes:
        return
    with prepared_host(tmp_path / "host") as host:
        assert run_killed(host, Fuse(number, after=after))
        host.apply()
        assert state(host) == end
        assert host.plan()["actions"] == []


@pytest.mark.parametrize("number", range(1, MOST_CHANGES + 1))
def test_killed_again_while_it_settles_it_still_ends_in_the_same_state(
    number: int, tmp_path: Path, undisturbed: tuple[dict[str, Any], int]
) -> None:
    """A run that is killed while it finishes a killed one's work leaves work that can be finished:
    three runs in a row are killed, each at another change.
    """
    end, changes = undisturbed
    if number > changes:
        return
    with prepared_host(tmp_path / "host") as host:
        assert run_killed(host, Fuse(number, after=True))
        for again in (1 + number % 5, 1 + number % 3):
            run_killed(host, Fuse(again, after=bool(number % 2)))
        host.apply()
        assert state(host) == end
        assert host.plan()["actions"] == []
