"""The three states side by side, llama-swap's config included; nothing is decided yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from reconciler.core.actions import Forget, Place, Prune, Replace
from reconciler.core.config_homes import guard_old_home
from reconciler.core.config_sources import ConfigSources, Merged, read_sources
from reconciler.core.desired import Desired
from reconciler.core.difference import Differences, compare, compare_entries
from reconciler.core.discover import LONGEST_KEY, Discovery, discover
from reconciler.core.edits import ConfigView
from reconciler.core.file_actions import place_actions, prune_actions
from reconciler.core.ledger import Ledger
from reconciler.core.memberships import join_memberships
from reconciler.core.names import ModelId
from reconciler.core.observed import Observed
from reconciler.core.ownership import owned_in
from reconciler.core.refusal import Refusal
from reconciler.core.renames import Renaming, is_away, rename_models
from reconciler.core.yamltext.config import read_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is desired, observed and owned, and how they differ.

    `server` is llama-server's path in commands. `known` is the ledger before models were renamed,
    `ledger` the one after. `view` is llama-swap's config as it stands, `merged` with the other
    `sources` and models renamed; all three are None where no config is managed. `declared` are the
    differences of the manifest's models alone, `differences` those and all that is discovered, with
    what becomes of groups. `places` are the files that become visible, `prunes` those that nobody
    wants any more.
    """

    desired: Desired
    observed: Observed
    known: Ledger
    server: str
    renaming: Renaming
    view: ConfigView | None
    sources: ConfigSources | None
    merged: Merged | None
    declared: Differences
    discovery: Discovery
    differences: Differences
    places: tuple[Place | Replace, ...]
    prunes: tuple[Prune | Forget, ...]
    old_home: tuple[Refusal, ...]

    @property
    def ledger(self) -> Ledger:
        """The ledger, models under their new IDs."""
        return self.renaming.ledger

    @property
    def config(self) -> bytes:
        """llama-swap's config as it stands; empty where there is none."""
        return self.observed.config or b""

    @property
    def changing(self) -> frozenset[ModelId]:
        """The models whose entry, or membership in a group, changes.

        An entry that goes back to the ID that it had before us may need no other edit.
        """
        owned = self.renaming.owned_entry
        return frozenset(
            item.model
            for item in self.differences.entries
            if item.edits or item.group or (item.after is None and is_away(owned(item.model)))
        )

    @property
    def fingerprint(self) -> str:
        """A digest of all of it, by which a later look can tell whether a plan still holds."""
        observed = self.observed
        facts = [
            self.desired.digest,
            sorted(self.desired.stalled),
            hashlib.sha256(self.config).hexdigest(),
            observed.config_path,
            repr(observed.siblings),
            repr(observed.old_config),
            observed.runtime.status,
            observed.runtime.id,
            [repr(item) for _, item in sorted(observed.files.items())],
            repr(self.ledger),
            repr(observed.on_disk),
            observed.version,
            repr(sorted(observed.facts.items())),
        ]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()

    def looked_closer(self, observed: Observed) -> Comparison:
        """Give the same with `observed`, which says more of llama-swap's build and files' headers.

        Only the entries are compared again that this tells more of.
        """
        told = {
            key
            for key, model in self.desired.models.items()
            if any(file.sha256 in observed.facts for file in model.files)
        }
        told |= {item.model for item in self.declared.entries if item.later}
        told -= self.declared.foreign.keys() | self.declared.refused.keys()
        seen = replace(self, observed=observed)
        if not told or self.merged is None:
            return seen
        again, _ = compare_entries(
            (self.desired.models[key] for key in told),
            observed,
            self.ledger,
            config=self.merged.own_view(),
            server=self.server,
        )
        return seen.joined(self.declared.with_entries(again))

    def joined(self, declared: Differences) -> Comparison:
        """Give the same with `declared`, what is discovered and memberships joined to it."""
        differences = self.discovery.joined(declared)
        if self.view is not None and self.sources is not None:
            around = self.sources.merged(self.view)
            differences = join_memberships(
                differences, self.desired, self.known, around, self.renaming.entries
            )
        return replace(self, declared=declared, differences=differences)


def compare_states(
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    *,
    server: str,
    max_key_length: int = LONGEST_KEY,
) -> Comparison:
    """Lay the three states side by side. `max_key_length` is how long a generated key may be.

    Raises:
        ConfigUnreadable: llama-swap's config, or a file that it is merged with, is not YAML that we
            can read.
    """
    config, path = observed.config or b"", observed.config_path
    view = read_config(config, path) if path is not None else None
    sources = read_sources(path, observed.siblings) if path is not None else None
    old_home = guard_old_home(observed, ledger)
    if view is not None and ledger.config_path not in (None, path):
        ledger = owned_in(view, ledger)
    renaming = rename_models(desired, ledger, config, path, view)
    merged = sources.merged(renaming.view) if sources and renaming.view else None
    declared = compare(
        desired,
        observed,
        renaming.ledger,
        config=merged.own_view() if merged else None,
        server=server,
    )
    prunes = prune_actions(declared.gone, desired.policy.prune)
    discovery = discover(
        desired,
        observed,
        renaming.ledger,
        declared,
        config=merged.view(besides=renaming.ledger.models) if merged else None,
        leaving=frozenset(item.path for item in prunes if isinstance(item, Prune)),
        server=server,
        max_key_length=max_key_length,
    )
    return Comparison(
        desired=desired,
        observed=observed,
        known=ledger,
        server=server,
        renaming=renaming,
        view=view,
        sources=sources,
        merged=merged,
        declared=declared,
        discovery=discovery,
        differences=declared,
        places=place_actions(declared.files),
        prunes=prunes,
        old_home=old_home,
    ).joined(declared)
