"""What went wrong, and what to do about it: the one tree of errors the product raises.

Every error carries a message that says what and where, a `hint` that says how to mend it, and the
exit code the command ends with. An adapter translates foreign exceptions into these at its edge;
nothing above an adapter knows the library behind it.

For the loop that decides when to try again there are two kinds of failure: `Stalled` needs a person
(or a changed manifest), `Waiting` may pass by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class ReconcilerError(Exception):
    """An error with a message for people, a hint that names the next step, and an exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(ReconcilerError):
    """The call itself is wrong: an option, a setting, or what they name."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with a text file. Lines and columns count from 1; 0 means the whole file."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        if not self.line:
            return f"{self.path}: {self.message}"
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class FaultyText(ReconcilerError):
    """A text file that cannot be accepted, with every fault found in it."""

    def __init__(self, faults: Iterable[Fault], *, hint: str = "") -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults), hint=hint)


class ManifestInvalid(FaultyText):
    """The manifest is wrong; nothing was touched."""

    exit_code = 2


class LockInvalid(FaultyText):
    """The lock file cannot be read."""


class ConfigUnreadable(FaultyText):
    """llama-swap's config is not the YAML we can read."""


class GgufInvalid(ReconcilerError):
    """A header of a GGUF file that is damaged, hostile, or of a kind we cannot read."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"its GGUF header cannot be read: {reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class UnsafeEdit(FaultyText):
    """An edit of llama-swap's config that would touch bytes that are not ours."""


class Refused(ReconcilerError):
    """A guard forbids the plan; the hint says what would lift the refusal."""


class Stalled(ReconcilerError):
    """It fails the same way until a person changes something; never retried by itself."""


class RepositoryMissing(Stalled):
    """The repository does not exist, or the token may not see it."""


class RevisionMissing(Stalled):
    """The branch, tag or commit does not exist in the repository."""


class FileMissing(Stalled):
    """The file does not exist in the repository at that commit, or on the disk it was named on."""


class NoMatch(Stalled):
    """No file set, or more than one, fits what was asked; the message lists what there is."""


class RepositoryGated(Stalled):
    """The repository's terms must be accepted on its page first."""


class TokenRejected(Stalled):
    """The hub does not accept the token."""


class DigestMismatch(Stalled):
    """The bytes are not the ones the lock names."""


class DiskFull(Stalled):
    """The filesystem has no room for what must be written."""


class Waiting(ReconcilerError):
    """It may work later; `retry_after_seconds` is the source's own word on when, if it gave one."""

    def __init__(
        self, message: str, *, hint: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Waiting):
    """No answer: the network, the server or the name behind it is not there."""


class RateLimited(Waiting):
    """The hub asks us to slow down."""


class TransferBroken(Waiting):
    """A transfer ended early or answered nonsense; what arrived is kept."""


class Offline(Waiting):
    """Something must be asked of the network, and `--offline` forbids it."""


class WindowClosed(Waiting):
    """Bytes must be fetched, and this is not the time of day for it."""


class RuntimeUnavailable(ReconcilerError):
    """The container engine does not answer, or the container is not there."""


class RuntimeFailed(ReconcilerError):
    """The engine answered, but the container could not be restarted or started."""


class ServerUnreachable(Waiting):
    """llama-swap does not answer on its own URL, or refuses our key."""


class KeyRefused(ServerUnreachable):
    """llama-swap asks for another API key than the one it was `sent`, or for one at all."""

    def __init__(self, message: str, *, hint: str = "", sent: bool) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class InventoryDamaged(ReconcilerError):
    """The inventory is no database any more; what is ours can be worked out without it."""


class LockHeld(Waiting):
    """Another run holds the models folder."""


class Interrupted(ReconcilerError):
    """The person, or the system, asked us to stop."""

    exit_code = 130
