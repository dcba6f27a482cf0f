"""The lock as JSON: sorted and stable, made to be committed and to be read in a review."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

from reconciler.core.destination import destination
from reconciler.core.lock import Lock, Pin, PinnedFile
from reconciler.core.moved_pins import MovedPins
from reconciler.core.names import ModelId
from reconciler.core.reading.shape_faults import Place, shape_faults
from reconciler.core.reading.source_text import url_path
from reconciler.core.reading.yaml_text import YamlText, read_yaml
from reconciler.core.source import HubOrigin, LocalOrigin, UrlOrigin
from reconciler.core.values import Json
from reconciler.errors import Fault, LockInvalid

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from reconciler.core.reading.lock_schema import PinShape

    S = TypeVar("S", bound=BaseModel)

LOCK_VERSION: Final = 1
_CONFLICT: Final = re.compile(rb"^(<<<<<<< |=======\r?$|>>>>>>> )", re.MULTILINE)
_MEND: Final = "Take the lock back from git, or remove it and run `reconcile lock`."
_MEND_MOVED: Final = "Remove it: then the lock alone decides, and what it lacks is resolved anew."


def parse_lock(data: bytes, path: str) -> Lock:
    """Read a lock; `path` is how errors name it.

    Raises:
        LockInvalid: it is no lock, of a version we do not know, or was left in a merge conflict.
    """
    conflict = _CONFLICT.search(data)
    if conflict:
        line = data.count(b"\n", 0, conflict.start()) + 1
        raise LockInvalid(
            [Fault(path=path, line=line, column=1, message="a merge conflict was left here")],
            hint="Take either side whole, then run `reconcile lock`: it resolves what is missing.",
        )
    from reconciler.core.reading.lock_schema import LockShape

    return Lock(pins=_pins(_checked(data, path, LockShape, _MEND).models))


def parse_moved_pins(data: bytes, path: str) -> MovedPins:
    """Read the pins that a host keeps for itself; `path` is how errors name it.

    Raises:
        LockInvalid: it is none, or of a version we do not know.
    """
    from reconciler.core.reading.lock_schema import MovedPinsShape

    shape = _checked(data, path, MovedPinsShape, _MEND_MOVED)
    return MovedPins(
        pins=_pins(shape.models),
        instead_of=_pins(shape.instead_of),
        refused=_pins(shape.refused),
    )


def _pins(shapes: Mapping[str, PinShape]) -> dict[ModelId, Pin]:
    return {ModelId(name): pin.value() for name, pin in shapes.items()}


def _checked(data: bytes, path: str, shape: type[S], mend: str) -> S:
    from pydantic import ValidationError

    value = _load(data, path, mend)
    version = value.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > LOCK_VERSION:
        line, column = read_yaml(data, path).place(("version",))
        message = f"the lock has version {version}, and this program knows {LOCK_VERSION} only"
        raise LockInvalid(
            [Fault(path=path, line=line, column=column, message=message)],
            hint="Update reconciler, or take the lock back from git.",
        )
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        # Only now is it worth finding out where in the text everything stands.
        text = read_yaml(data, path)
        raise LockInvalid(_faults(error, text), hint=mend) from error


def render_lock(lock: Lock) -> bytes:
    """Give the lock as JSON: the same bytes for the same lock, in whatever order it was made."""
    return _rendered({"models": lock.pins})


def lock_digest(lock: Lock) -> str:
    """Give the sha256 of all that a lock says, in whatever order it was made."""
    # Not of the text for people, which takes five times as long to write.
    text = json.dumps(_pins_json(lock.pins), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def render_moved_pins(moved: MovedPins) -> bytes:
    """Give the pins that a host keeps for itself as JSON, in the form of the lock."""
    return _rendered(
        {"models": moved.pins, "instead_of": moved.instead_of, "refused": moved.refused}
    )


def _rendered(parts: Mapping[str, Mapping[ModelId, Pin]]) -> bytes:
    pins = {name: _pins_json(part) for name, part in parts.items()}
    text = json.dumps(
        {"version": LOCK_VERSION, **pins}, indent=2, sort_keys=True, ensure_ascii=False
    )
    return f"{text}\n".encode()


def _pins_json(pins: Mapping[ModelId, Pin]) -> dict[str, Json]:
    return {model: _pin_json(pin) for model, pin in pins.items()}


def _pin_json(pin: Pin) -> dict[str, Json]:
    asked: dict[str, Json] = {
        "source": pin.asked.source,
        "revision": pin.asked.revision,
        "mmproj": pin.asked.mmproj,
        "draft": pin.asked.draft,
        "files": dict(pin.asked.files),
    }
    parts: list[Json] = [
        {"role": role, **dict(place), "files": [_file_json(file) for file in files]}
        for (role, place), files in _grouped(pin.files)
    ]
    return {"asked": asked, "parts": parts}


def _grouped(
    files: Iterable[PinnedFile],
) -> Iterable[tuple[tuple[str, tuple[tuple[str, str], ...]], list[PinnedFile]]]:
    """Join neighbours of one role from one place, in their order."""
    for key, group in groupby(files, key=lambda file: (file.role, _place_of(file))):
        members = list(group)
        # A URL names one file by itself.
        for part in [[file] for file in members] if "url" in dict(key[1]) else [members]:
            yield key, part


def _place_of(file: PinnedFile) -> tuple[tuple[str, str], ...]:
    match file.origin:
        case HubOrigin(repo=repo, commit=commit):
            return ("repo", repo), ("commit", commit)
        case UrlOrigin(url=url):
            return (("url", url),)
        case LocalOrigin(path=path):
            return (("local", posixpath.dirname(path)),)
        case _:
            assert_never(file.origin)


def _file_json(file: PinnedFile) -> dict[str, Json]:
    match file.origin:
        case HubOrigin(path=path):
            name: str = path
        case UrlOrigin(url=url):
            name = url_path(url).name
        case LocalOrigin(path=path):
            name = posixpath.basename(path)
        case _:
            assert_never(file.origin)
    words: dict[str, Json] = {"path": name, "size": file.size_bytes, "sha256": file.sha256}
    # Where a local file goes depends on where the models folder was.
    if isinstance(file.origin, LocalOrigin) or file.path != destination(file.origin, None):
        words["dest"] = file.path
    return words


def _load(data: bytes, path: str, mend: str) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once_each)
    except _DuplicateKey as error:
        faults = read_yaml(data, path).faults or [
            Fault(path=path, line=0, column=0, message=f"the key {error.key!r} stands twice")
        ]
        raise LockInvalid(faults, hint=mend) from error
    except json.JSONDecodeError as error:
        fault = Fault(
            path=path, line=error.lineno, column=error.colno, message=f"not JSON: {error.msg}"
        )
        raise LockInvalid([fault], hint=mend) from error
    except (ValueError, RecursionError) as error:
        fault = Fault(path=path, line=0, column=0, message=f"not a lock: {error}")
        raise LockInvalid([fault], hint=mend) from error
    if not isinstance(value, dict):
        fault = Fault(path=path, line=1, column=1, message="not a lock: it is no JSON object")
        raise LockInvalid([fault], hint=mend)
    return value


class _DuplicateKey(Exception):
    """A JSON object has one key twice, and readers would differ on which counts."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKey(key)
        result[key] = value
    return result


def _faults(error: ValidationError, text: YamlText) -> Iterable[Fault]:
    for fault in shape_faults(error, _no_suggestions):
        line, column = text.place(fault.keys, at_key=fault.at_key)
        where = ".".join(str(key) for key in fault.keys)
        message = f"{where}: {fault.message}" if where else fault.message
        yield Fault(path=text.path, line=line, column=column, message=message)


def _no_suggestions(_: Place) -> tuple[str, ...]:
    return ()
