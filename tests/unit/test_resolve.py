"""From what is asked to what is pinned, on a hub in memory that counts its questions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import Manifest
from reconciler.core.names import Commit, ModelId, RelPath, RepoId, Sha256
from reconciler.core.ports.digests import LocalFile
from reconciler.core.ports.hub import RemoteFile, Upstream
from reconciler.core.reading.lock_text import parse_lock, render_lock
from reconciler.core.reading.manifest_text import ManifestText, parse_manifest
from reconciler.core.source import HubOrigin, LocalOrigin, UrlOrigin
from reconciler.engine.resolve import Resolution, resolve
from reconciler.errors import (
    DiskFull,
    FileMissing,
    NoMatch,
    RepositoryMissing,
    RevisionMissing,
    Unreachable,
)
from tests.support.fakes import NoTransfer


def sha256_of(content: str) -> Sha256:
    """The digest of `content`."""
    return Sha256(hashlib.sha256(content.encode()).hexdigest())


@dataclass
class MemoryHub:
    """A hub of repositories: each revision a chain of commits, each commit a set of files."""

    commits: dict[tuple[str, str | None], list[Commit]] = field(default_factory=dict)
    trees: dict[tuple[str, Commit], Mapping[str, str]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    heard: dict[tuple[str, str | None], Commit] = field(default_factory=dict)
    down: bool = False

    def commit(self, repo: str, files: Mapping[str, str], revision: str | None = None) -> Commit:
        """Add a commit on top of `revision`."""
        commit = Commit(f"{len(self.trees) + 1:040x}")
        self.commits.setdefault((repo, revision), []).append(commit)
        self.trees[repo, commit] = files
        return commit

    def resolve_revision(self, repo: RepoId, revision: str | None, *, anew: bool = False) -> Commit:
        """Give the newest commit; where that was heard before, not `anew`, what was heard then."""
        if not anew and (repo, revision) in self.heard:
            return self.heard[repo, revision]
        self.asked[f"{repo}@{revision}"] += 1
        if self.down:
            raise Unreachable("the hub does not answer")
        if (repo, revision) not in self.commits:
            raise RepositoryMissing(f"{repo} does not exist")
        return self.commits[repo, revision][-1]

    def look_up(self, repo: RepoId, revision: str | None) -> Upstream:
        """Say no more than what it stands for."""
        return Upstream(commit=self.resolve_revision(repo, revision, anew=True), modified_at=None)

    def list_files(
        self,
        repo: RepoId,
        commit: Commit,
        *,
        anew: bool = False,  # noqa: ARG002 - a commit's files never change
    ) -> tuple[RemoteFile, ...]:
        """Give the files of a commit."""
        self.asked[f"{repo}/{commit[-2:]}"] += 1
        if self.down:
            raise Unreachable("the hub does not answer")
        if (repo, commit) not in self.trees:
            raise RevisionMissing(f"{repo} has no commit {commit}")
        return tuple(
            RemoteFile(path=RelPath(path), size_bytes=len(content), sha256=sha256_of(content))
            for path, content in self.trees[repo, commit].items()
        )


class MemoryWeb(NoTransfer):
    """Plain URLs: only their size is ever asked here."""

    def measure(self, url: str) -> int:
        """Give the length of the URL itself as the size."""
        return len(url)


@dataclass
class MemoryDisk:
    """Files of this machine, by absolute path."""

    files: dict[str, str] = field(default_factory=dict)

    def describe(self, path: str) -> LocalFile:
        """Measure and hash."""
        if path not in self.files:
            raise FileMissing(f"{path} is not there")
        content = self.files[path]
        return LocalFile(size_bytes=len(content), sha256=sha256_of(content))


@dataclass
class World:
    """All that resolving asks."""

    hub: MemoryHub = field(default_factory=MemoryHub)
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    told: list[str] = field(default_factory=list)
    models_dir: str | None = "/models"
    folder: str = "/srv"

    def manifest(self, models: str) -> Manifest:
        """A manifest with `models`, one to a line."""
        lines = "".join(f"  {line}\n" for line in models.strip().splitlines())
        data = f"version: 1\nmodels:\n{lines}".encode()
        return parse_manifest([ManifestText(path="m.yaml", folder=self.folder, data=data)])

    def resolve(self, models: str, lock: Lock | None = None, *move: str) -> Resolution:
        """Resolve `models` with `lock`; what comes out must survive being written."""
        resolution = resolve(
            self.manifest(models),
            lock or Lock(),
            hub=self.hub,
            transfer=MemoryWeb(),
            local=self.disk,
            models_dir=self.models_dir,
            move=[ModelId(name) for name in move],
            progress=self.told.append,
        )
        assert parse_lock(render_lock(resolution.lock), "lock") == resolution.lock
        return resolution


def pin_of(resolution: Resolution, model: str) -> Pin:
    """One model's pin."""
    return resolution.lock.pins[ModelId(model)]


