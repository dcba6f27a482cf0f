"""From an answer that is an error to our own error: what it means, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from reconciler.adapters.base.http import Answer
from reconciler.adapters.base.retry_after import told_to_wait_seconds
from reconciler.adapters.base.urls import legible, shown
from reconciler.errors import (
    FileMissing,
    RateLimited,
    ReconcilerError,
    RepositoryGated,
    RepositoryMissing,
    RevisionMissing,
    Stalled,
    TokenRejected,
    TransferBroken,
    Unreachable,
)

_REQUEST_IDS: Final = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
_BAD_TOKEN: Final = "Invalid credentials in Authorization header"  # noqa: S105
_DISABLED: Final = "Access to this resource is disabled."
_TRANSIENT: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the hub was asked about, in people's words, and how.

    `missing` is what a bare 404 means here: mirrors answer one without saying what is missing.
    """

    about: str
    page_url: str
    missing: type[Stalled]
    token_sent: bool
    token_held_back: bool = False

    @property
    def access_hint(self) -> str:
        """What to do about access that is missing."""
        if self.token_sent:
            return "look whether the account of the token that was sent may read it"
        if self.token_held_back:
            return "name the hub by https://: over plain http the token is not sent"
        return "set HF_TOKEN to a token that may read it"


def hub_failure(answer: Answer, asked: Asked) -> ReconcilerError:
    """Give the error that `answer`, with a status of 400 or more from a hub, stands for.

    The hub's own error code counts before the status, which is 401 for a missing repository too.
    """
    code = answer.headers.get("x-error-code", "")
    said = answer.headers.get("x-error-message") or _body_text(answer.body)
    if passing := _passing_failure(answer, asked.about):
        return passing
    page = asked.page_url
    ended = _suffix(answer)
    if code == "RevisionNotFound":
        return RevisionMissing(
            f"{asked.about}: there is no such branch, tag or commit{ended}",
            hint=f"the branches and tags are listed at {page}/tree/main",
        )
    if code == "EntryNotFound":
        return FileMissing(
            f"{asked.about}: there is no such file{ended}",
            hint=f"the files are listed at {page}/tree/main",
        )
    if code == "GatedRepo":
        return RepositoryGated(
            f"{asked.about}: its terms must be accepted first{ended}",
            hint=f"accept them at {page}, then {asked.access_hint}",
        )
    if said == _DISABLED:
        return RepositoryMissing(
            f"{asked.about}: the hub has disabled access to it{ended}", hint=f"see {page}"
        )
    if answer.status == 401 and said == _BAD_TOKEN:
        return TokenRejected(
            f"{asked.about}: the hub does not accept the token{ended}",
            hint="make a new one in the hub's settings and set HF_TOKEN to it, or take it away",
        )
    if code == "RepoNotFound" or answer.status == 401:
        return RepositoryMissing(
            f"{asked.about}: there is no such repository, or it is private{ended}",
            hint=f"look at {page}; if it is private, {asked.access_hint}",
        )
    if answer.status in {404, 410}:
        return asked.missing(f"{asked.about}: is not there{ended}", hint=f"look at {page}")
    if answer.status == 403 and asked.token_sent:
        return TokenRejected(
            f"{asked.about}: the token may not read it: {legible(said) or 'forbidden'}{ended}",
            hint=f"look at {page}, and at what the token is allowed",
        )
    return _refused(answer, asked.about, said, hint=f"look at {page}; {asked.access_hint}")


def plain_failure(answer: Answer, about: str) -> ReconcilerError:
    """Give the error that `answer`, with a status of 400 or more from any server, stands for."""
    if passing := _passing_failure(answer, about):
        return passing
    if answer.status in {404, 410}:
        return FileMissing(
            f"{about}: is not there (answer {_status_text(answer.status)})",
            hint="look at the address in a browser",
        )
    return _refused(
        answer, about, _body_text(answer.body), hint="look whether the address needs a login"
    )


def link_failure(answer: Answer, about: str) -> ReconcilerError:
    """Give the error for an answer of 400 or more from a host that we were sent to for the bytes.

    There "forbidden" is said of the signed link, which has expired; the next one may hold.
    """
    if answer.status in {401, 403}:
        return TransferBroken(
            f"{about}: {shown(answer.url)} does not accept its own link{_suffix(answer)}",
            hint="look whether this machine's clock is right; then run again",
        )
    return plain_failure(answer, about)


def _passing_failure(answer: Answer, about: str) -> ReconcilerError | None:
    if answer.status < 500 and answer.status not in _TRANSIENT:
        return None
    told = told_to_wait_seconds(answer.headers)
    if answer.status == 429:
        wait = "" if told is None else f" for {told:.0f} s"
        return RateLimited(
            f"{about}: asked too often, told to wait{wait}{_suffix(answer)}",
            hint="a token raises the hub's limits; else wait, and run again",
            retry_after_seconds=told,
        )
    return Unreachable(
        f"{about}: {shown(answer.url)} has a fault of its own{_suffix(answer)}",
        hint="wait, and run again",
        retry_after_seconds=told,
    )


def _refused(answer: Answer, about: str, said: str, *, hint: str) -> Stalled:
    why = f": {legible(said)}" if said else ""
    return Stalled(f"{about}: {shown(answer.url)} refuses it{why}{_suffix(answer)}", hint=hint)


def _suffix(answer: Answer) -> str:
    """What a server's own people need to find this very request in their logs."""
    request_id = next((answer.headers[name] for name in _REQUEST_IDS if name in answer.headers), "")
    traced = f", request {legible(request_id)}" if request_id else ""
    return f" (answer {_status_text(answer.status)}{traced})"


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _body_text(body: bytes) -> str:
    """The sentence in an error's body, if there is one that people can read."""
    text = body.decode("utf-8", errors="replace").strip()
    if text.startswith(("<", "\ufeff<")):
        return ""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return text
    error = told.get("error", "") if isinstance(told, dict) else ""
    if isinstance(error, list):
        error = "; ".join(str(part) for part in error)
    return error if isinstance(error, str) else ""
