"""The shape of the lock's JSON, as pydantic checks it."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reconciler.core.destination import destination
from reconciler.core.lock import Asked, Pin, PinnedFile
from reconciler.core.names import Commit, InvalidName, ModelId, RelPath, RepoId, Sha256
from reconciler.core.reading.source_text import check_local, check_url
from reconciler.core.source import HubOrigin, LocalOrigin, Origin, UrlOrigin

_ROLE: Final = re.compile(r"model|mmproj|draft|file\.[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _check_words(text: str) -> str:
    if _CONTROL.search(text):
        raise InvalidName(f"{text!r} holds control characters")
    return text


def _check_role(text: str) -> str:
    if not _ROLE.fullmatch(text):
        raise InvalidName(f"{text!r} is no role: model, mmproj, draft and file.<name> are")
    return text


def _check_folder(text: str) -> str:
    return text if text == "/" else check_local(text)


_Words = Annotated[str, AfterValidator(_check_words)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AskedShape(_Shape):
    """What the manifest asked for."""

    source: _Words
    revision: _Words | None
    mmproj: _Words
    draft: _Words | None
    files: dict[_Words, _Words]


class FileShape(_Shape):
    """One file; `path` is in the repository, or the name in the URL or the local folder."""

    path: Annotated[str, AfterValidator(RelPath)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, AfterValidator(Sha256)]
    dest: Annotated[str, AfterValidator(RelPath)] | None = None


class PartShape(_Shape):
    """Files of one role from one place: a repository at a commit, a URL, or a local folder."""

    role: Annotated[str, AfterValidator(_check_role)]
    repo: Annotated[str, AfterValidator(RepoId)] | None = None
    commit: Annotated[str, AfterValidator(Commit)] | None = None
    url: Annotated[str, AfterValidator(check_url)] | None = None
    local: Annotated[str, AfterValidator(_check_folder)] | None = None
    files: Annotated[list[FileShape], Field(min_length=1)]

    def pinned(self) -> list[PinnedFile]:
        """Give the files as values."""
        return [
            PinnedFile(
                role=self.role,
                path=RelPath(file.dest) if file.dest else destination(self._origin(file), None),
                size_bytes=file.size,
                sha256=Sha256(file.sha256),
                origin=self._origin(file),
            )
            for file in self.files
        ]

    def _origin(self, file: FileShape) -> Origin:
        if self.repo is not None and self.commit is not None:
            path = RelPath(file.path)
            return HubOrigin(repo=RepoId(self.repo), commit=Commit(self.commit), path=path)
        if self.url is not None:
            return UrlOrigin(url=self.url)
        return LocalOrigin(path=posixpath.join(self.local or "/", file.path))


def _check_place(part: PartShape) -> PartShape:
    given = {key for key in ("repo", "commit", "url", "local") if getattr(part, key) is not None}
    if given not in ({"repo", "commit"}, {"url"}, {"local"}):
        raise ValueError("a part comes from a repo and commit, or a url, or a local folder")
    if part.url is not None and len(part.files) != 1:
        raise ValueError("a url gives one file")
    if part.local is not None and any(file.dest is None for file in part.files):
        raise ValueError("a local file needs dest")
    return part


class PinShape(_Shape):
    """One model's resolved artifact set."""

    asked: AskedShape
    parts: Annotated[list[Annotated[PartShape, AfterValidator(_check_place)]], Field(min_length=1)]

    def value(self) -> Pin:
        """Give the pin."""
        return Pin(
            asked=Asked(**dict(self.asked)),
            files=tuple(file for part in self.parts for file in part.pinned()),
        )


_Pins = dict[Annotated[str, AfterValidator(ModelId)], PinShape]


class LockShape(_Shape):
    """The whole lock."""

    version: Literal[1]
    models: _Pins


class MovedPinsShape(LockShape):
    """What a host keeps for itself; `models` are its pins."""

    instead_of: _Pins
    refused: _Pins