def commits_of(resolution: Resolution, model: str) -> list[str]:
    """The commits a pin's files come from, in order."""
    files = pin_of(resolution, model).files
    return [file.origin.commit for file in files if isinstance(file.origin, HubOrigin)]


def roles_of(resolution: Resolution, model: str) -> list[tuple[str, str]]:
    """Role and place of each file of a pin, in order."""
    return [(file.role, file.path) for file in pin_of(resolution, model).files]


def test_a_whole_artifact_set_is_pinned() -> None:
    """Shards, projector, draft and further files are pinned together, each with its digest."""
    world = World()
    big = world.hub.commit(
        "acme/Big",
        {
            "m-Q8_0-00002-of-00002.gguf": "two",
            "m-Q8_0-00001-of-00002.gguf": "one",
            "mmproj-F16.gguf": "eyes",
            "style.gguf": "style",
        },
        "v1",
    )
    small = world.hub.commit("acme/Small", {"s-Q4_K_M.gguf": "small"})
    resolution = world.resolve(
        "a: {source: acme/Big:Q8_0, revision: v1, mmproj: auto, draft: acme/Small, "
        "files: {z: ./z.gguf, style: hf://acme/Big/style.gguf}}"
    )
    assert isinstance(resolution.stalled[ModelId("a")], FileMissing)
    world.disk.files["/srv/z.gguf"] = "z"
    resolution = world.resolve(
        "a: {source: acme/Big:Q8_0, revision: v1, mmproj: auto, draft: acme/Small, "
        "files: {z: ./z.gguf, style: hf://acme/Big/style.gguf}}"
    )
    assert roles_of(resolution, "a") == [
        ("model", "acme/Big/m-Q8_0-00001-of-00002.gguf"),
        ("model", "acme/Big/m-Q8_0-00002-of-00002.gguf"),
        ("mmproj", "acme/Big/mmproj-F16.gguf"),
        ("draft", "acme/Small/s-Q4_K_M.gguf"),
        ("file.style", "acme/Big/style.gguf"),
        ("file.z", "_local/z.gguf"),
    ]
    # A further file of the model's own repository comes from the model's own revision.
    assert commits_of(resolution, "a") == [big, big, big, small, big]
    assert [file.sha256 for file in pin_of(resolution, "a").files][:2] == [
        sha256_of("one"),
        sha256_of("two"),
    ]
    assert resolution.changed == ("a",)
    assert resolution.stalled == {}


