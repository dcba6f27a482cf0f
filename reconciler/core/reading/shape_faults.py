"""What pydantic found wrong, in our words and with the keys that lead to the place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]

_WANTED: Final = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a mapping",
}


class BadKeys(ValueError):
    """Several keys of one mapping are wrong; `messages` says of each what is."""

    def __init__(self, messages: dict[str, str]) -> None:
        super().__init__("; ".join(messages.values()))
        self.messages = messages


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFault:
    """One thing wrong at `keys`; `at_key` says that the key is, not its value.

    `absent` says that something is missing in what stands at `keys`, which may be right otherwise.
    """

    keys: Place
    message: str
    at_key: bool = False
    absent: bool = False


def shape_faults(
    error: ValidationError, valid_keys: Callable[[Place], tuple[str, ...]]
) -> Iterator[ShapeFault]:
    """Give all that `error` holds; `valid_keys` says what the mapping at a place may hold."""
    for detail in error.errors(include_url=False):
        yield from _faults_of(detail, valid_keys)


def suggestion(word: str, valid: tuple[str, ...]) -> str:
    """Give the nearest of `valid` as the end of a sentence; empty where none is near."""
    near = get_close_matches(word.lower(), valid, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _faults_of(
    detail: ErrorDetails, valid_keys: Callable[[Place], tuple[str, ...]]
) -> Iterator[ShapeFault]:
    keys: Place = detail["loc"]
    at_key = bool(keys) and keys[-1] == "[key]"
    if at_key:
        if detail["type"] != "value_error":
            return  # A key that is no string: the reader of the text has told of it.
        keys = keys[:-1]
    name = repr(keys[-1]) if keys else "the file"
    match detail["type"]:
        case "extra_forbidden":
            valid = valid_keys(keys[:-1])
            near = suggestion(str(keys[-1]), valid) or f"; known are: {', '.join(valid)}"
            yield ShapeFault(keys=keys, message=f"unknown key {name}{near}", at_key=True)
        case "missing":
            yield ShapeFault(keys=keys[:-1], message=f"{name} is missing", at_key=True, absent=True)
        case "value_error":
            problem = detail["ctx"]["error"]
            if isinstance(problem, BadKeys):
                for key, message in problem.messages.items():
                    yield ShapeFault(keys=(*keys, key), message=message, at_key=True)
            else:
                text = str(problem)
                said = f"{name} {text}" if text.startswith("must ") else text
                yield ShapeFault(keys=keys, message=said, at_key=at_key)
        case "string_type":
            quote = ": quote it" if isinstance(detail["input"], bool | int | float) else ""
            yield ShapeFault(keys=keys, message=f"{name} must be a string{quote}")
        case "literal_error":
            expected = detail["ctx"]["expected"].replace("'", "")
            yield ShapeFault(keys=keys, message=f"{name} must be {expected}")
        case kind:
            message = _WANTED.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]
            yield ShapeFault(keys=keys, message=f"{name} {message}")
