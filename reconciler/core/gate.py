"""What the health gate asks of llama-swap: its model list and, where wanted, an answer of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.core.edits import ConfigView
from reconciler.core.ledger import Ledger, LedgerModel
from reconciler.core.llamaswap.model_rules import answering_names
from reconciler.core.names import ModelId
from reconciler.core.values import Json

# What llama-swap itself takes for a `healthCheckTimeout` that is not there, or too short.
_DEFAULT_LOAD_SECONDS: Final = 120
_SHORTEST_LOAD_SECONDS: Final = 15
# Beyond the time that llama-swap gives a model to load: it tells then why it did not.
_ANSWER_SECONDS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The IDs that must be listed, and those that must not.

    `changed` are the models whose entry or files are others than before: what a probe asks.
    `load_seconds` is how long one of them may take to load and answer.
    """

    expected: frozenset[str]
    absent: frozenset[str]
    changed: tuple[str, ...] = ()
    load_seconds: float = _DEFAULT_LOAD_SECONDS + _ANSWER_SECONDS

    def missing(self, listed: Collection[str]) -> tuple[str, ...]:
        """Give the expected IDs that `listed` lacks."""
        return tuple(sorted(self.expected.difference(listed)))

    def lingering(self, listed: Collection[str]) -> tuple[str, ...]:
        """Give the IDs that `listed` holds and should not."""
        return tuple(sorted(self.absent.intersection(listed)))


def expect_models(
    config: ConfigView,
    before: Ledger,
    after: Ledger,
    listed_before: Collection[str],
) -> Gate:
    """Decide what must be listed once `config` is live.

    Expected: every ID of ours that is not `unlisted`, and every ID that was listed before and that
    the config still holds. Absent: the IDs we took out of the config. Aliases, selectors and peers
    are never counted as extra: whatever else is listed is not our business.
    """
    # An ID we took out may live on as another name of a model; then it may still be listed.
    names = answering_names(config.data).keys()
    listable = {key for key, entry in config.models.items() if not _is_unlisted(entry.fields)}
    ours = {key for key, model in after.models.items() if model.entry is not None}
    gone = {key for key, model in before.models.items() if model.entry is not None}
    return Gate(
        expected=frozenset(listable & (ours | set(listed_before))),
        absent=frozenset(gone - names),
        changed=tuple(
            sorted(
                key
                for key in ours & config.models.keys()
                if _served(before, key) != _served(after, key)
            )
        ),
        load_seconds=load_seconds(config.data),
    )


def load_seconds(config: Mapping[str, Json]) -> float:
    """Give how long a model may take to load and answer, by the config's own word.

    It is llama-swap that ends a load by its `healthCheckTimeout`, and tells why; hence some more.
    """
    seconds = config.get("healthCheckTimeout")
    if not isinstance(seconds, int):
        seconds = _DEFAULT_LOAD_SECONDS
    return max(seconds, _SHORTEST_LOAD_SECONDS) + _ANSWER_SECONDS


def _served(ledger: Ledger, model: str) -> tuple[LedgerModel | None, tuple[object, ...]]:
    """Give what a ledger says of a model and of its files' bytes."""
    known = ledger.models.get(ModelId(model))
    files = known.files if known is not None else ()
    return known, tuple(ledger.files.get(path) for path in files)


def _is_unlisted(fields: Mapping[str, object]) -> bool:
    field = fields.get("unlisted")
    return getattr(field, "value", False) is True
