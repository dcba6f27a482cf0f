"""What the health gate asks of llama-swap's model list."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reconciler.core.edits import ConfigView
from reconciler.core.ledger import Ledger
from reconciler.core.llamaswap.model_rules import answering_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The IDs that must be listed, and those that must not."""

    expected: frozenset[str]
    absent: frozenset[str]

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
    )


def _is_unlisted(fields: Mapping[str, object]) -> bool:
    field = fields.get("unlisted")
    return getattr(field, "value", False) is True
