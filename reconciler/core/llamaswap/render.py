"""What we write into llama-swap's config for a model: its command, its fields, its new paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from reconciler.core.llamaswap.commandline import open_quote, strip_comments
from reconciler.core.llamaswap.patch import render_patch
from reconciler.core.llamaswap.serve_paths import (
    DRAFT_FLAGS,
    MMPROJ_FLAGS,
    MODEL_FLAGS,
    ServePaths,
    write_word,
)
from reconciler.core.manifest import Serve
from reconciler.core.values import Json
from reconciler.errors import Refused

__all__ = ["ServePaths", "render_cmd", "render_entry", "render_patch"]

# A longer command is written as one flag per line, which stays readable in a diff.
_ONE_LINE_CHARACTERS: Final = 100
_PLACEHOLDER: Final = re.compile(r"\$\{(model|mmproj|draft|server|args|file\.[^}\s]*)\}")


def render_cmd(serve: Serve, paths: ServePaths, server: str) -> str:
    """Give the whole command of a model; `server` is the path of llama-server (macros are kept).

    Without `serve.cmd` it is `<server> --port ${PORT} -m <path> …`, on one line while it is short.
    With it, our own variables in the template are filled in and everything else stands as it is.

    Raises:
        Refused: a path or an argument cannot be written in a command, an argument would fight with
            a flag of ours, or the template asks for what there is not or has no place for `args`.
    """
    args = list(_render_args(serve.args or {}))
    if serve.cmd is not None:
        return _fill_template(serve.cmd, args, paths, server)
    _refuse_own_flags(serve.args or {}, paths)
    parts = [write_word(server, macros=True), "--port ${PORT}", f"-m {write_word(paths.model)}"]
    if paths.mmproj is not None:
        parts.append(f"--mmproj {write_word(paths.mmproj)}")
    if paths.draft is not None:
        parts.append(f"-md {write_word(paths.draft)}")
    parts += args
    line = " ".join(parts)
    if len(line) <= _ONE_LINE_CHARACTERS:
        return line
    return "\n".join(parts) + "\n"


def render_entry(serve: Serve, paths: ServePaths, server: str) -> Mapping[str, Json]:
    """Give all fields of a new entry: `cmd`, then what the manifest declares, nulls left out.

    Raises what `render_cmd` raises.
    """
    declared = {key: value for key, value in serve.fields.items() if value is not None}
    return {"cmd": render_cmd(serve, paths, server), **declared}


def _render_args(args: Mapping[str, Json]) -> Iterator[str]:
    for key, value in args.items():
        values = value if isinstance(value, list | tuple) else [value]
        for each in values:
            if each is None or each is False:
                continue
            flag = _flag(key)
            yield (
                flag if each is True else f"{flag} {write_word(_argument(key, each), macros=True)}"
            )


# The same few flags stand in every model of a manifest.
@lru_cache(maxsize=256)
def _flag(key: str) -> str:
    """Give `-k` for `k` and `--key` for `key`; a key that brings its own dashes keeps them."""
    if key.startswith("-"):
        return write_word(key)
    return write_word(f"-{key}" if len(key) == 1 else f"--{key}")


def _argument(key: str, value: Json) -> str:
    match value:
        case str():
            return value
        case int() | float():
            return str(value)
        case Mapping():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        case _:
            raise Refused(
                f"serve.args.{key} holds a list inside a list: {value!r:.80}",
                hint="write the argument's whole text, in quotes",
            )


def _refuse_own_flags(args: Mapping[str, Json], paths: ServePaths) -> None:
    own = ["--port", *MODEL_FLAGS]
    own += MMPROJ_FLAGS if paths.mmproj is not None else ()
    own += DRAFT_FLAGS if paths.draft is not None else ()
    for key, value in args.items():
        if value is not None and value is not False and _flag(key) in own:
            raise Refused(
                f"serve.args.{key}: we write {_flag(key)} ourselves",
                hint=f"take {key} out of serve.args, or write the whole command as serve.cmd",
            )


def _fill_template(template: str, args: list[str], paths: ServePaths, server: str) -> str:
    if args and "${args}" not in strip_comments(template):
        raise Refused(
            "serve.args is given, but serve.cmd has no ${args}: the arguments would be ignored",
            hint="put ${args} where they belong in serve.cmd, or take serve.args away with `null`",
        )
    filled = ""
    end = 0
    for placeholder in _PLACEHOLDER.finditer(template):
        filled += template[end : placeholder.start()]
        end = placeholder.end()
        if filled.rpartition("\n")[2].lstrip().startswith("#"):
            filled += placeholder[0]
            continue
        # People write "${model}" in quotes of their own; ours inside those would become literal.
        quote = open_quote(filled)
        name = placeholder[1]
        if name == "args":
            if quote and args:
                raise Refused(
                    "serve.cmd has ${args} between quotes, where it would be one word",
                    hint="take ${args} out of the quotes",
                )
            filled += " ".join(args)
        elif name == "server":
            filled += server if quote else write_word(server, macros=True)
        else:
            filled += write_word(_variable(name, paths), inside=quote)
    return filled + template[end:]


def _variable(name: str, paths: ServePaths) -> str:
    files = {f"file.{each}": path for each, path in paths.files.items()}
    own = {"model": paths.model, "mmproj": paths.mmproj, "draft": paths.draft}
    path = {**own, **files}.get(name)
    if path is not None:
        return path
    if name in own:
        raise Refused(
            f"serve.cmd uses ${{{name}}}, but the model has none",
            hint=f"declare {name} for the model, or take ${{{name}}} out of serve.cmd",
        )
    known = ", ".join(f"${{{each}}}" for each in files) or "none"
    raise Refused(
        f"serve.cmd uses ${{{name}}}, which `files` does not declare; there is {known}",
        hint=f"declare {name.removeprefix('file.')!r} under `files`, or mend the name",
    )