def test_a_complete_lock_asks_nothing() -> None:
    """With every pin there, resolving works without a network and changes nothing."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    models = "a: {source: acme/Tiny}\nb: {source: acme/Tiny, enabled: false}"
    first = world.resolve(models)
    world.hub.asked.clear()
    world.told.clear()
    world.hub.down = True
    again = world.resolve(models, first.lock)
    assert again == Resolution(lock=first.lock, stalled={}, changed=())
    assert not world.hub.asked
    assert world.told == []


def test_what_was_heard_before_is_enough_where_it_has_the_files() -> None:
    """A pin may be made from what the hub said some hours ago; moving one asks what it says now."""
    world = World()
    old = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    world.hub.heard["acme/Tiny", None] = old
    new = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "y", "m-Q8_0.gguf": "z"})
    first = world.resolve("a: {source: acme/Tiny}")
    assert commits_of(first, "a") == [old]
    moved = world.resolve("a: {source: acme/Tiny}", first.lock, "a")
    assert commits_of(moved, "a") == [new]


def test_what_is_missing_from_what_was_heard_before_is_looked_for_anew() -> None:
    """Files that came since the hub was last asked are found, without waiting for a day."""
    world = World()
    world.hub.heard["acme/Tiny", None] = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    world.hub.heard["acme/Squashed", None] = Commit("f" * 40)
    new = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "z"})
    kept = world.hub.commit("acme/Squashed", {"m-Q4_K_M.gguf": "x"})
    resolution = world.resolve("a: {source: 'acme/Tiny:Q8_0'}\nb: {source: acme/Squashed}")
    assert commits_of(resolution, "a") == [new]
    assert commits_of(resolution, "b") == [kept]


def test_each_thing_is_asked_once() -> None:
    """However many models share a repository, it is asked once: also when it fails."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "y"})
    resolution = world.resolve(
        "a: {source: acme/Tiny}\nb: {source: 'acme/Tiny:Q8_0'}\nc: {source: acme/Gone}\n"
        "d: {source: acme/Gone}\ne: {source: acme/Tiny, draft: 'acme/Tiny:Q8_0'}"
    )
    assert set(world.hub.asked.values()) == {1}
    assert set(resolution.stalled) == {"c", "d"}
    assert world.told == ["a", "b", "c", "d", "e"]


def test_a_missing_pin_takes_the_commit_of_another() -> None:
    """A new model of a known repository does not move it: both come from one commit."""
    world = World()
    old = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "y"})
    first = world.resolve("a: {source: acme/Tiny}")
    new = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x2", "n-Q2_K.gguf": "z"})
    resolution = world.resolve(
        "a: {source: acme/Tiny}\nb: {source: 'acme/Tiny:Q8_0'}\nc: {source: 'acme/Tiny:Q2_K'}",
        first.lock,
    )
    assert commits_of(resolution, "a") == [old]
    assert commits_of(resolution, "b") == [old]
    # Only the newest commit has this one.
    assert commits_of(resolution, "c") == [new]
    assert resolution.changed == ("b", "c")


def test_another_revision_is_another_question() -> None:
    """A commit pinned for one revision says nothing of another."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    first = world.resolve("a: {source: acme/Tiny}")
    dev = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "dev"}, "dev")
    resolution = world.resolve(
        "a: {source: acme/Tiny}\nb: {source: acme/Tiny, revision: dev}", first.lock
    )
    assert commits_of(resolution, "b") == [dev]


def test_a_revision_in_the_source_is_the_one_taken() -> None:
    """`@revision` counts for that one file, whatever the model's other files come from."""
    world = World()
    main = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "s.gguf": "s"})
    dev = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "s.gguf": "s2"}, "dev")
    resolution = world.resolve(
        "a: {source: acme/Tiny, files: {s: hf://acme/Tiny/s.gguf@dev}}\n"
        "b: {source: hf://acme/Tiny/s.gguf@dev, draft: acme/Tiny}"
    )
    assert commits_of(resolution, "a") == [main, dev]
    assert commits_of(resolution, "b") == [dev, dev]


