"""What is known of an update before it is fetched: the header read, the data taken from here."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.adapters.store.known_digests import KnownDigests
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.core.actions import Download
from reconciler.core.ledger import Ledger, LedgerFile, Provenance
from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.ports.transfer import Piece, Stretch
from reconciler.core.source import Origin, UrlOrigin
from reconciler.engine.host import Host
from reconciler.engine.moved_header import known_parts
from reconciler.errors import Interrupted, ReconcilerError, Unreachable
from tests.support.fakes import Heard, NoTransfer
from tests.support.gguf_headers import string, whole_file

PATH = RelPath("acme/m/m.gguf")
MIB = 1024 * 1024
DATA = random.Random(1).randbytes(12 * MIB)  # noqa: S311 - the same every time is the point
OLD = whole_file(string("general.name", "m"), string("tokenizer.chat_template", "a"), data=DATA)


def sha256(data: bytes) -> Sha256:
    """Give the digest of `data`."""
    return Sha256(hashlib.sha256(data).hexdigest())


@dataclass
class Upstream(NoTransfer):
    """An origin that lies in memory. It fails by `error` once `patience` requests were met."""

    data: bytes = b""
    asked: list[tuple[int, int]] = field(default_factory=list)
    error: ReconcilerError | None = None
    patience: int = 0
    missing_bytes: int = 0

    @property
    def sent_bytes(self) -> int:
        """How much it was asked for."""
        return sum(end - start for start, end in self.asked)

    def read(self, origin: Origin, start: int, end: int, *, size_bytes: int) -> bytes:
        """Give some of it."""
        assert isinstance(origin, UrlOrigin)
        assert 0 <= start < end <= size_bytes == len(self.data)
        if self.error is not None and len(self.asked) >= self.patience:
            raise self.error
        self.asked.append((start, end))
        return self.data[start : end - self.missing_bytes]


@dataclass
class World:
    """A models folder with `OLD` in it, applied as the ledger says, and an origin."""

    host: Host
    folder: Path
    upstream: Upstream
    ledger: Ledger

    def known(self, new: bytes, **changes: Any) -> tuple[Stretch | Piece, ...]:
        """Give what is known of the update to `new`."""
        self.upstream.data = new
        action = Download(
            model=ModelId("m"),
            path=PATH,
            size_bytes=len(new),
            have_bytes=0,
            sha256=sha256(new),
            origin=UrlOrigin(url="https://example.org/m.gguf"),
            reason="",
        )
        return known_parts(replace(action, **changes), self.ledger, self.host)

    def put(self, old: bytes) -> None:
        """Let the file in the folder be `old`, and have been applied."""
        (self.folder / PATH).write_bytes(old)
        owned = LedgerFile(
            path=PATH,
            size_bytes=len(old),
            sha256=self.host.digests.digest(self.folder / PATH).sha256,
            provenance=Provenance.BROUGHT,
        )
        self.ledger = Ledger(files={PATH: owned})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with `OLD` in it."""
    (tmp_path / PATH).parent.mkdir(parents=True)
    upstream = Upstream()
    digests = KnownDigests(
        None, cache_folder=tmp_path / "cache", keep_in_cache=True, reporter=Heard()
    )
    with closing(digests):
        parts = dict.fromkeys(Host.__dataclass_fields__, cast(Any, None))
        parts |= {"folder": ModelsFolder(tmp_path), "digests": digests, "transfer": upstream}
        world = World(Host(**parts), tmp_path, upstream, Ledger())
        world.put(OLD)
        yield world


def built(parts: Sequence[Stretch | Piece]) -> bytes:
    """Put the parts together; they must follow one another without a gap."""
    data = b""
    for part in parts:
        assert part.start == len(data)
        if isinstance(part, Piece):
            data += part.data
        else:
            whole = part.path.read_bytes()
            taken = whole[part.source_start : part.source_start + part.length_bytes]
            assert len(taken) == part.length_bytes
            data += taken
    return data


def read_alone(parts: Sequence[Stretch | Piece]) -> int:
    """Give how many bytes the parts hold, of which none may come from here."""
    assert all(isinstance(part, Piece) for part in parts)
    return sum(len(part.data) for part in parts if isinstance(part, Piece))


@pytest.mark.parametrize("template", ["", "b", "b" * 50_000, "b" * 700_000])
def test_another_template_and_the_same_tensors_need_the_header_alone(
    world: World, template: str
) -> None:
    """Whether the header became shorter or longer, all else is found here, and little more than the
    header is asked of the origin.
    """
    new = whole_file(string("tokenizer.chat_template", template), data=DATA)
    parts = world.known(new)
    assert built(parts) == new
    assert world.upstream.sent_bytes < len(template) + 256 * 1024
    assert world.upstream.sent_bytes == sum(len(p.data) for p in parts if isinstance(p, Piece))


def test_a_large_header_of_known_length_comes_in_one_request(world: World) -> None:
    """The old header says how long the new one will be."""
    vocabulary = string("some.vocabulary", "v" * MIB)
    world.put(whole_file(vocabulary, string("tokenizer.chat_template", "a"), data=DATA))
    new = whole_file(vocabulary, string("tokenizer.chat_template", "other"), data=DATA)
    assert built(world.known(new)) == new
    beginning = [end - start for start, end in world.upstream.asked if start < 2 * MIB]
    assert len(beginning) == 1
    assert beginning[0] < MIB + 200_000


