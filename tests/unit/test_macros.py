"""Macros become what llama-swap makes of them."""

from __future__ import annotations

import pytest

from reconciler.core.llamaswap.macros import (
    expand,
    expand_value,
    macro_names,
    macro_scope,
    macro_texts,
    value_text,
)

_CONFIG = {
    "macros": {"dir": "/m", "file": "${dir}/${MODEL_ID}.gguf", "temp": 0.70},
    "models": {"a": {"macros": {"dir": "/own", "more": "${temp}"}}, "b": None},
}


def test_a_models_own_macros_come_first() -> None:
    """A model's macro takes the place of the global one, and its ID is a macro too."""
    assert expand("${file} ${more}", macro_scope(_CONFIG, "a")) == "/own/a.gguf 0.7"
    assert expand("${file} ${more}", macro_scope(_CONFIG, "b")) == "/m/b.gguf ${more}"
    assert list(macro_scope(_CONFIG, "a")) == ["MODEL_ID", "dir", "file", "temp", "more"]
    assert list(macro_scope(_CONFIG)) == ["dir", "file", "temp"]
    assert macro_texts(_CONFIG)["temp"] == "0.7"


def test_only_earlier_macros_are_seen() -> None:
    """A macro that uses one declared below it is left unexpanded, as llama-swap leaves it."""
    assert expand("${a}", {"a": "${b}", "b": "x"}) == "${b}"
    assert expand("${b}", {"a": "x", "b": "${a}${PORT}"}) == "x${PORT}"


def test_a_macro_alone_keeps_its_type() -> None:
    """A value that is nothing but a macro becomes the macro's own value."""
    assert expand_value("${n}", {"n": 30}) == 30
    assert expand_value("${n}s", {"n": 30}) == "30s"
    assert expand_value("${o}", {"n": True, "o": "${n}"}) is True
    assert expand_value(5, {"n": 30}) == 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (4096, "4096"),
        (0.70, "0.7"),
        (4096.0, "4096"),
        (0.0, "0"),
        (-1.5, "-1.5"),
        (1e6, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5e-7, "-2.5e-07"),
        (float("inf"), "+Inf"),
        ("x", "x"),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: object, text: str) -> None:
    """A number in a command is the text llama-swap would put there."""
    assert value_text(value) == text


def test_names_are_told_once() -> None:
    """Every macro a text uses is named once; what only the environment knows is left out."""
    assert macro_names("${a}${b}${a} ${env.X} ${not a macro} ${file.x} $c") == ("a", "b")


@pytest.mark.parametrize("macros", [None, 3, "x", ["a"], {"a": None}])
def test_any_shape_is_read(macros: object) -> None:
    """Macros of a wrong shape break nothing here; the rules report them."""
    scope = macro_scope({"macros": macros, "models": macros}, "m")
    assert scope["MODEL_ID"] == "m"
