"""What the hub says in JSON, checked: only the fields we read, and nothing we do not expect."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reconciler.core.names import Commit, InvalidName, RelPath, Sha256
from reconciler.core.ports.hub import RemoteFile, Upstream


class Nonsense(ValueError):
    """The answer is not what the hub's interface promises; the text says what is wrong."""


class _Model(BaseModel):
    # The hub adds fields as it grows.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Info(_Model):
    sha: str
    # Mirrors may say other things here, or nothing; it decides no bytes.
    lastModified: object = None  # noqa: N815 - the hub's name


class _Lfs(_Model):
    oid: str
    size: int = Field(ge=0)


class _Entry(_Model):
    """A file, a directory, or what the hub may invent; only files have to have these fields."""

    type: str
    path: str | None = None
    size: int | None = Field(default=None, ge=0)
    lfs: _Lfs | None = None


_PAGE = TypeAdapter(list[_Entry])


def parse_commit(body: bytes) -> Commit:
    """Read the commit out of what the hub says about a repository. Raises `Nonsense`."""
    try:
        return Commit(_Info.model_validate_json(body).sha)
    except (ValidationError, InvalidName) as error:
        raise Nonsense(_first_line(error)) from error


def parse_upstream(body: bytes) -> Upstream:
    """Read commit and time of change out of it; the time may be none. Raises `Nonsense`."""
    commit = parse_commit(body)
    return Upstream(commit=commit, modified_at=_time(_Info.model_validate_json(body).lastModified))


def _time(said: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def parse_page(body: bytes) -> tuple[RemoteFile, ...]:
    """Read one page of a repository's files. Raises `Nonsense`."""
    try:
        entries = _PAGE.validate_json(body)
    except ValidationError as error:
        raise Nonsense(_first_line(error)) from error
    files = (_remote_file(entry) for entry in entries if entry.type == "file")
    return tuple(file for file in files if file is not None)


def _remote_file(entry: _Entry) -> RemoteFile | None:
    if entry.path is None or entry.size is None:
        raise Nonsense("a file without a path or a size")
    try:
        path = RelPath(entry.path)
    except InvalidName:
        # No manifest can ask for such a path, so a repository that holds one is still of use.
        return None
    if entry.lfs is None:
        return RemoteFile(path=path, size_bytes=entry.size, sha256=None)
    if entry.lfs.size != entry.size:
        raise Nonsense(f"{path} has two sizes: {entry.size} and {entry.lfs.size} bytes")
    try:
        return RemoteFile(path=path, size_bytes=entry.size, sha256=Sha256(entry.lfs.oid))
    except InvalidName as error:
        raise Nonsense(f"{path}: {error}") from error


def _first_line(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)
