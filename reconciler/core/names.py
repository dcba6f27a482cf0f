"""Validated string types: a value of one of these types has been checked and can be trusted.

They are plain `str` at run time, so they cost nothing to store, compare or print; they exist so
that a digest is never mistaken for a commit, and a path is never joined that leaves its folder.
"""

from __future__ import annotations

import re
from typing import Final, Self

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# What the hub's own client accepts: one slash, no `--` or `..`, at most 96 characters a part.
_REPO_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
# Our own folder inside the models folder; nothing from outside may be placed in it.
STATE_FOLDER: Final = ".reconciler"


class InvalidName(ValueError):
    """A string that is not what its type promises; the text says why."""


class Sha256(str):
    """A sha256 digest: 64 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text`, folding upper case; raises `InvalidName`."""
        folded = text.lower()
        if not _SHA256.fullmatch(folded):
            raise InvalidName(f"{text!r} is not a sha256: 64 hexadecimal digits are")
        return super().__new__(cls, folded)


class Blake3(str):
    """A blake3 digest: 64 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text`; raises `InvalidName`."""
        if not _SHA256.fullmatch(text):
            raise InvalidName(f"{text!r} is not a blake3 digest: 64 hexadecimal digits are")
        return super().__new__(cls, text)


class Commit(str):
    """A git commit as the hub names it: 40 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text`; raises `InvalidName`."""
        if not _COMMIT.fullmatch(text):
            raise InvalidName(f"{text!r} is not a commit: 40 hexadecimal digits are")
        return super().__new__(cls, text)


class RepoId(str):
    """A repository on the hub: `organisation/name`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text`; raises `InvalidName`."""
        parts = text.split("/")
        if len(parts) != 2 or not all(_REPO_PART.fullmatch(part) for part in parts):
            raise InvalidName(f"{text!r} is not a repository: write organisation/name")
        if "--" in text or ".." in text or text.endswith((".git", "-", ".")):
            raise InvalidName(f"{text!r} is not a repository name the hub allows")
        return super().__new__(cls, text)


class RelPath(str):
    """A path below a folder, with `/` between its parts: never absolute, never leaving it."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text`; raises `InvalidName`."""
        if not text or _CONTROL.search(text):
            raise InvalidName(f"{text!r} is not a path: it is empty or holds control characters")
        if "\\" in text or text.startswith("/") or re.match(r"[A-Za-z]:", text):
            raise InvalidName(f"{text!r} is not a path below the models folder")
        parts = text.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise InvalidName(f"{text!r} is not a plain path: it has empty, '.' or '..' parts")
        if parts[0] == STATE_FOLDER:
            raise InvalidName(f"{text!r} lies in {STATE_FOLDER}, which is ours alone")
        if any(len(part.encode()) > 255 for part in parts):
            raise InvalidName(f"{text!r} has a part longer than 255 bytes")
        return super().__new__(cls, text)

    @property
    def name(self) -> str:
        """The last part."""
        return self.rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        """All but the last part; empty at the top."""
        return self.rpartition("/")[0]


class ModelId(str):
    """A llama-swap model ID, written as it is."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text`; raises `InvalidName`."""
        if not text or text != text.strip() or _CONTROL.search(text):
            raise InvalidName(
                f"{text!r} is not a model ID: it is empty, begins or ends with a space, "
                "or holds control characters"
            )
        return super().__new__(cls, text)
