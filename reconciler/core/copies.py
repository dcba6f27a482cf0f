"""Where wanted bytes already lie on this machine, and what may be done with the file there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Linking(Enum):
    """Whether a file may be given a second name of ours, so that both names share one inode.

    `IF_ALIKE`: only where mode and owner are what we would set, so that nothing of it changes.
    """

    FREELY = "freely"
    IF_ALIKE = "if alike"
    NEVER = "never"


class Store(StrEnum):
    """Whose place bytes are taken from."""

    PARTIAL = "partial"
    OURS = "ours"
    TRASH = "trash"
    SOURCE = "source"
    MODELS_FOLDER = "models-folder"
    HUGGING_FACE = "hugging-face"
    OLLAMA = "ollama"
    LM_STUDIO = "lm-studio"
    LLAMA_CPP = "llama.cpp"
    DOCKER_MODELS = "docker-models"
    FOLDER = "folder"

    @property
    def shown(self) -> str:
        """What people call it."""
        return _SHOWN[self]

    @property
    def linking(self) -> Linking:
        """Whether files of it may be linked.

        Somebody may write to a file of theirs in place, and would write to ours. Only the stores
        that name a file by its digest never do.
        """
        return _LINKING.get(self, Linking.NEVER)


_SHOWN = {
    Store.PARTIAL: "what an earlier run brought",
    Store.OURS: "the models folder",
    Store.TRASH: "the trash",
    Store.SOURCE: "its source",
    Store.MODELS_FOLDER: "the models folder",
    Store.HUGGING_FACE: "the Hugging Face cache",
    Store.OLLAMA: "Ollama",
    Store.LM_STUDIO: "LM Studio",
    Store.LLAMA_CPP: "llama.cpp's cache",
    Store.DOCKER_MODELS: "Docker Model Runner",
    Store.FOLDER: "a folder of yours",
}
_LINKING = {
    Store.OURS: Linking.FREELY,
    Store.TRASH: Linking.FREELY,
    Store.HUGGING_FACE: Linking.IF_ALIKE,
    Store.OLLAMA: Linking.IF_ALIKE,
    Store.DOCKER_MODELS: Linking.IF_ALIKE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file at absolute `path` that is taken for a wanted one."""

    path: str
    store: Store
