"""Pins that one host keeps for itself, beside a lock that it shares with others.

A model with `update: track` has its pin moved here, so that a checkout stays clean; and where the
lock cannot be written, what it lacks is kept here too. Each such pin stands in for what the lock
said when it was made. Once the lock says anything else, somebody has decided anew, and it counts no
more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from reconciler.core.asked import still_asked
from reconciler.core.lock import Lock, Pin
from reconciler.core.manifest import ModelSpec
from reconciler.core.names import ModelId
from reconciler.core.pin_names import under_new_names


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedPins:
    """The pins kept here, and by the same IDs those of the lock that they stand in for.

    A model that the lock did not have is in `pins` alone. `refused` are pins that failed the health
    gate, and are not moved to again.
    """

    pins: Mapping[ModelId, Pin] = field(default_factory=dict)
    instead_of: Mapping[ModelId, Pin] = field(default_factory=dict)
    refused: Mapping[ModelId, Pin] = field(default_factory=dict)

    def renamed(self, models: Mapping[ModelId, ModelSpec]) -> MovedPins:
        """Give the same under the IDs that the manifest's `models` have now."""
        return MovedPins(
            pins=under_new_names(self.pins, models),
            instead_of=under_new_names(self.instead_of, models),
            refused=under_new_names(self.refused, models),
        )


def counting_pins(
    lock: Lock, moved: MovedPins, models: Mapping[ModelId, ModelSpec], *, tracked: bool = True
) -> dict[ModelId, Pin]:
    """Give the pins of `moved` that count before the lock's, by the manifest's `models`.

    With `tracked=False` only those do that the lock has no good pin for.
    """
    return {
        key: pin
        for key, pin in moved.pins.items()
        if lock.pins.get(key) == moved.instead_of.get(key)
        and (key not in models or _may_count(models[key], lock.pins.get(key), tracked=tracked))
    }


def _may_count(spec: ModelSpec, locked: Pin | None, *, tracked: bool) -> bool:
    return (tracked and spec.track) or still_asked(locked, spec) is None


def divide_pins(
    pins: Mapping[ModelId, Pin], lock: Lock, moved: MovedPins, *, here: Collection[ModelId]
) -> tuple[Lock, MovedPins]:
    """Divide all pins into what the lock should say and what is kept here.

    Those of `here` are kept here, unless the lock pins the same. `lock` and `moved` are as they are
    now. The lock keeps its own pin of a model whose pin is kept here.
    """
    kept = {
        key: pin
        for key, pin in pins.items()
        if key in here and not _pins_the_same(lock.pins.get(key), pin)
    }
    locked = {
        key: lock.pins[key] if key in here else pin
        for key, pin in pins.items()
        if key not in here or key in lock.pins
    }
    refused = {
        key: pin
        for key, pin in moved.refused.items()
        if key in pins and pins[key].contents != pin.contents
    }
    return Lock(pins=locked), MovedPins(
        pins=kept,
        instead_of={key: lock.pins[key] for key in kept if key in lock.pins},
        refused=refused,
    )


def _pins_the_same(locked: Pin | None, pin: Pin) -> bool:
    return locked is not None and locked.asked == pin.asked and locked.contents == pin.contents
