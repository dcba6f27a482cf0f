"""Where other programs keep models: by their own variables, else where they do by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from reconciler.adapters.foreign.reading import read_text

# Ollama's service runs as a user of its own, whose home this is.
_OLLAMA_SERVICE: Final = Path("/usr/share/ollama/.ollama/models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of each kind of store; none of them need exist."""

    hub_caches: tuple[Path, ...]
    ollama: tuple[Path, ...]
    docker_models: tuple[Path, ...]
    lm_studio: tuple[Path, ...]
    llama_cpp: tuple[Path, ...]


def find_places(environment: Mapping[str, str]) -> Places:
    """Read them off the variables of those programs, and off LM Studio's own notes."""
    named = _Named(environment)
    home = named.home
    cache = named.path("XDG_CACHE_HOME") or home / ".cache"
    hf_home = named.path("HF_HOME") or cache / "huggingface"
    llama_cache = named.path("LLAMA_CACHE")
    return Places(
        hub_caches=_given(
            # llama.cpp keeps this layout too, in a folder of its own where one is named.
            llama_cache,
            named.path("HF_HUB_CACHE"),
            named.path("HUGGINGFACE_HUB_CACHE"),
            hf_home / "hub",
        ),
        ollama=_given(named.path("OLLAMA_MODELS"), home / ".ollama" / "models", _OLLAMA_SERVICE),
        docker_models=_given(named.path("MODELS_PATH"), home / ".docker" / "models"),
        lm_studio=_given(*_lm_studio(home)),
        llama_cpp=_given(
            llama_cache, cache / "llama.cpp", home / "Library" / "Caches" / "llama.cpp"
        ),
    )


class _Named:
    """Paths that variables name, `~` and other variables in them resolved."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.home = Path(environment.get("HOME") or "/")

    def path(self, name: str) -> Path | None:
        """Give the path that a variable names, None where it is not set."""
        text = Template(self._environment.get(name, "")).safe_substitute(self._environment)
        if text == "~" or text.startswith("~/"):
            return self.home / text[2:]
        return Path(text) if text else None


def _lm_studio(home: Path) -> Iterator[Path]:
    """Give the models folder of its home, of an older home, and the one chosen in its settings."""
    pointer = read_text(home / ".lmstudio-home-pointer").strip()
    for folder in _given(Path(pointer) if pointer else None, home / ".lmstudio"):
        yield folder / "models"
        try:
            chosen = json.loads(read_text(folder / "settings.json"))["downloadsFolder"]
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(chosen, str):
            yield Path(chosen)
    yield home / ".cache" / "lm-studio" / "models"


def _given(*paths: Path | None) -> tuple[Path, ...]:
    """Give those that can be meant, each once, in order."""
    return tuple(dict.fromkeys(path for path in _all(paths) if path.is_absolute()))


def _all(paths: Iterable[Path | None]) -> Iterator[Path]:
    return (path for path in paths if path is not None)
