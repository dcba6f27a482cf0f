"""The key-value part of a header: what is wanted of it is kept, and all else passed over."""

from __future__ import annotations

import struct
from collections.abc import Container, Mapping
from hashlib import blake2b
from typing import Final

from reconciler.core.gguf.window import Window

_MOST_KEYS: Final = 65_536
_LONGEST_KEY_BYTES: Final = 65_535
_LONGEST_KEPT_KEY_BYTES: Final = 128
_LONGEST_KEPT_TEXT_BYTES: Final = 1024 * 1024
_MOST_KEPT_ELEMENTS: Final = 1024
_MOST_KEPT_KEYS: Final = 256
_STRING: Final = 8
_ARRAY: Final = 9
# The letter that `struct` has for each type of number.
_NUMBERS: Final = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_FORMS: Final = {kind: struct.Struct(f"<{letter}") for kind, letter in _NUMBERS.items()}

# None: the key is there, and its value is too long to be kept, or of a kind that never is.
Value = bool | int | float | str | tuple[bool | int | float, ...] | None
Metadata = Mapping[str, Value]


def check_count(window: Window, count: int) -> None:
    """Refuse a header that says it has more keys than any model; raises `GgufInvalid`."""
    if count > _MOST_KEYS:
        raise window.invalid(f"it says it has {count} keys, more than {_MOST_KEYS}")


def read_metadata(
    window: Window, count: int, *, keys: Container[str], endings: Container[str]
) -> Metadata:
    """Read the `count` pairs that begin here.

    Args:
        window: where they begin; it stands behind them afterwards.
        count: how many the header says there are.
        keys: keys that are wanted, whatever their value.
        endings: what a wanted key may have after its first point. Only numbers are kept of these,
            and only of so many keys that what is kept of a hostile header stays small.

    Raises:
        GgufInvalid: they are not as the format has them, or past its limits.
    """
    found: dict[str, Value] = {}
    seen: set[bytes] = set()
    for _ in range(count):
        key = _read_key(window)
        # A long key is remembered by its digest, which is shorter.
        mark = key if len(key) <= 64 else blake2b(key).digest()
        if mark in seen:
            raise window.invalid("a key stands there twice")
        seen.add(mark)
        name = key.decode(errors="replace") if len(key) <= _LONGEST_KEPT_KEY_BYTES else ""
        kind = window.uint32()
        if name in keys or (
            kind != _STRING and name.partition(".")[2] in endings and len(found) < _MOST_KEPT_KEYS
        ):
            found[name] = _read_value(window, kind)
        else:
            _skip_value(window, kind)
    return found


def _read_key(window: Window) -> bytes:
    length = window.uint64()
    if length == 0:
        raise window.invalid("a key is empty")
    if length > _LONGEST_KEY_BYTES:
        raise window.invalid(f"a key has {length} bytes, more than {_LONGEST_KEY_BYTES}")
    return window.take(length)


def _read_value(window: Window, kind: int) -> Value:
    if kind == _STRING:
        length = window.uint64()
        if length <= _LONGEST_KEPT_TEXT_BYTES:
            return window.take(length).decode(errors="replace")
        window.skip(length)
        return None
    if kind == _ARRAY:
        element, count = _read_array_head(window)
        if element in _FORMS and count <= _MOST_KEPT_ELEMENTS:
            data = window.take(count * _FORMS[element].size)
            return struct.unpack(f"<{count}{_NUMBERS[element]}", data)
        _skip_elements(window, element, count)
        return None
    form = _form(window, kind)
    number: bool | int | float = form.unpack(window.take(form.size))[0]
    return number


def _skip_value(window: Window, kind: int) -> None:
    if kind == _STRING:
        window.skip(window.uint64())
    elif kind == _ARRAY:
        _skip_elements(window, *_read_array_head(window))
    else:
        window.skip(_form(window, kind).size)


def _read_array_head(window: Window) -> tuple[int, int]:
    """Give type and number of the elements that follow, which the rest can hold."""
    element, count = window.uint32(), window.uint64()
    if element == _ARRAY:
        raise window.invalid("an array of arrays")
    size_bytes = 8 if element == _STRING else _form(window, element).size
    if count * size_bytes > window.left_bytes:
        raise window.invalid(f"an array of {count} elements goes on past the end")
    return element, count


def _skip_elements(window: Window, element: int, count: int) -> None:
    if element == _STRING:
        window.skip_strings(count)
    else:
        window.skip(count * _form(window, element).size)


def _form(window: Window, kind: int) -> struct.Struct:
    form = _FORMS.get(kind)
    if form is None:
        raise window.invalid(f"a value of unknown type {kind}")
    return form
