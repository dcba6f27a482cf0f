"""All places of this machine where others keep models, behind the port `ForeignStores`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from reconciler.adapters.foreign.places import Places, find_places
from reconciler.adapters.foreign.reading import claiming
from reconciler.adapters.foreign.walking import walk
from reconciler.core.copies import Store
from reconciler.core.identity import FileIdentity
from reconciler.core.lock import PinnedFile
from reconciler.core.ports.copies import Candidate

_NOWHERE = Places(hub_caches=(), ollama=(), docker_models=(), lm_studio=(), llama_cpp=())


class ForeignStores:
    """Looks into the stores that `environment` leads to, the models folder, and folders named.

    With `programs=False` the stores of other programs are left out. Nothing is looked at before
    the first question.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        programs: bool,
        models_folder: Path,
        folders: Sequence[Path],
    ) -> None:
        self._environment = environment
        self._programs = programs
        self._models_folder = models_folder
        self._folders = folders

    @cached_property
    def _places(self) -> Places:
        return find_places(self._environment) if self._programs else _NOWHERE

    def claiming(self, file: PinnedFile) -> Iterator[Candidate]:
        """Give the files that other programs keep under the very digest of `file`."""
        # Only what is missing is looked for, and mostly nothing is.
        from reconciler.adapters.foreign.by_digest import (
            in_docker_models,
            in_hub_cache,
            in_llama_cpp,
            in_ollama,
        )

        places = self._places
        kinds: tuple[
            tuple[Store, tuple[Path, ...], Callable[[Path, PinnedFile], Iterator[Path]]], ...
        ] = (
            (Store.HUGGING_FACE, places.hub_caches, in_hub_cache),
            (Store.OLLAMA, places.ollama, in_ollama),
            (Store.DOCKER_MODELS, places.docker_models, in_docker_models),
            (Store.LLAMA_CPP, places.llama_cpp, in_llama_cpp),
        )
        for store, folders, paths in kinds:
            for folder in folders:
                yield from claiming(
                    paths(folder, file), store, file.sha256, size_bytes=file.size_bytes
                )

    def of_size(self, sizes_bytes: Collection[int]) -> Sequence[Candidate]:
        """Search the folders that tell no digest for whole files of one of these sizes."""
        places = self._places
        kinds = (
            (Store.MODELS_FOLDER, (self._models_folder,), True),
            (Store.FOLDER, self._folders, False),
            (Store.LM_STUDIO, places.lm_studio, True),
            (Store.LLAMA_CPP, places.llama_cpp, True),
        )
        found: dict[FileIdentity, Candidate] = {}
        for store, folders, only_gguf in kinds:
            for folder in folders:
                for item in walk(folder, store, sizes_bytes, only_gguf=only_gguf):
                    # A file that several names lead to is told by the first.
                    found.setdefault(item.identity, item)
        return tuple(found.values())
