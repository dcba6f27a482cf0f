"""The hub's token: where people keep it, and what may be wrong with the place."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from reconciler.adapters.base.whole_file import read_whole

_VARIABLES: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_MAX_FILE_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReading:
    """The token, None where there is none, and what people should know about where it lay."""

    value: str | None
    warnings: tuple[str, ...] = ()


def read_token(environment: Mapping[str, str]) -> TokenReading:
    """Look for a token where the hub's own client does: two variables, then one file.

    Nothing is remembered, so that a token which is renewed while we run is seen. The token itself
    never stands in a warning. Never raises.
    """
    if environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _TRUE:
        return TokenReading(value=None)
    for variable in _VARIABLES:
        token = _cleaned(environment.get(variable, ""))
        if token:
            return _checked(token, variable)
    path = _file(environment)
    return TokenReading(value=None) if path is None else _read_file(path)


def _file(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("HF_TOKEN_PATH"):
        return _expanded(named, environment)
    if home := environment.get("HF_HOME"):
        return _expanded(f"{home}/token", environment)
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(f"{cache}/huggingface/token", environment)


def _expanded(text: str, environment: Mapping[str, str]) -> Path | None:
    text = Template(text).safe_substitute(environment)
    if text == "~" or text.startswith("~/"):
        home = environment.get("HOME")
        return Path(home + text[1:]) if home else None
    return Path(text)


def _read_file(path: Path) -> TokenReading:
    try:
        text = read_whole(path, most_bytes=_MAX_FILE_BYTES).decode("utf-8", errors="replace")
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return TokenReading(value=None)
    except (OSError, ValueError) as error:
        return _unreadable(path, error)
    token = _cleaned(text)
    if not token:
        return TokenReading(value=None)
    reading = _checked(token, str(path))
    if reading.value is None or not mode & (stat.S_IRGRP | stat.S_IROTH):
        return reading
    warning = f"{path}: others on this machine may read the hub's token; chmod 600 it"
    return TokenReading(value=reading.value, warnings=(warning,))


def _unreadable(path: Path, why: OSError | ValueError) -> TokenReading:
    text = why.strerror if isinstance(why, OSError) else why
    warning = f"{path}: the hub's token is not used: {text}"
    return TokenReading(value=None, warnings=(warning,))


def _cleaned(text: str) -> str:
    return text.replace("\r", "").replace("\n", "").strip()


def _checked(token: str, place: str) -> TokenReading:
    if _SENDABLE.fullmatch(token):
        return TokenReading(value=token)
    warning = f"{place}: holds characters no token has; asking the hub without a token"
    return TokenReading(value=None, warnings=(warning,))