def test_another_alignment_moves_the_data_too(world: World) -> None:
    """Data that begin far behind the header, after padding that nobody looked at, are found."""
    for alignment in (64, MIB):
        new = whole_file(string("general.name", "m"), data=DATA, alignment=alignment)
        assert built(world.known(new)) == new


@pytest.mark.parametrize(
    "new",
    [
        whole_file(string("general.name", "n"), data=DATA, name="other"),
        whole_file(string("general.name", "n"), data=DATA[:-1]),
        whole_file(string("general.name", "n"), data=DATA) + b"\x00",
    ],
    ids=["name", "shape", "length"],
)
def test_another_table_leaves_everything_to_be_fetched(world: World, new: bytes) -> None:
    """A table or a length that differs in anything takes nothing from here."""
    parts = world.known(new)
    assert 0 < read_alone(parts) == world.upstream.sent_bytes < 256 * 1024
    assert built(parts) == new[: len(built(parts))]


@pytest.mark.parametrize("place", [0, 3, 6, 9])
def test_other_weights_are_noticed_before_anything_is_copied(world: World, place: int) -> None:
    """Where the data differ at the start or at a quarter, the old file is not copied in vain; what
    was read is kept.
    """
    start = place * MIB - MIB // 2 if place else 0
    changed = DATA[:start] + bytes(MIB) + DATA[start + MIB :]
    new = whole_file(string("general.name", "n"), data=changed)
    parts = world.known(new)
    assert all(isinstance(part, Piece) for part in parts)
    assert all(
        new[part.start : part.start + len(part.data)] == part.data
        for part in parts
        if isinstance(part, Piece)
    )


def test_a_difference_that_nobody_looked_at_is_left_to_the_digest(world: World) -> None:
    """A few bytes elsewhere are not seen: what is known is a belief, as the port says."""
    changed = DATA[:-1] + bytes([DATA[-1] ^ 1])
    new = whole_file(string("general.name", "n"), data=changed)
    whole = built(world.known(new))
    assert len(whole) == len(new)
    assert [place for place in range(len(new) - 9, len(new)) if whole[place] != new[place]] == [
        len(new) - 1
    ]


def test_a_header_past_a_tenth_of_the_file_is_not_worth_it(world: World) -> None:
    """No more than a tenth is read, and it is read for good."""
    new = whole_file(string("tokenizer.chat_template", "b" * 2 * MIB), data=DATA)
    assert read_alone(world.known(new)) <= len(new) // 10
    world.put(whole_file(string("general.name", "m"), data=DATA[: 6 * MIB]))
    padded = whole_file(string("general.name", "n"), data=DATA[: 6 * MIB], alignment=MIB)
    assert read_alone(world.known(padded)) <= len(padded) // 10


def test_an_old_header_past_a_tenth_of_the_file_asks_for_nothing(world: World) -> None:
    """Where the old header is too long the new one will be: the origin is left alone."""
    world.put(whole_file(string("tokenizer.chat_template", "b" * 2 * MIB), data=DATA))
    assert world.known(whole_file(string("general.name", "n"), data=DATA)) == ()
    assert world.upstream.asked == []


def test_only_a_file_that_is_as_we_applied_it_is_looked_at(world: World) -> None:
    """Without an older file of ours, with one that changed since, with bytes staged already, or for
    a small file, nothing is asked of the origin.
    """
    new = whole_file(string("general.name", "n"), data=DATA)
    assert world.known(new, have_bytes=1) == ()
    assert world.known(new, path=RelPath("elsewhere.gguf")) == ()
    assert world.known(whole_file(data=DATA[:MIB])) == ()
    assert world.known(OLD) == ()
    applied, world.ledger = world.ledger, Ledger()
    assert world.known(new) == ()
    world.ledger = applied
    (world.folder / PATH).write_bytes(OLD[:-1] + b"\x00")
    assert world.known(new) == ()
    world.host.digests.digest(world.folder / PATH)
    assert world.known(new) == ()
    (world.folder / PATH).unlink()
    assert world.known(new) == ()
    assert world.upstream.asked == []


def test_a_file_of_another_kind_asks_for_nothing(world: World) -> None:
    """What is no GGUF file here is none there."""
    world.put(b"PK" + DATA)
    assert world.known(b"PK" + DATA[1:]) == ()
    assert world.upstream.asked == []


def test_a_hostile_new_header_is_left_to_the_fetching(world: World) -> None:
    """What cannot be read as a header is no error here."""
    assert 0 < read_alone(world.known(b"<html>" + DATA)) < 256 * 1024


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_an_origin_that_fails_is_left_to_the_fetching(world: World, patience: int) -> None:
    """Whatever the origin says is no error here, and what it sent before is kept."""
    world.upstream.error, world.upstream.patience = Unreachable("no answer"), patience
    parts = world.known(whole_file(string("general.name", "n"), data=DATA))
    assert len(parts) == patience
    assert read_alone(parts) == world.upstream.sent_bytes


def test_an_origin_that_sends_less_is_not_asked_for_ever(world: World) -> None:
    """Fewer bytes than asked for end it."""
    world.upstream.missing_bytes = 10**9
    assert world.known(whole_file(string("general.name", "n"), data=DATA)) == ()


def test_being_told_to_stop_stops_it(world: World) -> None:
    """An interruption is no failure of the origin."""
    world.upstream.error = Interrupted("stop")
    with pytest.raises(Interrupted):
        world.known(whole_file(string("general.name", "n"), data=DATA))
