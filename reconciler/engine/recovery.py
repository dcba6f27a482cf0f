"""Give the ledger of a host, worked out anew where the inventory has lost it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger, Provenance
from reconciler.core.lock import Lock
from reconciler.core.manifest import Discover, Manifest
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import Observed, ObservedFile
from reconciler.core.reading.lock_text import parse_lock
from reconciler.core.recovery import Evidence, recover_ledger
from reconciler.core.yamltext.config import read_config
from reconciler.engine.hashing import hash_files
from reconciler.engine.host import Host
from reconciler.engine.host_pins import load_pins
from reconciler.errors import ManifestInvalid, ReconcilerError


def known_ledger(host: Host, manifest: Manifest | None, lock: Lock) -> tuple[Ledger, bool]:
    """Give the ledger, and whether it had to be worked out from the lock and the disk.

    `lock` is the lock as it lies there, so that what the manifest no longer names is known too.
    Without a manifest no field of an entry, and no generated entry, is known to be ours. Nothing is
    written. Files are read only where all but their digest says that they are ours.

    Raises:
        ConfigUnreadable, RuntimeUnavailable: config or container cannot be looked at.
    """
    ledger = host.inventory.load_ledger()
    hint = host.inventory.ledger_hint() if ledger.device is None else None
    if ledger.device is not None or not (lock.pins or host.remembered or hint):
        return ledger, False
    recovered = recover_ledger(_evidence(host, manifest, lock, hint))
    if not recovered.models:
        if host.remembered:
            host.reporter.say(
                "the inventory does not know this folder, and without a lock that names them "
                "nothing here can be proven to be ours: all counts as found"
            )
        return ledger, False
    files = sum(file.provenance is Provenance.BROUGHT for file in recovered.files.values())
    entries = sum(model.entry is not None for model in recovered.models.values())
    host.reporter.say(
        f"the inventory does not know this folder: by the lock, their digests and their .sha256 "
        f"{files} files are ours, and by their commands {entries} entries; "
        "all else counts as found"
    )
    return recovered, True


def known_files(host: Host, load_manifest: Callable[[], Manifest]) -> Ledger:
    """Give the ledger as far as files go, worked out without the config where it is lost.

    The manifest is asked for only then, for it says which pins count here; where it cannot be read
    those of the lock do, and that is said.

    Raises:
        LockInvalid: the ledger is lost, and the lock cannot be read.
    """
    ledger = host.inventory.load_ledger()
    if ledger.device is not None:
        return ledger
    try:
        pins = load_pins(host, load_manifest().models).pins
    except ManifestInvalid:
        host.reporter.say("the manifest cannot be read: what is ours is told by the lock alone")
        text = host.lock.read()
        pins = parse_lock(text, host.lock_path) if text is not None else Lock()
    return known_ledger(replace(host, config=None, config_path=None), None, pins)[0]


def _evidence(host: Host, manifest: Manifest | None, lock: Lock, hint: Ledger | None) -> Evidence:
    config = host.config.read() if host.config is not None else None
    stamps = _stamps(host, lock)
    serves = manifest is not None and manifest.policy.discover is Discover.SERVE
    return Evidence(
        lock=lock,
        observed=Observed(
            models_dir=str(host.folder.root),
            device=host.folder.device,
            files=_files(host, stamps),
            config_path=host.config_path,
            config=config,
            runtime=host.runtime.observe(),
            room=host.filesystems.room(str(host.folder.root)),
        ),
        stamps=stamps,
        config=read_config(config or b"", host.config_path) if host.config_path else None,
        declared=manifest.models if manifest is not None else {},
        hint=hint,
        remembered=host.remembered,
        server=host.llama_server if serves else None,
    )


def _stamps(host: Host, lock: Lock) -> dict[RelPath, Sha256]:
    """Give the `.sha256` that name what the lock names."""
    stamps = {}
    for pin in lock.pins.values():
        for file in pin.files:
            try:
                found = host.folder.stamped(file.path)
            except ReconcilerError:
                continue
            if found == file.sha256:
                stamps[file.path] = found
    return stamps


def _files(host: Host, stamps: dict[RelPath, Sha256]) -> dict[RelPath, ObservedFile]:
    """Look at the files that have a stamp, and read those whose digest is not known."""
    files: dict[RelPath, ObservedFile] = {}
    paths: dict[FileIdentity, list[RelPath]] = {}
    for path in stamps:
        try:
            found = host.folder.look(path)
        except ReconcilerError:
            continue
        if found is not None:
            paths.setdefault(found[0], []).append(path)
    unknown = {key: same[0] for key, same in paths.items() if host.digests.find(key) is None}
    for _ in hash_files(unknown, host):
        """What cannot be read stays unknown, and so unproven."""
    for identity, path in ((key, path) for key, same in paths.items() for path in same):
        known = host.digests.find(identity)
        if known is not None:
            files[path] = ObservedFile(path=path, identity=identity, sha256=known.sha256)
    return files
