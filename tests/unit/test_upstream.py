"""What upstream says of the pins: asked once for each commit, told once for each difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.lock import Asked, Pin, PinnedFile
from reconciler.core.names import Commit, ModelId, RelPath, RepoId
from reconciler.core.ports.hub import RemoteFile, Upstream
from reconciler.core.source import UrlOrigin
from reconciler.engine.upstream import check_pins
from reconciler.errors import ReconcilerError, RepositoryGated, RevisionMissing, Unreachable
from tests.support.fakes import NoTransfer
from tests.support.worlds import digest, pinned

COMMIT = Commit("0" * 40)


@dataclass(kw_only=True)
class Hub:
    """A hub that says of each repository what it is told, and counts how often it is asked."""

    says: Mapping[str, tuple[RemoteFile, ...] | ReconcilerError]
    asked: list[str] = field(default_factory=list)

    def resolve_revision(self, repo: RepoId, revision: str | None, *, anew: bool = False) -> Commit:
        """Nobody asks what a name stands for."""
        raise NotImplementedError

    def look_up(self, repo: RepoId, revision: str | None) -> Upstream:
        """Nobody asks."""
        raise NotImplementedError

    def list_files(
        self, repo: RepoId, commit: Commit, *, anew: bool = False
    ) -> tuple[RemoteFile, ...]:
        """Give the files, if they are asked for anew."""
        assert (anew, commit) == (True, COMMIT)
        self.asked.append(repo)
        said = self.says[repo]
        if isinstance(said, ReconcilerError):
            raise said
        return said


class Web(NoTransfer):
    """A server on which every file has ten bytes."""

    def measure(self, url: str) -> int:  # noqa: ARG002 - all are alike
        """Give the size."""
        return 10


def remote(content: str, *, name: str = "m.gguf", size_bytes: int = 100) -> RemoteFile:
    """Give a file as the hub tells of it."""
    return RemoteFile(path=RelPath(name), size_bytes=size_bytes, sha256=digest(content))


def pins(*files: PinnedFile) -> dict[ModelId, Pin]:
    """Give a pin for each file."""
    return {
        ModelId(f"m{number}"): Pin(asked=Asked(source=""), files=(file,))
        for number, file in enumerate(files)
    }


def findings(hub: Hub, *files: PinnedFile) -> list[str]:
    """Check; gives what was found, without the hints."""
    return [finding for finding, _ in check_pins(pins(*files), hub=hub, transfer=Web())]


def test_upstream_that_agrees_is_asked_once_for_each_commit() -> None:
    """Several models of one repository and commit make one request, and nothing is found."""
    hub = Hub(says={"acme/a": (remote("a"), remote("b", name="b.gguf"))})
    files = (pinned("a", "a"), pinned("a", "b", name="b.gguf"), pinned("a", "a"))
    assert (findings(hub, *files), hub.asked) == ([], ["acme/a"])


def test_other_bytes_and_missing_files_are_found() -> None:
    """Each file that differs is told once, whether its digest, its size or it is missing."""
    hub = Hub(
        says={
            "acme/a": (remote("tampered"),),
            "acme/b": (remote("b", size_bytes=99),),
            "acme/c": (),
        }
    )
    files = (pinned("a", "a"), pinned("b", "b"), pinned("c", "c"), pinned("c", "c"))
    assert findings(hub, *files) == [
        f"acme/a names other bytes for m.gguf at {COMMIT} than the lock",
        f"acme/b names other bytes for m.gguf at {COMMIT} than the lock",
        f"acme/c has no m.gguf at {COMMIT} any more",
    ]


def test_what_fails_one_repository_does_not_stop_the_others() -> None:
    """A commit that is gone, or a gate, is told of, and the rest is still checked."""
    hub = Hub(
        says={
            "acme/a": RevisionMissing("gone"),
            "acme/b": RepositoryGated("accept its terms"),
            "acme/c": (),
        }
    )
    found = findings(hub, pinned("a", "a"), pinned("b", "b"), pinned("c", "c"))
    assert ("any more, and the lock pins it" in found[0], "accept its terms" in found[1]) == (
        True,
        True,
    )
    assert len(found) == 3


def test_hub_that_does_not_answer_is_asked_no_further() -> None:
    """One missing answer is one finding: the hub is not tried for every pin."""
    hub = Hub(says={"acme/a": Unreachable("no answer"), "acme/b": ()})
    found = findings(hub, pinned("a", "a"), pinned("b", "b"))
    assert (len(found), hub.asked) == (1, ["acme/a"])


def test_plain_url_is_asked_for_its_length() -> None:
    """Of a plain URL only the size can be compared without fetching it."""
    file = PinnedFile(
        role="model",
        path=RelPath("_url/host/m.gguf"),
        size_bytes=11,
        sha256=digest("m"),
        origin=UrlOrigin(url="https://host/m.gguf?key=secret"),
    )
    (found,) = findings(Hub(says={}), file)
    assert found == "_url/host/m.gguf has 10 bytes on its server now, not 11"
