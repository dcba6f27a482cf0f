"""Which files of a repository a name stands for."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.filesets import (
    list_quants,
    match_mmproj,
    match_path,
    match_quant,
    shard_paths,
)
from reconciler.core.names import InvalidName, RelPath, RepoId, Sha256
from reconciler.core.ports.hub import RemoteFile
from reconciler.errors import FileMissing, NoMatch

REPO = RepoId("acme/Tiny-GGUF")


def remote(*paths: str, sha256: Sha256 | None = None) -> list[RemoteFile]:
    """Files at `paths`, all with a sha256."""
    digest = sha256 or Sha256("a" * 64)
    return [RemoteFile(path=RelPath(path), size_bytes=7, sha256=digest) for path in paths]


def paths_of(files: Sequence[RemoteFile]) -> list[str]:
    """The paths alone."""
    return [file.path for file in files]


PLAIN = remote(
    "README.md",
    "Tiny-Q4_K_M.gguf",
    "Tiny-UD-Q4_K_M.gguf",
    "Tiny.Q8_0.gguf",
    "Tiny-BF16-00001-of-00002.gguf",
    "Tiny-BF16-00002-of-00002.gguf",
    "IQ2/Tiny-a-00001-of-00003.gguf",
    "IQ2/Tiny-a-00002-of-00003.gguf",
    "IQ2/Tiny-a-00003-of-00003.gguf",
    "mmproj-Q8_0.gguf",
    "mtp-Tiny-Q8_0.gguf",
    "Tiny-imatrix.gguf",
)


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        ("Q4_K_M", ["Tiny-Q4_K_M.gguf"]),
        ("q4_k_m", ["Tiny-Q4_K_M.gguf"]),
        ("UD-Q4_K_M", ["Tiny-UD-Q4_K_M.gguf"]),
        ("Q8_0", ["Tiny.Q8_0.gguf"]),
        ("bf16", ["Tiny-BF16-00001-of-00002.gguf", "Tiny-BF16-00002-of-00002.gguf"]),
        ("iq2", [f"IQ2/Tiny-a-0000{number}-of-00003.gguf" for number in (1, 2, 3)]),
    ],
)
def test_a_quant_names_one_whole_set(quant: str, expected: list[str]) -> None:
    """A quant finds its set by name or folder, in order, and no projector or sidecar."""
    files = [*PLAIN]
    random.Random(7).shuffle(files)  # noqa: S311 - an order, not a secret
    assert paths_of(match_quant(files, quant, REPO)) == expected


def test_part_of_a_quant_is_no_match_and_the_list_is_shown() -> None:
    """There is no fallback: an unknown quant is refused with all there is."""
    with pytest.raises(NoMatch) as caught:
        match_quant(PLAIN, "Q4_K", REPO)
    assert "it has: BF16, IQ2, Q4_K_M, Q8_0, UD-Q4_K_M" in str(caught.value)
    assert "acme/Tiny-GGUF:Q4_K_M" in caught.value.hint


def test_two_sets_with_one_quant_are_refused() -> None:
    """Where two sets fit, neither is chosen: both are listed."""
    files = remote("a/Big-Q4_K_M.gguf", "b/Small-Q4_K_M.gguf")
    with pytest.raises(NoMatch) as caught:
        match_quant(files, "Q4_K_M", REPO)
    assert "a/Big-Q4_K_M.gguf, b/Small-Q4_K_M.gguf" in str(caught.value)
    assert "hf://acme/Tiny-GGUF/a/Big-Q4_K_M.gguf" in caught.value.hint


def test_a_missing_shard_is_named() -> None:
    """A set that is not whole never counts as one."""
    files = remote("m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf")
    with pytest.raises(NoMatch, match=r"missing: m-Q8_0-00002-of-00003\.gguf"):
        match_quant(files, "Q8_0", REPO)
    with pytest.raises(NoMatch, match=r"missing: m-Q8_0-00002-of-00003\.gguf"):
        match_path(files, "m-Q8_0-00003-of-00003.gguf", REPO)


def test_a_shard_numbered_beyond_its_set_is_refused() -> None:
    """Piece 3 of 2 is nonsense, not a set."""
    with pytest.raises(NoMatch, match="beyond its end"):
        match_quant(remote("m-Q8_0-00003-of-00002.gguf"), "Q8_0", REPO)
    with pytest.raises(InvalidName):
        shard_paths("/m-00000-of-00002.gguf")


@pytest.mark.parametrize(
    "name", ["m.Q6_K.gguf.part1of2", "m-Q6_K.gguf-split-a", "m-Q6_K-split-a.gguf"]
)
def test_pieces_cut_by_hand_are_refused_as_such(name: str) -> None:
    """Old-style pieces are told from shards: they would have to be joined first."""
    with pytest.raises(NoMatch, match="joined by hand"):
        match_quant(remote(name, "m-Q8_0.gguf"), "Q6_K", REPO)
    with pytest.raises(NoMatch, match="joined with others by hand"):
        match_path(remote(name), name, REPO)


def test_a_repository_without_models_says_what_it_has() -> None:
    """A repository of other files is refused with their names."""
    with pytest.raises(NoMatch, match=r"no GGUF model; it has: model\.safetensors"):
        match_quant(remote("model.safetensors"), "Q4_K_M", REPO)


def test_a_file_without_sha256_is_refused() -> None:
    """What could not be verified is never pinned."""
    files = [RemoteFile(path=RelPath("m-Q8_0.gguf"), size_bytes=7, sha256=None)]
    with pytest.raises(NoMatch, match="no sha256"):
        match_quant(files, "Q8_0", REPO)


def test_a_path_names_its_whole_set() -> None:
    """Naming any shard names the set from shard 1; another file names itself."""
    found = match_path(PLAIN, "IQ2/Tiny-a-00002-of-00003.gguf", REPO)
    assert paths_of(found) == [f"IQ2/Tiny-a-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert paths_of(match_path(PLAIN, "mtp-Tiny-Q8_0.gguf", REPO)) == ["mtp-Tiny-Q8_0.gguf"]


def test_a_missing_path_is_answered_with_the_nearest() -> None:
    """A path with a slip is refused with what was likely meant."""
    with pytest.raises(FileMissing) as caught:
        match_path(PLAIN, "tiny-q4_k_m.gguf", REPO)
    assert "Tiny-Q4_K_M.gguf" in caught.value.hint


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("big/q8/m-Q8_0.gguf", "big/q8/mmproj-F32.gguf"),
        ("big/q4/m-Q4_K_M.gguf", "big/mmproj-BF16.gguf"),
        ("small/m-Q4_K_M.gguf", "x-mmproj-Q8_0.gguf"),
        ("m-BF16.gguf", "mmproj-F16.gguf"),
        ("other/m-BF16.gguf", "mmproj-F16.gguf"),
    ],
)
def test_the_projector_is_the_nearest_one(model: str, expected: str) -> None:
    """`auto`: the deepest shared folder decides, then the bits, then the name."""
    files = remote(
        "x-mmproj-Q8_0.gguf",
        "mmproj-F16.gguf",
        "mmproj-G16.gguf",
        "big/mmproj-BF16.gguf",
        "big/mmproj-F32.gguf",
        "big/q8/mmproj-F32.gguf",
        "mmproj.md",
    )
    assert paths_of(match_mmproj(files, remote(model), "auto", REPO)) == [expected]


def test_no_projector_is_no_fault_unless_it_was_named() -> None:
    """`none` and `auto` give nothing where there is nothing; a named one must be there."""
    model = remote("m-Q8_0.gguf")
    assert match_mmproj(remote("mmproj-F16.gguf"), model, "none", REPO) == ()
    assert match_mmproj(model, model, "auto", REPO) == ()
    with pytest.raises(FileMissing):
        match_mmproj(model, model, "mmproj-F16.gguf", REPO)


_NAMES = st.from_regex(
    r"((Q8_0|a|UD-Q2_K)/)?[ab]([-.](UD-)?(Q4_K_M|q8_0|IQ1_S|it)){0,2}(-0000[12]-of-00002)?\.gguf",
    fullmatch=True,
)


@given(st.sets(_NAMES, max_size=8))
def test_every_listed_quant_can_be_asked_for(names: set[str]) -> None:
    """What the list offers fits at least one set, so that following the advice leads on."""
    files = remote(*names)
    for quant in list_quants(files):
        try:
            found = match_quant(files, quant, REPO)
        except NoMatch as error:
            said = str(error)
        else:
            said = ""
            assert set(paths_of(found)) <= names
        assert not said or "sets that fit" in said or "missing" in said
