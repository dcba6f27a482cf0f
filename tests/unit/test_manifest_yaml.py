"""The reader below the manifest: both of its parsers mean the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.core.reading import yaml_text as manifest_yaml
from reconciler.core.reading.yaml_text import YamlText, read_yaml


def test_what_the_fast_parser_does_not_know_is_still_read() -> None:
    """A URL in a flow mapping is good YAML 1.2, though the fast parser refuses it."""
    read = read_yaml(b"{source: https://x.org/m.gguf, n: [a:b]}\n", "m.yaml")
    assert read.value == {"source": "https://x.org/m.gguf", "n": ["a:b"]}
    assert read.place(("source",)) == (1, 10)


def test_a_place_that_is_not_in_the_text_is_the_nearest_around_it() -> None:
    """A fault about something missing is told where it would stand."""
    read = read_yaml(b"a:\n  b: [1, 2]\n  c:\n", "m.yaml")
    assert read.place(("a", "b", 1)) == (2, 10)
    assert read.place(("a", "b", 7)) == (2, 6)
    assert read.place(("a", "x", "y")) == (2, 3)
    assert read.place(("a", "c")) == (3, 3)
    assert read.place(("x",)) == (1, 1)


def test_an_own_key_is_found_before_a_merged_one() -> None:
    """Where a mapping overrides what it merges, the fault is shown at its own word."""
    read = read_yaml(b"a: &a {k: 1, l: 2}\nb:\n  <<: *a\n  k: 3\n", "m.yaml")
    assert read.value == {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}
    assert read.place(("b", "k")) == (4, 6)
    assert read.place(("b", "l")) == (1, 17)


_PIECES = (
    *("a", "b", ":", ": ", "- ", "\n", "\n  ", "[", "]", "{", "}", ", ", "'", '"', "|\n", "&x "),
    *("*x", "<<: ", "1", "~", "on", "#", " # c", "? ", "!!str ", "...\n", "---\n", "2026-01-02"),
)  # fmt: skip
_yaml = st.lists(st.sampled_from(_PIECES), max_size=24).map("".join)


@given(_yaml)
def test_both_parsers_mean_the_same(text: str) -> None:
    """What the fast parser takes, the exact one takes with the same values and the same faults."""

    def read(*, pure: bool) -> YamlText | None:
        from ruamel.yaml.error import YAMLError

        try:
            return manifest_yaml._load(text, "m.yaml", pure=pure)
        except YAMLError:
            return None

    fast = read(pure=False)
    if fast is not None and isinstance(fast.value, dict):
        exact = read(pure=True)
        assert exact is not None
        assert repr(exact.value) == repr(fast.value)
        assert [each.message for each in exact.faults] == [each.message for each in fast.faults]


@pytest.mark.parametrize("data", [b"", b"# only words\n", b"---\n", b"~\n"])
def test_nothing_is_read_as_nothing(data: bytes) -> None:
    """An empty text is readable and holds no value; what that means is the caller's to say."""
    read = read_yaml(data, "m.yaml")
    assert (read.readable, read.value, read.faults) == (True, None, ())


@given(st.binary(max_size=60) | _yaml.map(str.encode))
@example(b"? - - ")
def test_any_bytes_are_answered(data: bytes) -> None:
    """The reader never raises: what it cannot read has a fault with a place."""
    read = read_yaml(data, "m.yaml")
    assert read.readable or all(fault.line and fault.column for fault in read.faults)
    assert read.readable or read.faults