def test_a_new_model_goes_with_the_pin_that_moves() -> None:
    """Who joins a repository while its pin moves takes the commit it moves to."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "y"})
    first = world.resolve("a: {source: acme/Tiny}")
    new = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x2", "m-Q8_0.gguf": "y2"})
    resolution = world.resolve(
        "b: {source: 'acme/Tiny:Q8_0'}\na: {source: acme/Tiny}", first.lock, "a"
    )
    assert commits_of(resolution, "a") == commits_of(resolution, "b") == [new]


def test_a_commit_that_is_gone_gives_way_to_the_newest() -> None:
    """History rewritten upstream does not keep a new model from being pinned."""
    world = World()
    gone = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "y"})
    first = world.resolve("a: {source: acme/Tiny}")
    del world.hub.trees["acme/Tiny", gone]
    world.hub.trees["x", gone] = {}  # So that the next commit has another name.
    new = world.hub.commit("acme/Tiny", {"m-Q8_0.gguf": "y"})
    models = "a: {source: acme/Tiny}\nb: {source: 'acme/Tiny:Q8_0'}"
    resolution = world.resolve(models, first.lock)
    assert commits_of(resolution, "b") == [new]


def test_a_commit_as_revision_needs_no_question() -> None:
    """A revision that is a commit already stands for itself."""
    world = World()
    commit = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"}, "old")
    resolution = world.resolve(f"a: {{source: acme/Tiny, revision: '{commit}'}}")
    assert commits_of(resolution, "a") == [commit]
    assert list(world.hub.asked) == [f"acme/Tiny/{commit[-2:]}"]


def test_an_update_moves_a_pin_only_for_other_bytes() -> None:
    """A new commit with the same bytes moves nothing; one with other bytes moves the pin."""
    world = World()
    old = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    models = "a: {source: acme/Tiny}\nb: {source: acme/Tiny}"
    first = world.resolve(models)
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "README.md": "new words"})
    same = world.resolve(models, first.lock, "a")
    assert same.lock == first.lock
    assert same.changed == ()
    new = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x2"})
    moved = world.resolve(models, first.lock, "a")
    assert (commits_of(moved, "a"), commits_of(moved, "b")) == ([new], [old])
    assert moved.changed == ("a",)
    assert world.told[-1] == "a"


def test_other_words_make_a_pin_missing() -> None:
    """A pin answers one question: with another one asked it is resolved anew."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "y", "mmproj.gguf": "z"})
    first = world.resolve("a: {source: acme/Tiny}")
    for words in ("source: 'acme/Tiny:Q8_0'", "source: acme/Tiny, mmproj: auto"):
        resolution = world.resolve(f"a: {{{words}}}", first.lock)
        assert resolution.changed == ("a",)
        assert pin_of(resolution, "a").files != pin_of(first, "a").files


