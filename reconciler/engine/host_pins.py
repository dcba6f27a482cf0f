"""The pins of one host: the lock's, and before them those that this host keeps for itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import ModelSpec
from reconciler.core.moved_pins import MovedPins, counting_pins, divide_pins
from reconciler.core.names import ModelId
from reconciler.core.pin_names import under_new_names
from reconciler.core.ports.texts import LockFile
from reconciler.core.reading.lock_text import (
    parse_lock,
    parse_moved_pins,
    render_lock,
    render_moved_pins,
)
from reconciler.engine.host import Host
from reconciler.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class PinTexts:
    """The bytes of both files, None for one that is not there."""

    lock: bytes | None
    moved: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPins:
    """Both files as they are, and `pins`: what they say together, undeclared models included.

    `here` are the models whose pin is the one that this host keeps.
    """

    texts: PinTexts
    lock: Lock
    moved: MovedPins
    pins: Lock
    here: frozenset[ModelId]


def load_pins(host: Host, models: Mapping[ModelId, ModelSpec]) -> HostPins:
    """Read the pins of this host, which declares `models`.

    Raises `LockInvalid`; `Refused` where it may not.
    """
    text = host.lock.read()
    lock = parse_lock(text, host.lock_path) if text is not None else Lock()
    moved_text, moved = read_moved(host.moved, host.moved_path)
    counting = counting_pins(lock, moved, models)
    return HostPins(
        texts=PinTexts(lock=text, moved=moved_text),
        lock=lock,
        moved=moved,
        pins=Lock(pins={**lock.pins, **counting}) if counting else lock,
        here=frozenset(counting),
    )


def read_moved(file: LockFile, path: str) -> tuple[bytes | None, MovedPins]:
    """Read what a host keeps for itself. Raises what `load_pins` raises."""
    text = file.read()
    return text, parse_moved_pins(text, path) if text is not None else MovedPins()


def settled(
    before: HostPins,
    pins: Lock,
    models: Mapping[ModelId, ModelSpec],
    *,
    changed: Collection[ModelId],
) -> HostPins:
    """Say what both files should hold for `pins`, of which `changed` were resolved anew.

    What was kept here stays here, whatever its model is called now; all else goes into the lock.
    """
    here = under_new_names(dict.fromkeys(before.here), models).keys() - frozenset(changed)
    lock, moved = divide_pins(
        pins.pins,
        Lock(pins=under_new_names(before.lock.pins, models)),
        before.moved.renamed(models),
        here=here,
    )
    return replace(before, lock=lock, moved=moved, pins=pins, here=frozenset(here))


def write_pins(host: Host, before: HostPins, after: HostPins) -> HostPins:
    """Write what has changed from `before` to `after`, and give both files as they are then.

    Where the lock cannot be written all that it lacks is kept here, and that is said.

    Raises:
        Refused: the lock changed since it was read.
        ReconcilerError: what is kept here cannot be written either.
    """
    if after.lock != before.lock:
        if host.lock.read() != before.texts.lock:
            raise Refused(
                f"{host.lock_path} changed while we were at work, so it is left as it is",
                hint="run again: the plan is made anew from what stands there now",
            )
        text = render_lock(after.lock)
        try:
            host.lock.write(text)
            after = replace(after, texts=replace(after.texts, lock=text))
        except Refused as error:
            after = _all_kept_here(before, after)
            if after.moved != before.moved:
                host.reporter.say(f"{error.message}; what it lacks is kept in {host.moved_path}")
    if after.moved != before.moved:
        texts = replace(after.texts, moved=_as_text(after.moved))
        host.moved.write(texts.moved)
        after = replace(after, texts=texts)
    return after


def _all_kept_here(before: HostPins, after: HostPins) -> HostPins:
    here = frozenset(after.pins.pins)
    _, moved = divide_pins(after.pins.pins, before.lock, before.moved, here=here)
    return replace(after, lock=before.lock, moved=moved, here=here)


def pins_then(lock: bytes | None, moved: bytes | None, models: Mapping[ModelId, ModelSpec]) -> Lock:
    """Give all pins that a host had, of `models`, by the bytes of both files of then."""
    locked = parse_lock(lock, "the lock of then") if lock is not None else Lock()
    kept = parse_moved_pins(moved, "the pins of then") if moved is not None else MovedPins()
    return Lock(pins={**locked.pins, **counting_pins(locked, kept, models)})


def turned_back(
    host: Host, before: HostPins, pins: Lock, *, lock: bytes | None, moved: bytes | None
) -> HostPins:
    """Say what both files should hold so that `pins` count again: what they held then.

    Pins that have moved since are not moved to again. A lock that cannot be written stays, which is
    told.
    """
    kept = parse_moved_pins(moved, "the pins of then") if moved is not None else MovedPins()
    moved_since = {key: pin for key, pin in before.moved.pins.items() if kept.pins.get(key) != pin}
    kept = replace(kept, refused={**kept.refused, **before.moved.refused, **moved_since})
    locked = parse_lock(lock, "the lock of then") if lock is not None else Lock()
    if lock != before.texts.lock and not host.lock.is_writable():
        host.reporter.say(f"{host.lock_path} cannot be written, so it stays as it is")
        lock, locked = before.texts.lock, before.lock
    return HostPins(
        texts=PinTexts(lock=lock, moved=_as_text(kept)),
        lock=locked,
        moved=kept,
        pins=pins,
        here=frozenset(kept.pins),
    )


def with_moves(pins: HostPins, moves: Mapping[ModelId, Pin]) -> PinTexts:
    """Give the bytes of both files once `moves` are kept here; nothing is written."""
    if not moves:
        return pins.texts
    here = pins.here | moves.keys()
    _, moved = divide_pins({**pins.pins.pins, **moves}, pins.lock, pins.moved, here=here)
    return replace(pins.texts, moved=_as_text(moved))


def _as_text(moved: MovedPins) -> bytes | None:
    return render_moved_pins(moved) if moved != MovedPins() else None


def refuse_pins(host: Host, pins: Mapping[ModelId, Pin]) -> None:
    """Remember that these failed the health gate. Raises what reading and writing raise."""
    _, moved = read_moved(host.moved, host.moved_path)
    host.moved.write(_as_text(replace(moved, refused={**moved.refused, **pins})))
