"""What lies beside a model's files: notes of digests, and shards of no set."""

from __future__ import annotations

import pytest

from reconciler.core.beside import extra_shards, noted_digest
from reconciler.core.names import RelPath

ONE, OTHER = "1" * 64, "2" * 64


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (f"{ONE}  m.gguf\n", ONE),
        (f"{ONE} *m.gguf\n", ONE),
        (ONE.upper(), ONE),
        (f"{OTHER}  other.gguf\n{ONE}  ./folder/m.gguf\n", ONE),
        (f"{OTHER}  other.gguf\n", None),
        ("see the page of the model\n\n", None),
        ("", None),
    ],
)
def test_a_note_is_read_as_people_and_tools_write_it(text: str, digest: str | None) -> None:
    """A digest alone, a line of `sha256sum`, or a list with this name in it; else nothing."""
    assert noted_digest(text, "m.gguf") == digest


def test_only_shards_named_like_a_set_of_ours_are_extra() -> None:
    """Another count or number of the same set counts; another folder or name does not."""
    ours = [RelPath("a/m-00001-of-00002.gguf"), RelPath("a/m-00002-of-00002.gguf")]
    extra = [RelPath("a/m-00001-of-00003.gguf"), RelPath("a/m-00003-of-00003.gguf")]
    others = [RelPath("b/m-00001-of-00003.gguf"), RelPath("a/n-00001-of-00003.gguf")]
    assert extra_shards(ours, [*others, *reversed(extra), *ours]) == tuple(extra)
    assert extra_shards([RelPath("a/m.gguf")], extra) == ()