def test_a_failing_model_stops_nobody_and_keeps_what_is_still_asked() -> None:
    """One model's trouble is its own; its pin stays if it still answers what is asked."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    first = world.resolve("a: {source: acme/Tiny}\nb: {source: acme/Tiny}")
    models = "a: {source: acme/Tiny}\nb: {source: 'acme/Tiny:Q2_K'}\nc: {source: acme/Tiny}"
    resolution = world.resolve(models, first.lock)
    assert isinstance(resolution.stalled[ModelId("b")], NoMatch)
    assert set(resolution.lock.pins) == {"a", "c"}
    world.hub.down = True
    down = world.resolve(models, first.lock, "a")
    assert {name: type(error) for name, error in down.stalled.items()} == {
        "a": Unreachable,
        "b": Unreachable,
        "c": Unreachable,
    }
    assert down.lock.pins == {"a": pin_of(first, "a")}
    assert down.changed == ()


def test_pins_of_models_no_longer_declared_are_dropped() -> None:
    """The lock holds what is declared; a disabled model is declared."""
    world = World()
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    first = world.resolve("a: {source: acme/Tiny}\nb: {source: acme/Tiny}")
    resolution = world.resolve("b: {source: acme/Tiny, enabled: false}", first.lock)
    assert set(resolution.lock.pins) == {"b"}


def test_a_renamed_model_keeps_its_commit() -> None:
    """The pin of a name that is gone still says which commit its repository stood at."""
    world = World()
    old = world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x"})
    first = world.resolve("a: {source: acme/Tiny}")
    world.hub.commit("acme/Tiny", {"m-Q4_K_M.gguf": "x2"})
    assert commits_of(world.resolve("new: {source: acme/Tiny}", first.lock), "new") == [old]


def test_a_plain_url_is_pinned_by_the_digest_the_manifest_gives() -> None:
    """The size is asked, the digest is given; another digest makes the pin missing."""
    world = World()
    url = "https://x.org/a/m.gguf"
    one, two = sha256_of("1"), sha256_of("2")
    first = world.resolve(f"a: {{source: '{url}', sha256: '{one}'}}")
    (file,) = pin_of(first, "a").files
    assert (file.path, file.size_bytes, file.sha256) == ("_url/x.org/a/m.gguf", len(url), one)
    assert file.origin == UrlOrigin(url=url)
    other = world.resolve(f"a: {{source: '{url}', sha256: '{two}'}}", first.lock)
    assert pin_of(other, "a").files[0].sha256 == two
    assert other.changed == ("a",)


def test_local_shards_are_pinned_as_one_set() -> None:
    """Naming any shard on this machine pins them all; one missing stops the model."""
    world = World()
    world.disk.files = {f"/mnt/m-0000{n}-of-00002.gguf": str(n) for n in (1, 2)}
    models = "a: {source: 'file:///mnt/m-00002-of-00002.gguf'}"
    resolution = world.resolve(models)
    assert roles_of(resolution, "a") == [
        ("model", "_local/m-00001-of-00002.gguf"),
        ("model", "_local/m-00002-of-00002.gguf"),
    ]
    del world.disk.files["/mnt/m-00001-of-00002.gguf"]
    assert isinstance(world.resolve(models).stalled[ModelId("a")], FileMissing)
    beyond = world.resolve("a: {source: 'file:///mnt/m-00003-of-00002.gguf'}")
    assert isinstance(beyond.stalled[ModelId("a")], NoMatch)


def test_a_local_file_in_the_models_folder_stays_where_it_is() -> None:
    """What lies in the models folder already is used in its place, but never our own state."""
    world = World()
    world.disk.files = {"/models/mine/m.gguf": "x", "/models/.reconciler/m.gguf": "x"}
    resolution = world.resolve(
        "a: {source: 'file:///models/mine/m.gguf'}\n"
        "b: {source: 'file:///models/.reconciler/m.gguf'}"
    )
    assert roles_of(resolution, "a") == [("model", "mine/m.gguf")]
    assert isinstance(resolution.stalled[ModelId("b")], NoMatch)


def test_a_lock_from_another_checkout_finds_the_files_of_this_one() -> None:
    """A lock in git names files beside the manifest; they are where this checkout has them."""
    world = World()
    world.disk.files["/srv/m.gguf"] = "x"
    first = world.resolve("a: {source: ./m.gguf}")
    elsewhere = World(folder="/home/me/checkout")
    moved = elsewhere.resolve("a: {source: ./m.gguf}", first.lock)
    (file,) = pin_of(moved, "a").files
    assert file.origin == LocalOrigin(path="/home/me/checkout/m.gguf")
    assert moved.changed == ()
    assert elsewhere.told == []


def test_an_error_that_is_nobodys_fault_upstream_is_not_swallowed() -> None:
    """A full disk while hashing stalls the model with its own error, not another's."""

    class FullDisk(MemoryDisk):
        def describe(self, path: str) -> LocalFile:
            raise DiskFull(f"no room to remember {path}")

    resolution = World(disk=FullDisk()).resolve("a: {source: ./m.gguf}")
    assert isinstance(resolution.stalled[ModelId("a")], DiskFull)
