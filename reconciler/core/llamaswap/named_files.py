"""What the commands of a config name: files to serve, and repositories to fetch when they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.llamaswap.commandline import UnbalancedQuote, split_command, strip_comments
from reconciler.core.llamaswap.macros import expand, macro_scope
from reconciler.core.llamaswap.serve_paths import DRAFT_FLAGS, MMPROJ_FLAGS, MODEL_FLAGS
from reconciler.core.llamaswap.shapes import as_mapping

_FILE_FLAGS: Final = frozenset({*MODEL_FLAGS, *MMPROJ_FLAGS, *DRAFT_FLAGS})
# Every name llama-server has, or had, for a model that it is to fetch by itself.
_FETCH_FLAGS: Final = frozenset(
    {"-hf", "-hfr", "--hf-repo", "-hfd", "-hfrd", "--hf-repo-draft", "-mu", "--model-url"}
)
# The paths after these are those of another container.
_ENGINES: Final = frozenset({"docker", "podman", "nerdctl", "docker-compose"})


def named_files(data: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Give the absolute paths that each model's command names, as llama-swap sees them."""
    return {
        model: paths
        for model, words in _commands(data)
        if (paths := tuple(dict.fromkeys(_values(words, _FILE_FLAGS))))
    }


def fetched_at_start(data: Mapping[str, object]) -> dict[str, str]:
    """Give the flag by which a model's command fetches the model itself, by the model's ID."""
    return {
        model: found
        for model, words in _commands(data)
        if (found := next((flag for flag in map(_flag, words) if flag in _FETCH_FLAGS), ""))
    }


def _commands(data: Mapping[str, object]) -> Iterator[tuple[str, list[str]]]:
    for model, entry in as_mapping(data.get("models")).items():
        cmd = as_mapping(entry).get("cmd")
        if not isinstance(cmd, str) or not isinstance(model, str):
            continue
        try:
            words = split_command(expand(strip_comments(cmd), macro_scope(data, model)))
        except UnbalancedQuote:
            continue
        if words and PurePosixPath(words[0]).name not in _ENGINES:
            yield model, words


def _values(words: list[str], flags: frozenset[str]) -> Iterator[str]:
    for position, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in flags and not equals:
            value = next(iter(words[position + 1 :]), "")
        # A macro of the environment's is llama-swap's to know.
        if flag in flags and value.startswith("/") and "${" not in value:
            yield value


def _flag(word: str) -> str:
    return word.partition("=")[0]
