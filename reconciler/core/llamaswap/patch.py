"""New paths in a command that somebody else wrote: the fewest words that must change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.llamaswap.commandline import (
    UnbalancedQuote,
    Word,
    read_words,
    strip_comments,
)
from reconciler.core.llamaswap.macros import expand, macro_names
from reconciler.core.llamaswap.serve_paths import (
    DRAFT_FLAGS,
    MMPROJ_FLAGS,
    MODEL_FLAGS,
    ServePaths,
    write_word,
)
from reconciler.errors import Refused

_ENGINES: Final = ("docker", "podman", "nerdctl", "docker-compose")
_HINT: Final = "write the path out in the command, or declare serve.cmd or serve.args"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """A flag that names a file: the word that holds the value, and what stands before it there."""

    word: Word
    prefix: str

    @property
    def value(self) -> str:
        return self.word.text.removeprefix(self.prefix)


def render_patch(
    cmd: str, paths: ServePaths, macros: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """Give the words of `cmd` that must change so that it names `paths`, as (old, new) pairs.

    `macros` is what llama-swap would expand in it, in order of declaration. Nothing is given where
    the command, expanded, names the paths already. Only flags whose file is ours are looked at:
    without a wanted mmproj or draft, whatever the command says of one is the owner's.

    Raises:
        Refused: a path that must change stands behind a macro, is nowhere in the command or more
            than once, lies in a container that the command itself starts, or cannot be written.
    """
    scope = macros or {}
    # llama-swap expands no macro in a comment, and drops the comment.
    expanded = _words(expand(strip_comments(cmd), scope))
    changes: list[tuple[str, str]] = []
    for flags, wanted in (
        (MODEL_FLAGS, paths.model),
        (MMPROJ_FLAGS, paths.mmproj),
        (DRAFT_FLAGS, paths.draft),
    ):
        if wanted is None:
            continue
        effective = [use.value for use in _uses(expanded, flags, wanted)]
        if effective and all(value == wanted for value in effective):
            continue
        use = _one_use(cmd, flags, effective, scope, wanted)
        _refuse_container(expanded, use)
        changes.append((use.word.written, write_word(use.prefix + wanted)))
    _refuse_bystanders(cmd, changes)
    return tuple(dict(changes).items())


def _one_use(
    cmd: str, flags: tuple[str, ...], effective: list[str], scope: Mapping[str, str], wanted: str
) -> _Use:
    uses = list(_uses(_words(cmd), flags, wanted))
    shown = "/".join(flags)
    if len(uses) == 1 and len(effective) == 1:
        hidden = macro_names(use_value := uses[0].value) or _env_names(use_value)
        if not hidden:
            return uses[0]
        names = ", ".join(f"${{{name}}}" for name in hidden)
        raise Refused(f"the path after {shown} is hidden behind {names}", hint=_HINT)
    if len(effective) > 1:
        raise Refused(f"the command has {shown} {len(effective)} times", hint=_HINT)
    if effective:
        names = ", ".join(f"${{{name}}}" for name in _bearers(cmd, flags, scope))
        raise Refused(f"{shown} is hidden behind {names or 'a macro'}", hint=_HINT)
    raise Refused(f"the command has no {shown} with the path of a GGUF file", hint=_HINT)


def _uses(words: tuple[Word, ...], flags: tuple[str, ...], wanted: str | None) -> Iterator[_Use]:
    """Give each use of `flags` whose value may be a GGUF file.

    `docker run -m 16g` gives memory, and `vllm --model org/name` a repository: neither is ours.
    """
    for use in _values(words, flags):
        value = use.value
        # Ollama keeps GGUF files as blobs named `sha256-…`.
        is_file = value.lower().endswith(".gguf") or "/sha256-" in value or "${" in value
        if is_file or value == wanted:
            yield use


def _values(words: tuple[Word, ...], flags: tuple[str, ...]) -> Iterator[_Use]:
    for position, word in enumerate(words):
        flag, equals, _ = word.text.partition("=")
        if equals and flag in flags:
            yield _Use(word=word, prefix=f"{flag}=")
        elif word.text in flags and position + 1 < len(words):
            yield _Use(word=words[position + 1], prefix="")


def _env_names(value: str) -> tuple[str, ...]:
    return tuple(part.partition("}")[0] for part in value.split("${")[1:])


def _bearers(cmd: str, flags: tuple[str, ...], scope: Mapping[str, str]) -> list[str]:
    """Give the macros of `cmd` that bring one of `flags` with them."""
    return [
        name
        for name in macro_names(strip_comments(cmd))
        if any(flag in expand(f"${{{name}}}", scope).replace("=", " ").split() for flag in flags)
    ]


def _refuse_container(expanded: tuple[Word, ...], use: _Use) -> None:
    program = PurePosixPath(expanded[0].text).name
    if program in _ENGINES:
        raise Refused(
            f"the command starts a container with {program}, and {use.value} is a path inside it",
            hint="declare serve.cmd, with the path as that container sees it",
        )


def _refuse_bystanders(cmd: str, changes: list[tuple[str, str]]) -> None:
    """Refuse when a word that must change also stands where it must not, or not so."""
    written = [word.written for word in _words(cmd)]
    for old, _ in changes:
        asked = [new for each, new in changes if each == old]
        if written.count(old) != len(asked) or len(set(asked)) > 1:
            raise Refused(f"{old} stands in the command for something else too", hint=_HINT)


def _words(cmd: str) -> tuple[Word, ...]:
    try:
        return read_words(cmd)
    except UnbalancedQuote as error:
        raise Refused(f"the command cannot be read: {error}", hint="close the quote") from None
