"""The lock's JSON, there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.destination import destination
from reconciler.core.lock import Asked, Lock, Pin, PinnedFile
from reconciler.core.names import Commit, ModelId, RelPath, RepoId, Sha256
from reconciler.core.reading.lock_text import parse_lock, render_lock
from reconciler.core.source import HubOrigin, LocalOrigin, UrlOrigin
from reconciler.errors import LockInvalid
from tests.support.searching import trying

COMMIT = "c" * 40
DIGEST = "d" * 64


def hub_file(path: str, role: str = "model", commit: str = COMMIT) -> PinnedFile:
    """A pinned file of acme/Tiny."""
    origin = HubOrigin(repo=RepoId("acme/Tiny"), commit=Commit(commit), path=RelPath(path))
    return PinnedFile(
        role=role,
        path=destination(origin, None),
        size_bytes=7,
        sha256=Sha256(DIGEST),
        origin=origin,
    )


def locked(*files: PinnedFile) -> Lock:
    """A lock with one model."""
    asked = Asked(source="acme/Tiny:Q8_0", files={"style": "acme/Tiny:Q4_0"})
    return Lock(pins={ModelId("tiny"): Pin(asked=asked, files=files)})


def test_the_lock_reads_well_in_a_review() -> None:
    """The JSON holds each fact once: the place of a hub's file follows from its repository."""
    lock = locked(
        hub_file("m-00001-of-00002.gguf"),
        hub_file("m-00002-of-00002.gguf"),
        hub_file("mmproj.gguf", role="mmproj"),
    )
    data = render_lock(lock)
    file = {"sha256": DIGEST, "size": 7}
    assert json.loads(data) == {
        "version": 1,
        "models": {
            "tiny": {
                "asked": {
                    "source": "acme/Tiny:Q8_0",
                    "revision": None,
                    "mmproj": "none",
                    "draft": None,
                    "files": {"style": "acme/Tiny:Q4_0"},
                },
                "parts": [
                    {
                        "role": "model",
                        "repo": "acme/Tiny",
                        "commit": COMMIT,
                        "files": [
                            {"path": "m-00001-of-00002.gguf", **file},
                            {"path": "m-00002-of-00002.gguf", **file},
                        ],
                    },
                    {
                        "role": "mmproj",
                        "repo": "acme/Tiny",
                        "commit": COMMIT,
                        "files": [{"path": "mmproj.gguf", **file}],
                    },
                ],
            }
        },
    }
    assert data.endswith(b"}\n")
    assert b'\n  "models": {' in data
    assert data.index(b'"models"') < data.index(b'"version"')


_words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)
_names = st.from_regex(r"[a-zA-Zäß0-9][a-zA-Z0-9 ._-]{0,6}[a-z]", fullmatch=True)
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join).map(RelPath)
_origins = st.one_of(
    st.builds(
        HubOrigin,
        repo=st.sampled_from([RepoId("acme/Tiny"), RepoId("Acme/other.gguf")]),
        commit=st.sampled_from([Commit("a" * 40), Commit("b" * 40)]),
        path=_paths,
    ),
    st.builds(UrlOrigin, url=st.sampled_from(["https://x.org/a%20b.gguf", "http://y:1/m?t=2"])),
    st.builds(LocalOrigin, path=_paths.map("/{}".format)),
)
_files = st.builds(
    PinnedFile,
    role=st.sampled_from(["model", "mmproj", "draft", "file.style", "file.a-b"]),
    path=_paths,
    size_bytes=st.integers(0, 2**45),
    sha256=st.sampled_from([Sha256("1" * 64), Sha256("2" * 64)]),
    origin=_origins,
)
_derived = _files.map(
    lambda file: PinnedFile(
        role=file.role,
        path=destination(file.origin, None),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        origin=file.origin,
    )
)
_pins = st.builds(
    Pin,
    asked=st.builds(
        Asked,
        source=_words,
        revision=st.none() | _words,
        mmproj=_words,
        draft=st.none() | _words,
        files=st.dictionaries(_words, _words, max_size=2),
    ),
    files=st.lists(_files | _derived, min_size=1, max_size=5).map(tuple),
)
_locks = st.builds(Lock, pins=st.dictionaries(_names.map(ModelId), _pins, max_size=3))


