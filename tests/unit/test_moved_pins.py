"""Pins that move by themselves: which pin counts, who keeps it, when upstream is worth a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.asked import Named, asked_by
from reconciler.core.lock import Lock, Pin, PinnedFile
from reconciler.core.manifest import ModelSpec
from reconciler.core.moved_pins import MovedPins, counting_pins, divide_pins
from reconciler.core.names import Commit, ModelId, RepoId
from reconciler.core.ports.hub import Upstream
from reconciler.core.reading.lock_text import parse_moved_pins, render_moved_pins
from reconciler.core.source import HubOrigin, HubQuant
from reconciler.core.tracking import (
    clashing_moves,
    describe_move,
    followed_models,
    may_have_newer,
)
from reconciler.errors import LockInvalid
from tests.support.worlds import pinned

A = ModelId("a")
B = ModelId("b")
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def spec(name: str = "a", **words: object) -> ModelSpec:
    """Give a tracked model of `acme/<name>`."""
    source = HubQuant(repo=RepoId(f"acme/{name}"), quant="Q4_K_M")
    base = ModelSpec(id=ModelId(name), source=source, source_text=f"acme/{name}", track=True)
    return replace(base, **words)  # type: ignore[arg-type]


def pin(content: str, *, name: str = "a", commit: str = "0", file: str = "m.gguf") -> Pin:
    """Give a pin of one file with `content`."""
    found = pinned(name, content, name=file)
    assert isinstance(found.origin, HubOrigin)
    origin = replace(found.origin, commit=Commit(commit * 40))
    return Pin(asked=asked_by(spec(name)), files=(replace(found, origin=origin),))


def moved(new: Pin, instead_of: Pin | None) -> MovedPins:
    """Give a moved pin of model a."""
    return MovedPins(pins={A: new}, instead_of={A: instead_of} if instead_of else {})


OLD, NEW = pin("old"), pin("new", commit="1")


@pytest.mark.parametrize(
    ("locked", "declared", "counts"),
    [
        (OLD, spec(), True),
        (OLD, spec(track=False), False),
        (pin("pulled"), spec(), False),
        (None, spec(), False),
        (OLD, None, True),
        (OLD, spec(track=False, revision="v2"), True),
    ],
    ids=["tracked", "not tracked", "lock changed", "lock lost it", "undeclared", "lock is stale"],
)
def test_moved_pin_counts_while_the_lock_is_as_it_was(
    locked: Pin | None, declared: ModelSpec | None, counts: bool
) -> None:
    """It stands in for what the lock said then; a lock that says otherwise was meant to."""
    lock = Lock(pins={A: locked} if locked else {})
    models = {A: declared} if declared else {}
    assert counting_pins(lock, moved(NEW, OLD), models) == ({A: NEW} if counts else {})


def test_pin_that_the_lock_never_had_counts_for_any_model() -> None:
    """What could not be written into the lock is kept for models that are not tracked too."""
    models = {A: spec(track=False)}
    assert counting_pins(Lock(), moved(NEW, None), models, tracked=False) == {A: NEW}
    assert counting_pins(Lock(pins={A: OLD}), moved(NEW, OLD), models, tracked=False) == {}


def test_pins_are_divided_between_the_lock_and_this_host() -> None:
    """A pin that is kept here leaves the lock's alone and names it; all others are the lock's."""
    lock, other = Lock(pins={A: OLD}), pin("b", name="b")
    after, kept = divide_pins({A: NEW, B: other}, lock, MovedPins(), here={A})
    assert (after, kept) == (Lock(pins={A: OLD, B: other}), moved(NEW, OLD))
    assert divide_pins({B: other}, after, kept, here={A}) == (Lock(pins={B: other}), MovedPins())


def test_pin_that_came_back_to_the_locks_is_let_go() -> None:
    """Where upstream has gone back, at whatever commit, nothing is kept."""
    back = pin("old", commit="2")
    assert divide_pins({A: back}, Lock(pins={A: OLD}), moved(NEW, OLD), here={A}) == (
        Lock(pins={A: OLD}),
        MovedPins(),
    )


def test_refusal_is_forgotten_with_the_model_or_once_it_is_pinned() -> None:
    """A pin that failed is remembered until somebody pins it all the same, or drops the model."""
    before = MovedPins(refused={A: NEW})
    for pins, kept in (({A: OLD}, {A: NEW}), ({A: NEW}, {}), ({}, {})):
        assert divide_pins(pins, Lock(), before, here=())[1].refused == kept


def test_moved_pins_come_back_as_they_were() -> None:
    """Their file has the form of a lock, and one that is none is refused with the way out."""
    value = MovedPins(pins={A: NEW}, instead_of={A: OLD}, refused={B: pin("b", name="b")})
    assert parse_moved_pins(render_moved_pins(value), "pins.lock") == value
    with pytest.raises(LockInvalid) as caught:
        parse_moved_pins(b'{"version": 1, "models": {}}', "pins.lock")
    assert "instead_of" in caught.value.message
    assert "the lock alone decides" in caught.value.hint


def upstream(commit: str, *, days_ago: float | None) -> Mapping[Named, Upstream]:
    """Give what the hub says of `acme/a`."""
    at = None if days_ago is None else NOW - timedelta(days=days_ago)
    return {(RepoId("acme/a"), None): Upstream(commit=Commit(commit * 40), modified_at=at)}


@pytest.mark.parametrize(
    ("commit", "days_ago", "window_hours", "worth_it"),
    [
        ("1", 1, 48, True),
        ("1", 3, 48, False),
        ("1", 3, None, True),
        ("0", 1, 48, False),
        ("0", 1, None, False),
        ("1", None, 48, True),
        ("1", -1, 0, True),
    ],
)
def test_files_are_looked_at_where_the_commit_changed_lately(
    commit: str, days_ago: float | None, window_hours: float | None, worth_it: bool
) -> None:
    """The same commit is never worth it, another one within the window or without one; a time that
    is not known, or not yet, counts as late.
    """
    (model,) = followed_models({A: spec()}, {A: OLD}).values()
    found = upstream(commit, days_ago=days_ago)
    assert may_have_newer(model, found, now=NOW, window_hours=window_hours) is worth_it


def test_only_what_can_move_is_followed() -> None:
    """A model that is not tracked, disabled, without a pin, or at a commit asks nothing."""
    pins = {A: OLD}
    assert followed_models({A: spec(track=False)}, pins) == {}
    assert followed_models({A: spec(enabled=False)}, pins) == {}
    assert followed_models({A: spec()}, {}) == {}
    fixed = replace(OLD, asked=replace(OLD.asked, revision="0" * 40))
    assert followed_models({A: spec()}, {A: fixed})[A].commits == {}


def test_move_that_leaves_another_without_its_bytes_is_found() -> None:
    """Two models that share a file move together or not at all, through whatever chain."""
    shared = replace(NEW, files=pin("new", name="a").files)
    assert clashing_moves({A: shared}, {A: OLD}) == {}
    assert clashing_moves({A: shared}, {A: OLD, B: OLD}) == {A: B}
    assert clashing_moves({A: shared, B: shared}, {A: OLD, B: OLD}) == {}
    third = ModelId("c")
    other = with_files(pin("y", file="y.gguf").files[0])
    both = with_files(shared.files[0], pin("y2", file="y.gguf").files[0])
    pins = {A: OLD, B: with_files(OLD.files[0], other.files[0]), third: other}
    assert clashing_moves({A: shared, B: both}, pins).keys() == {A, B}


def with_files(*files: PinnedFile) -> Pin:
    """Give a pin of these files."""
    return replace(OLD, files=files)


def test_move_is_described_by_what_it_costs() -> None:
    """Commits, files that differ, and the bytes that are not here already."""
    extra = pin("extra", commit="1", file="x.gguf").files[0]
    after = with_files(NEW.files[0], extra)
    assert describe_move(OLD, after, set()) == (
        "commit 00000000 → 11111111, 2 files changed, 200 B to fetch"
    )
    assert describe_move(OLD, after, {extra.sha256}).endswith("100 B to fetch")
    assert describe_move(after, with_files(NEW.files[0]), set()).endswith(
        "1 file changed, 0 B to fetch"
    )
