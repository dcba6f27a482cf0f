"""Find the generation to go back to, and plan the way there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconciler.core.generations import (
    Generation,
    digest_of,
    manifest_from_text,
    unbroken,
)
from reconciler.core.going_back import Return, desired_then, names_since, standing_digest
from reconciler.core.manifest import Manifest
from reconciler.core.reading.lock_text import lock_digest
from reconciler.core.reading.manifest_text import parse_manifest
from reconciler.core.rollout import as_bytes
from reconciler.engine.host import Host
from reconciler.engine.host_pins import load_pins, pins_then, turned_back
from reconciler.engine.prepared import Options, Prepared
from reconciler.engine.reconcile import decide
from reconciler.errors import Refused, UsageError

# Far more than are ever kept.
_ALL: Final = 1_000_000


def prepare_return(
    host: Host, number: int | None, options: Options, *, standing: str | None
) -> Prepared:
    """Plan the way back to generation `number`, None being the one before; nothing is changed.

    `standing` is the digest of the manifest that stands now, None where it cannot be read.

    Raises:
        UsageError: there is no such generation.
        Refused: what it was made of was not kept.
    """
    if unfinished := host.inventory.load_rollout():
        host.reporter.warn(
            f"run {unfinished.run} was cut short, and this is how it left things",
            "the next run finishes it first",
        )
    kept = host.inventory.last_generations(_ALL)
    generation = _chosen(kept, number)
    number = generation.number
    state, then = host.inventory.state_of(number), host.inventory.ledger_of(number)
    if state is None or then is None:
        raise Refused(
            f"generation {number} was made by an earlier version, which kept too little of it",
            hint="choose a later one: see `reconcile history`",
        )
    manifest = parse_manifest(manifest_from_text(state.manifest))
    before = load_pins(host, manifest.models)
    lock, moved = as_bytes(state.lock), as_bytes(state.moved)
    pins = pins_then(lock, moved, manifest.models)
    after = turned_back(host, before, pins, lock=lock, moved=moved)
    config = host.config.read() if host.config is not None else None
    since = (item for item in reversed(kept) if item.number > number)
    back = Return(
        generation=generation,
        manifest=manifest,
        ledger=then,
        config=as_bytes(state.config) if unbroken(kept, number, digest_of(config)) else None,
        renamed=names_since(manifest.models, _manifests(host, since)),
        held=standing_digest(standing, after.texts.lock) if standing is not None else None,
    )
    return decide(
        host,
        options,
        manifest=manifest,
        desired=desired_then(back, pins, lock_digest(pins)),
        ledger=host.inventory.load_ledger(),
        lock=pins,
        pins_before=before,
        pins_after=after,
        back=back,
    )


def generation_of(prepared: Prepared) -> Generation:
    """Give the generation that a plan of `prepare_return` goes back to."""
    assert prepared.back is not None
    return prepared.back.generation


def _chosen(kept: Sequence[Generation], number: int | None) -> Generation:
    if number is None:
        if len(kept) < 2:
            raise UsageError(
                "there is no earlier generation to go back to",
                hint="each run that applies something makes one: see `reconcile history`",
            )
        return kept[1]
    for item in kept:
        if item.number == number:
            return item
    raise UsageError(f"generation {number} is not kept", hint="see `reconcile history`")


def _manifests(host: Host, generations: Iterable[Generation]) -> Iterator[Manifest]:
    """Give the manifests of these that may rename a model."""
    for generation in generations:
        state = host.inventory.state_of(generation.number)
        if state is not None and "renamed_from" in state.manifest:
            yield parse_manifest(manifest_from_text(state.manifest))