@trying(20)
@given(_locks, st.randoms(use_true_random=False))
def test_a_lock_survives_its_text_whatever_its_order(lock: Lock, order: Any) -> None:
    """Reading what was written gives the same lock, and the bytes do not tell how it was made."""
    data = render_lock(lock)
    assert parse_lock(data, "reconcile.lock") == lock
    pins = list(lock.pins.items())
    order.shuffle(pins)
    assert render_lock(Lock(pins=dict(pins))) == data


def broken(change: Any) -> bytes:
    """A sound lock's text after `change` was made to its JSON."""
    value = json.loads(render_lock(locked(hub_file("m.gguf"))))
    change(value)
    return json.dumps(value, indent=2).encode()


def part(value: Any) -> Any:
    """The first part of the one model."""
    return value["models"]["tiny"]["parts"][0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: part(v)["files"][0].update(path="../m.gguf"), "'..'"),
        (lambda v: part(v)["files"][0].update(dest="/etc/passwd"), "below the models folder"),
        (lambda v: part(v)["files"][0].update(dest=".reconciler/x"), "ours alone"),
        (lambda v: part(v)["files"][0].update(size=-1), "size"),
        (lambda v: part(v)["files"][0].update(size=True), "size"),
        (lambda v: part(v)["files"][0].update(sha256="abc"), "not a sha256"),
        (lambda v: part(v).update(commit="main"), "not a commit"),
        (lambda v: part(v).update(repo="tiny"), "not a repository"),
        (lambda v: part(v).update(role="weights"), "no role"),
        (lambda v: part(v).update(url="https://x.org/m"), "a part comes from"),
        (lambda v: part(v).pop("commit"), "a part comes from"),
        (lambda v: part(v).update(files=[]), "files"),
        (lambda v: v["models"]["tiny"]["asked"].pop("mmproj"), "'mmproj' is missing"),
        (lambda v: v["models"]["tiny"]["asked"].update(source="a\x1b"), "control"),
        (lambda v: v["models"]["tiny"].update(extra=1), "unknown key 'extra'"),
        (lambda v: v["models"].update({" x": v["models"]["tiny"]}), "not a model ID"),
        (lambda v: v.update(version="1"), "version"),
        (lambda v: v.pop("version"), "'version' is missing"),
    ],
)
def test_a_lock_that_is_not_right_is_refused_with_its_place(change: Any, says: str) -> None:
    """A lock edited by hand is checked to the last word: no path in it can lead astray."""
    with pytest.raises(LockInvalid) as caught:
        parse_lock(broken(change), "reconcile.lock")
    assert says in str(caught.value)
    assert all(fault.path == "reconcile.lock" and fault.line for fault in caught.value.faults)


def test_the_place_of_a_fault_is_its_line() -> None:
    """The line given is the one an editor must go to."""
    data = broken(lambda v: part(v)["files"][0].update(sha256="abc"))
    with pytest.raises(LockInvalid) as caught:
        parse_lock(data, "reconcile.lock")
    (fault,) = caught.value.faults
    assert '"sha256": "abc"' in data.decode().splitlines()[fault.line - 1]


def test_a_lock_of_the_future_asks_for_an_update() -> None:
    """A newer format is named as such, not taken for damage."""
    with pytest.raises(LockInvalid, match="version 2") as caught:
        parse_lock(b'{\n  "version": 2, "models": []\n}\n', "reconcile.lock")
    assert "Update reconciler" in caught.value.hint


def test_a_merge_conflict_is_recognised() -> None:
    """Markers that git left are named with their line, and how to go on is said."""
    data = b'{\n<<<<<<< HEAD\n  "version": 1\n=======\n>>>>>>> theirs\n}\n'
    with pytest.raises(LockInvalid, match=r"reconcile\.lock:2:1: a merge conflict") as caught:
        parse_lock(data, "reconcile.lock")
    assert "reconcile lock" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b'{"version": 1,\n "models": {', "reconcile.lock:2:"),
        (b"[]", "no JSON object"),
        (b"\xff", "not a lock"),
        (b'{"version": 1, "models": {},\n "models": {}}', "reconcile.lock:2:2: 'models' stands"),
        (b"[" * 100_000, "not a lock"),
    ],
)
def test_what_is_no_lock_is_said_so(data: bytes, says: str) -> None:
    """Any bytes at all are answered with one clear error."""
    with pytest.raises(LockInvalid) as caught:
        parse_lock(data, "reconcile.lock")
    assert says in str(caught.value)
