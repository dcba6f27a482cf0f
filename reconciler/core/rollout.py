"""The rollout as a value: everything between the first change that shows and the health gate.

It is written down, whole, before its first step, and every step can be done twice without harm.
So whatever instant a run is killed at, the next one reads it and carries it on or takes it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from reconciler.core.ledger import Ledger
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.names import RelPath, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One file made visible: `staged` (in the partial folder, known by `inode`) goes to `path`.

    `trash` is where older bytes at `path` go, and come back from; None where nothing stands there.
    Both names are relative to our state folder. `old_path` is where the file still stands before,
    under a name that goes with this; None where it was staged.
    """

    path: RelPath
    sha256: Sha256
    staged: str
    inode: int
    trash: str | None
    old_path: RelPath | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposal:
    """One file taken away after the gate: to `trash` (in our state folder), or for good."""

    path: RelPath
    sha256: Sha256
    trash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMark:
    """A place in llama-swap's log: what comes after it was logged since.

    `moment` is a time in ISO 8601; `lines_before` are told again by an engine that knows times by
    the second alone.
    """

    moment: str
    lines_before: int


class RolloutState(StrEnum):
    """How far a rollout has come: on its way, let through by the gate, or on its way back."""

    STARTED = "started"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One rollout. The configs are whole texts; None where none is managed or none was there.

    `tells` says that llama-swap must be told of it, or, on the way back, that it may know of it.
    That is a reload, unless `unload` names the models that alone are to be stopped.
    `listed_before` are the IDs that it listed before (None: it was not asked).
    `changes_lock` says that this run wrote the lock, whose text was `lock_before` and then
    `lock_after`; `moved_before` and `moved_after` are those of the pins that this host keeps for
    itself, which the rollout writes. `config_written` says that `config_after` has stood in the
    file, so that what differs from it was edited since. `mark` is where llama-swap's log stood
    right before the config was written, forward or back: what watches it tells of that from there
    on. `reason` is why it failed; `unhealthy`, that llama-swap did not come up with it, and
    `kept_old`, that it goes on as it was.

    `manifest` are the files that ask for all this, as `manifest_to_text` gives them. `returns_to`
    is the generation that it goes back to (0: it goes on); the rollout writes the lock then, too.
    """

    run: str
    desired_digest: str
    moves: tuple[Move, ...]
    disposals: tuple[Disposal, ...]
    config_before: str | None
    config_after: str | None
    tells: bool
    listed_before: tuple[str, ...] | None
    changes_lock: bool
    lock_before: str | None
    lock_after: str | None
    ledger_before: Ledger
    ledger_after: Ledger
    moved_before: str | None = None
    moved_after: str | None = None
    unload: tuple[str, ...] = ()
    manifest: str = ""
    returns_to: int = 0
    config_written: bool = False
    mark: LogMark | None = None
    reason: str = ""
    unhealthy: bool = False
    kept_old: bool = False
    state: RolloutState = RolloutState.STARTED

    @property
    def changes_config(self) -> bool:
        """Whether it writes llama-swap's config."""
        return self.config_after is not None and self.config_after != (self.config_before or "")

    def ledger_taken_back(self, *, config_left: bool) -> Ledger:
        """Give the ledger once all is taken back.

        `config_left` says that somebody edited the config in the meantime, so that it stays: the
        entries written into it are still in there, and still ours.
        """
        if not (config_left and self.config_written):
            return self.ledger_before
        before, after = self.ledger_before, self.ledger_after
        written = {key: (model.entry, model.group) for key, model in after.models.items()}
        models = {
            key: replace(model, entry=entry, group=group)
            for key, model in before.models.items()
            for entry, group in [written.get(key, (None, None))]
        } | {
            key: replace(model, files=())
            for key, model in after.models.items()
            if key not in before.models
        }
        return replace(
            before, models=models, scaffold=after.scaffold, config_path=after.config_path
        )


def rollout_to_json(rollout: Rollout) -> dict[str, Any]:
    """Give the rollout as plain JSON values."""
    return {
        **asdict(rollout),
        "ledger_before": ledger_to_json(rollout.ledger_before),
        "ledger_after": ledger_to_json(rollout.ledger_after),
    }


def rollout_from_json(document: Mapping[str, Any]) -> Rollout:
    """Read what `rollout_to_json` wrote. Raises KeyError, TypeError or ValueError otherwise."""
    listed, mark = document["listed_before"], document.get("mark")
    document = dict(document)
    # What earlier versions called it.
    tells = document.pop("restart", None)
    return Rollout(
        **{
            "tells": tells,
            **document,
            "unload": tuple(document.get("unload", ())),
            "moves": tuple(
                Move(
                    **{
                        **item,
                        "path": RelPath(item["path"]),
                        "sha256": Sha256(item["sha256"]),
                        "old_path": RelPath(item["old_path"]) if item.get("old_path") else None,
                    }
                )
                for item in document["moves"]
            ),
            "disposals": tuple(
                Disposal(
                    **{**item, "path": RelPath(item["path"]), "sha256": Sha256(item["sha256"])}
                )
                for item in document["disposals"]
            ),
            "listed_before": tuple(listed) if listed is not None else None,
            "mark": LogMark(**mark) if mark is not None else None,
            "state": RolloutState(document["state"]),
            "ledger_before": ledger_from_json(document["ledger_before"]),
            "ledger_after": ledger_from_json(document["ledger_after"]),
        }
    )


def as_text(data: bytes | None) -> str | None:
    """Give a whole file as a rollout keeps it; None where there is no such file."""
    return data.decode() if data is not None else None


def as_bytes(text: str | None) -> bytes | None:
    """Give back what `as_text` was given."""
    return text.encode() if text is not None else None
