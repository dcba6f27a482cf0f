"""Set expressions are read as llama-swap's matrix reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.llamaswap.matrix import BadExpression, read_expression


@pytest.mark.parametrize(
    ("text", "members", "sets"),
    [
        ("a", ("a",), ()),
        ("a & (b|c) & +base", ("a", "b", "c"), ("base",)),
        ("((a))|a", ("a",), ()),
        (" qwen-2.5_x\n& +s.1 ", ("qwen-2.5_x",), ("s.1",)),
    ],
)
def test_names_are_found(text: str, members: tuple[str, ...], sets: tuple[str, ...]) -> None:
    """Variables, models and other sets are found wherever they stand, each once."""
    parts = read_expression(text)
    assert (parts.members, parts.sets) == (members, sets)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "a &",
        "& a",
        "a & | b",
        "()",
        "(a",
        "a)",
        "a) & (b",
        "a ! b",
        "+",
        "a + b",
        "a(b)",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    """What llama-swap cannot read is no expression here either."""
    with pytest.raises(BadExpression):
        read_expression(text)


@given(st.recursive(st.sampled_from(["a", "b-1", "+s"]), lambda inner: st.tuples(inner, inner)))
def test_every_nesting_is_read(tree: object) -> None:
    """However deep operators and parentheses nest, exactly the leaves are found."""

    def write(node: object) -> str:
        return f"({write(node[0])} & {write(node[1])})" if isinstance(node, tuple) else str(node)

    text = write(tree)
    parts = read_expression(text)
    assert {*parts.members} == {name for name in ("a", "b-1") if name in text}
    assert bool(parts.sets) == ("+s" in text)
