"""The words people write for a source, and what they mean."""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from reconciler.core.names import InvalidName, RelPath, RepoId
from reconciler.core.source import HubPath, HubQuant, LocalPath, PlainUrl, Source

# What llama.cpp's `-hf org/repo` asks for first.
DEFAULT_QUANT: Final = "Q4_K_M"
HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
# The name of one piece of a split GGUF, as llama.cpp's own splitter writes it.
SHARD: Final = re.compile(
    r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII | re.IGNORECASE
)

_QUANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What git forbids in the name of a branch or tag, blanks included.
_NOT_IN_REVISION: Final = re.compile(r"[\s~^:?*\[\\]|\.\.|//|@\{|^[-/]|/$")
_FORMS: Final = (
    "org/repo:QUANT, hf://org/repo/path/file.gguf, "
    "https://huggingface.co/org/repo/blob/REVISION/path/file.gguf, "
    "https://… with a sha256, file:///absolute/path.gguf or ./path.gguf"
)


def parse_source(text: str, *, base: str) -> Source:
    """Say what `text` names.

    `base` is the absolute folder that `./path` starts from: the one the manifest file lies in.

    Raises:
        InvalidName: it is none of the forms a source has; the text says why, and what to write.
    """
    if not text or text != text.strip() or not text.isprintable():
        raise InvalidName(
            f"{text!r} is not a source: it is empty, begins or ends with a space, "
            "or holds control characters"
        )
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _local_below(text, base) if text.startswith(".") else _hub_quant(text)
    match scheme.lower():
        case "hf":
            return _hub_path(text, rest)
        case "file":
            return _local_absolute(text, rest)
        case "https" | "http":
            parts = _split_url(text)
            if parts.hostname in HUB_HOSTS:
                return _hub_url(text, parts)
            return PlainUrl(url=check_url(text))
        case _:
            raise InvalidName(f"{text!r} begins with no known scheme: write {_FORMS}")


def check_revision(text: str) -> str:
    """Give `text` back if it can be a branch, tag or commit; raises `InvalidName`."""
    if not text or len(text) > 255 or not text.isprintable() or _NOT_IN_REVISION.search(text):
        raise InvalidName(f"{text!r} is not a revision: write a branch, a tag or a commit")
    return text


def check_url(text: str) -> str:
    """Give `text` back if it is a plain `https` or `http` URL of one file; raises `InvalidName`."""
    parts = _split_url(text)
    if parts.fragment:
        raise InvalidName(f"{text!r} ends with a fragment: leave out the # and what follows")
    shard = SHARD.fullmatch(url_path(text).name)
    if shard and int(shard["count"]) != 1:
        raise InvalidName(
            f"{text!r} names one piece of a split model, and one sha256 cannot vouch for all of "
            "them: name a repository on the hub, or fetch the pieces and name them by file://"
        )
    return text


def check_local(text: str) -> str:
    """Give `text` back if it is a plain absolute path; raises `InvalidName`."""
    if not text.startswith("/"):
        raise InvalidName(f"{text!r} is not absolute: write file:///absolute/path.gguf")
    _plain(text, text[1:])
    return text


def url_path(url: str) -> RelPath:
    """Give the path part of `url`, decoded; raises `InvalidName` where it names no file."""
    return _plain(url, _decode(url, urlsplit(url).path[1:]))


def _hub_quant(text: str) -> HubQuant:
    if text.startswith(("/", "~", "$")):
        raise InvalidName(
            f"{text!r} is no repository: a file is named by file:///absolute/path.gguf "
            "or ./path.gguf"
        )
    name, colon, quant = text.partition(":")
    if "@" in text:
        raise InvalidName(f"{text!r} holds an @: write org/repo:QUANT and give the revision apart")
    if colon and (quant.lower().endswith(".gguf") or "/" in quant):
        raise InvalidName(f"{text!r} names a file: write hf://{name}/{quant}")
    if colon and not _QUANT.fullmatch(quant):
        raise InvalidName(f"{text!r} names no quant after the colon: write {name}:{DEFAULT_QUANT}")
    if not colon and name.lower().endswith(".gguf"):
        raise InvalidName(
            f"{text!r} looks like a file: write ./{name} or hf://org/repo/file.gguf, "
            f"or {name}:QUANT if it is a repository"
        )
    if name.count("/") != 1:
        raise InvalidName(f"{text!r} is not a source: write {_FORMS}")
    return HubQuant(repo=RepoId(name), quant=quant or DEFAULT_QUANT)


def _hub_path(text: str, rest: str) -> HubPath:
    path, at, revision = rest.rpartition("@")
    if not at or revision.lower().endswith(".gguf"):
        path, at, revision = rest, "", ""
    organisation, _, inner = path.partition("/")
    name, _, file = inner.partition("/")
    if not file or "@" in name:
        raise InvalidName(
            f"{text!r} does not name a file of a repository: write "
            "hf://org/repo/path/file.gguf, with @revision at the end if need be"
        )
    return HubPath(
        repo=RepoId(f"{organisation}/{name}"),
        path=_plain(text, file),
        revision=check_revision(revision) if at else None,
    )


def _hub_url(text: str, parts: SplitResult) -> HubPath:
    words = [_decode(text, word) for word in parts.path.split("/")[1:]]
    if len(words) < 5 or words[2] not in ("blob", "resolve"):
        raise InvalidName(
            f"{text!r} is not the URL of a file: write "
            "https://huggingface.co/org/repo/blob/REVISION/path/file.gguf, or org/repo:QUANT"
        )
    # `refs/pr/4` is one revision, though people write its slashes as they are.
    taken = 3 if words[3] == "refs" and words[4] in ("pr", "convert") else 1
    return HubPath(
        repo=RepoId("/".join(words[:2])),
        revision=check_revision("/".join(words[3 : 3 + taken])),
        path=_plain(text, "/".join(words[3 + taken :])),
    )


def _local_absolute(text: str, rest: str) -> LocalPath:
    path = rest.removeprefix("localhost")
    if not path.startswith("/"):
        raise InvalidName(f"{text!r} is not absolute: write file:///absolute/path.gguf")
    return LocalPath(path=check_local(path))


def _local_below(text: str, base: str) -> LocalPath:
    if not text.startswith("./"):
        raise InvalidName(
            f"{text!r} may leave the manifest's folder: write ./path.gguf for a file below it, "
            "or file:///absolute/path.gguf"
        )
    return LocalPath(path=posixpath.join(base, _plain(text, text[2:])))


def _split_url(text: str) -> SplitResult:
    if " " in text or not text.isprintable():
        raise InvalidName(f"{text!r} is not a URL: write %20 for a space")
    try:
        parts = urlsplit(text)
        _ = parts.port  # Only asking for it checks it.
    except ValueError as error:
        raise InvalidName(f"{text!r} is not a URL: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise InvalidName(f"{text!r} names no server: write https://server/path/file.gguf")
    if "@" in parts.netloc:
        raise InvalidName(
            f"the URL at {parts.hostname} holds a user or a password, which do not belong "
            "in a manifest: leave them out"
        )
    return parts


def _decode(text: str, encoded: str) -> str:
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidName(f"{text!r} holds %-signs that do not spell UTF-8") from error


def _plain(text: str, path: str) -> RelPath:
    """Check the `path` within `text`: no `..`, no empty part, nothing that leaves its folder."""
    try:
        return RelPath(path)
    except InvalidName as error:
        raise InvalidName(
            f"{text!r} holds no plain path: '..', '.', empty parts and backslashes are refused"
        ) from error
