"""What a pass has asked of its host, so that an answer can be kept with all that decided it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from reconciler.cli.engine_glance import glance_at_engine
from reconciler.core.identity import FileIdentity
from reconciler.core.names import RelPath
from reconciler.engine.host import Host
from reconciler.engine.prepared import Prepared

if TYPE_CHECKING:
    from reconciler.cli.remembered import Looked, PlanMemory
    from reconciler.cli.settings import Settings
    from reconciler.core.ports.reporting import Reporter
    from reconciler.core.reading.manifest_text import ManifestText

# What may be asked of the ports by a pass that is remembered, and what stands for each later. Free
# room and known digests decide nothing where nothing is to be done. To be on the safe side, asking
# anything else means that the answer is not kept.
_STANDS_FOR: Final = {
    "inventory.load_rollout": "the inventory's files",
    "inventory.load_ledger": "the inventory's files",
    "lock.read": "the lock's bytes",
    "moved.read": "the file itself: it is replaced, never written into",
    "config.read": "the config's bytes",
    "config_folder.read": "the bytes of each, and the folder itself",
    "folder.root": "the models folder itself",
    "folder.device": "the models folder itself",
    "folder.look": "each file looked at",
    "digests.find": "nothing",
    "filesystems.room": "nothing",
    "runtime.observe": "what the engine tells of the container",
}
_VALUES: Final = (str, bytes, int, float, tuple, frozenset, PurePath, type(None))


class Witness:
    """Stands between a pass and its host.

    The host is opened with `reporter`, and the pass is given what `watch` makes of it.
    """

    def __init__(self, reporter: Reporter, settings: Settings) -> None:
        self._settings = settings
        self._engine = glance_at_engine(settings)
        self._asked: set[str] = set()
        self._looked: dict[RelPath, tuple[FileIdentity, int] | None] = {}
        self._opened_from: tuple[Path, ...] = ()
        self.reporter: Reporter = _Port("reporter", reporter, self._asked)

    def watch(self, host: Host) -> Host:
        """Give the host, every question to which is noted."""
        self._opened_from = (host.folder.root, *host.opened_from)
        if host.config_folder is not None and host.config_folder.folder is not None:
            self._opened_from += (host.config_folder.folder,)
        ports = {
            field.name: _Port(field.name, value, self._asked)
            for field in fields(host)
            if not isinstance(value := getattr(host, field.name), _VALUES)
            and not is_dataclass(value)
        }
        ports["folder"] = _Folder(host.folder, self._asked, self._looked)
        return replace(host, **ports)  # type: ignore[arg-type]

    def remember(
        self,
        memory: PlanMemory,
        answer: str,
        prepared: Prepared,
        manifest: tuple[ManifestText, ...],
        *,
        lock_path: str,
    ) -> None:
        """Have `memory` keep the answer, where all that it was decided on is known.

        `manifest` are the texts that it was parsed from.
        """
        engine, settings = self._engine, self._settings
        if not self._may_remember(prepared) or engine is None:
            return
        if glance_at_engine(settings) != engine:
            return
        siblings = prepared.observed.siblings
        texts = {text.path: text.data for text in manifest} | dict(
            siblings.texts if siblings else {}
        )
        for path, data in (
            (lock_path, prepared.lock_before),
            (prepared.observed.config_path, prepared.observed.config),
        ):
            if path is not None and data is not None:
                texts[path] = data
        memory.keep(
            answer,
            texts={str(Path(path).absolute()): data for path, data in texts.items()},
            files={
                f"{prepared.observed.models_dir}/{path}": _looked(found)
                for path, found in self._looked.items()
            },
            others=[
                str(path.absolute())
                for path in (*_named(settings), *self._opened_from, *engine.found_by)
            ],
            links=[*engine.mounted, *(mapping.host for mapping in settings.path_map)],
            engine=engine.told,
            models_dir=prepared.observed.models_dir,
            tells_room=settings.json,
        )

    def _may_remember(self, prepared: Prepared) -> bool:
        plan, observed = prepared.plan, prepared.observed
        return (
            plan.is_empty
            and not (plan.refusals or plan.stalled or prepared.held or prepared.changes_lock)
            and prepared.lock_before is not None
            and (observed.config is not None or observed.config_path is None)
            and self._asked <= _STANDS_FOR.keys()
        )


class _Port:
    """Any port: it notes what is asked of it, and lets it through."""

    def __init__(self, name: str, port: Any, asked: set[str]) -> None:
        self._name = name
        self._port = port
        self._asked = asked

    def __getattr__(self, what: str) -> Any:
        self._asked.add(f"{self._name}.{what}")
        return getattr(self._port, what)

    def __call__(self, *given: Any, **named: Any) -> Any:
        self._asked.add(self._name)
        return self._port(*given, **named)


class _Folder(_Port):
    """The models folder: each file looked at is noted too, with what was seen."""

    def __init__(
        self,
        folder: Any,
        asked: set[str],
        looked: dict[RelPath, tuple[FileIdentity, int] | None],
    ) -> None:
        super().__init__("folder", folder, asked)
        self._looked = looked

    def look(self, path: RelPath) -> tuple[FileIdentity, int] | None:
        """See `ModelsFolder.look`."""
        self._asked.add("folder.look")
        found: tuple[FileIdentity, int] | None = self._port.look(path)
        self._looked[path] = found
        return found


def _named(settings: Settings) -> tuple[Path, ...]:
    """Give what settings are read from or name: its coming, going or changing leads elsewhere."""
    models_dir = (settings.models_dir,) if settings.models_dir is not None else ()
    return (Path(".env"), settings.manifest, *models_dir)


def _looked(found: tuple[FileIdentity, int] | None) -> Looked:
    if found is None:
        return None
    identity, links = found
    return identity.device, identity.inode, links, identity.size_bytes, identity.mtime_ns
