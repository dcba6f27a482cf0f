"""Room: what a plan needs at its peak, what it gives back, and when it is refused for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.store.sharing import may_share, share
from reconciler.core.actions import Action, Adopt, Download, Place, Prune
from reconciler.core.copies import Linking, Store
from reconciler.core.desired import Desired
from reconciler.core.filesystems import Room
from reconciler.core.guards import guard_room
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.manifest import Policy
from reconciler.core.manifest import Prune as PrunePolicy
from reconciler.core.names import Commit, ModelId, RelPath, RepoId
from reconciler.core.observed import Observed, ObservedFile
from reconciler.core.plan import Plan
from reconciler.core.refusal import Refusal
from reconciler.core.sizes import human_bytes, parse_bytes
from reconciler.core.source import HubOrigin
from reconciler.core.space import freed_bytes, needed_bytes
from tests.support.worlds import World, desired, digest, model, pinned, planned

EMPTY = World().observed()


def download(name: str = "a", *, size_bytes: int = 100) -> Download:
    """Give a download."""
    origin = HubOrigin(repo=RepoId("acme/a"), commit=Commit("0" * 40), path=RelPath("m.gguf"))
    return Download(
        model=ModelId(name),
        path=RelPath(f"acme/{name}/m.gguf"),
        size_bytes=size_bytes,
        have_bytes=0,
        sha256=digest(name),
        origin=origin,
        reason="",
    )


def adopt(store: Store, source: str) -> Adopt:
    """Give an adoption of 100 bytes."""
    like = download()
    return Adopt(
        model=like.model,
        path=like.path,
        size_bytes=like.size_bytes,
        sha256=like.sha256,
        source=source,
        store=store,
        origin=like.origin,
        reason="",
    )


def prune(name: str, *, to_trash: bool = False) -> Prune:
    """Give a removal of 100 bytes."""
    return Prune(path=RelPath(name), size_bytes=100, to_trash=to_trash, reason="")


def place(name: str) -> Place:
    """Give a placement of 100 bytes that `download` and `adopt` bring."""
    path = RelPath(f"acme/{name}/m.gguf")
    return Place(model=ModelId(name), path=path, size_bytes=100, sha256=digest("a"), reason="")


def seen(name: str, *, inode: int, links: int = 1) -> ObservedFile:
    """Give a file of 100 bytes."""
    identity = FileIdentity(device=1, inode=inode, size_bytes=100, mtime_ns=1)
    return ObservedFile(path=RelPath(name), identity=identity, sha256=None, links=links)


def plan(wanted: Desired, observed: Observed, ledger: Ledger, *, reserve_bytes: int = 0) -> Plan:
    """Plan without a world."""
    return planned(
        wanted,
        observed,
        ledger,
        allow_prune=True,
        reserve_bytes=reserve_bytes,
    )


def refused(
    *actions: Action, free_bytes: int, reserve_bytes: int = 0, trash_bytes: int = 0
) -> tuple[Refusal, ...]:
    """Give what is refused for want of room."""
    room = Room(device=1, free_bytes=free_bytes)
    observed = replace(EMPTY, room=room, trash_bytes=trash_bytes)
    return guard_room(actions, observed, config_bytes=0, reserve_bytes=reserve_bytes)


def test_download_needs_what_is_not_on_the_disk_yet() -> None:
    """A partial file holds the room it was given, however little of it was fetched; it may even
    take up more than its size, in whole blocks.
    """
    assert needed_bytes([download()], EMPTY) == 100
    for staged, needed in ((30, 70), (100, 0), (512, 0)):
        held = replace(EMPTY, staged_disk_bytes={digest("a"): staged})
        assert needed_bytes([download()], held) == needed


def test_copy_needs_room_and_what_is_shared_or_staged_does_not() -> None:
    """What lies here already needs its room once more only where it has to be copied."""
    taken = adopt(Store.OLLAMA, "/ollama/blobs/sha256-a")
    assert needed_bytes([taken], EMPTY) == 100
    assert needed_bytes([taken], replace(EMPTY, shared=frozenset({taken.sha256}))) == 0
    assert needed_bytes([adopt(Store.PARTIAL, "")], EMPTY) == 0


def test_file_that_only_changes_its_name_needs_no_room() -> None:
    """Where nothing can be linked, a file of ours that moves is renamed; one that stays is copied,
    and so is one that is wanted under two names.
    """
    moved = adopt(Store.OURS, "/models/old.gguf")
    assert needed_bytes([moved, place("a"), prune("old.gguf", to_trash=True)], EMPTY) == 0
    assert needed_bytes([moved, place("a")], EMPTY) == 100
    twice: list[Action] = [moved, place("a"), place("b"), prune("old.gguf", to_trash=True)]
    assert needed_bytes(twice, EMPTY) == 100


@pytest.mark.parametrize(
    ("linking", "links", "reflinks", "shares"),
    [
        (Linking.FREELY, True, False, True),
        (Linking.FREELY, False, False, False),
        (Linking.IF_ALIKE, True, False, True),
        (Linking.NEVER, True, False, False),
        (Linking.NEVER, False, True, True),
    ],
)
def test_sharing_is_foreseen(
    tmp_path: Path, linking: Linking, links: bool, reflinks: bool, shares: bool
) -> None:
    """On the same filesystem blocks are shared where it can, else links are made where they may
    be; what is foreseen is what then happens.
    """
    source = tmp_path / "source.gguf"
    source.write_bytes(b"data")
    source.chmod(0o644)

    def foreseen(path: Path) -> bool:
        return may_share(
            path, linking=linking, root=tmp_path, has_links=links, has_reflinks=reflinks
        )

    assert foreseen(source) is shares
    assert not foreseen(tmp_path / "missing.gguf")
    assert not foreseen(Path("/proc/version"))
    done = share(source, tmp_path / "staged", linking=linking, root=tmp_path) is not None
    # This machine's own filesystem may be able to do more, or less.
    assert done or not (shares and links and not reflinks)
    source.chmod(0o600)
    assert foreseen(source) is (shares and linking is not Linking.IF_ALIKE)


def test_deleted_bytes_are_free_only_with_their_last_name() -> None:
    """A file with another name frees nothing; two names that go together free it once; what goes
    to the trash stays.
    """
    files = {
        RelPath("alone"): seen("alone", inode=1),
        RelPath("shared"): seen("shared", inode=2, links=2),
        RelPath("one"): seen("one", inode=3, links=2),
        RelPath("two"): seen("two", inode=3, links=2),
    }
    observed = replace(EMPTY, files=files)
    assert freed_bytes([prune("alone")], observed) == 100
    assert freed_bytes([prune("alone", to_trash=True)], observed) == 0
    assert freed_bytes([prune("shared")], observed) == 0
    assert freed_bytes([prune("one")], observed) == 0
    assert freed_bytes([prune("one"), prune("two")], observed) == 100


def test_what_a_plan_takes_away_makes_no_room_for_what_it_brings() -> None:
    """An update needs old and new at once, and so does a swap of one model for another, even where
    the old bytes are deleted: they live until the health gate has passed.
    """
    world = World().reached(desired(model("a")))
    tight = replace(world, free_bytes=99)
    for wanted in (
        desired(model("a", pinned("a", "a-2"))),
        desired(model("b"), policy=Policy(prune=PrunePolicy.DELETE)),
    ):
        assert tight.plan(wanted).refusals
        assert not replace(world, free_bytes=100).plan(wanted).refusals
    left = replace(world, free_bytes=100).plan(
        desired(model("b"), policy=Policy(prune=PrunePolicy.DELETE))
    )
    assert left.summary.disk_left_bytes == 100


def test_reserve_stays_free() -> None:
    """Exactly so much may be left, and not a byte less; the message says all three numbers."""
    assert refused(download(), free_bytes=150, reserve_bytes=50) == ()
    (refusal,) = refused(download(), free_bytes=149, reserve_bytes=50)
    assert refusal.message == (
        "/models has no room for this: 100 B must be brought, and 50 B stay free, "
        "but only 149 B are free"
    )
    assert refusal.hint.startswith("free 1 B there; ")


def test_refusal_says_what_would_lift_it() -> None:
    """The trash is named where it holds anything, and that it takes in what this plan removes."""
    (bare,) = refused(download(), free_bytes=0)
    assert "trash" not in bare.hint
    assert "`enabled: false`" in bare.hint
    (full,) = refused(download(), free_bytes=0, trash_bytes=2_000_000)
    assert "2.0 MB of it lie in /models/.reconciler/trash" in full.hint
    (moving,) = refused(download(), prune("b", to_trash=True), free_bytes=0)
    assert "stays in the trash" in moving.hint


def test_reserve_alone_refuses_nothing() -> None:
    """A disk that is nearly full stops no plan that brings nothing: taking out makes room."""
    world = replace(World().reached(desired(model("a"), model("b"))), free_bytes=10)
    observed = world.observed()
    for wanted in (desired(model("a")), desired(model("a"), model("b"))):
        assert plan(wanted, observed, world.ledger, reserve_bytes=50).refusals == ()


@pytest.mark.parametrize(
    ("device", "free_bytes", "is_refused"),
    [(2, 1000, False), (2, 999, True), (1, 1099, True), (1, 1100, False)],
)
def test_config_needs_room_for_itself_and_its_backup(
    device: int, free_bytes: int, is_refused: bool
) -> None:
    """On a disk of its own it needs its bytes, on the models' disk those beside the models'."""
    room = Room(device=device, free_bytes=free_bytes)
    observed = replace(EMPTY, config_room=room)
    refusals = guard_room([download()], observed, config_bytes=1000, reserve_bytes=0)
    assert bool(refusals) is is_refused
    assert all(item.message.startswith("/etc/config.yaml has no room") for item in refusals)
    assert guard_room([download()], observed, config_bytes=0, reserve_bytes=0) == ()


def test_config_is_asked_for_only_where_it_changes() -> None:
    """A full disk below the config refuses the plan that writes it, and not the next one."""
    world = World()
    full = Room(device=2, free_bytes=0)
    observed = replace(world.observed(), config_room=full)
    assert plan(desired(model("a")), observed, world.ledger).refusals
    world = world.reached(desired(model("a")))
    observed = replace(world.observed(), config_room=full)
    assert plan(desired(model("a")), observed, world.ledger).refusals == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("20M", 20_000_000),
        ("1.5 GB", 1_500_000_000),
        ("5MiB", 5 * 2**20),
        ("1gib", 2**30),
        ("2T", 2 * 10**12),
        ("3kb", 3000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    """Letters are powers of 1000, with an `i` of 1024; blanks and case do not matter."""
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1", "1X", "1.", ".5G", "1 0", "1e9", "٣M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """A word that is no size is told, with an example of one."""
    with pytest.raises(ValueError, match="500M or 1GiB"):
        parse_bytes(text)


def test_size_that_was_said_is_read_again() -> None:
    """What a message says can be given back as a setting."""
    for count in (0, 999, 1_500, 40_000_000, 7_300_000_000):
        assert parse_bytes(human_bytes(count)) == count
