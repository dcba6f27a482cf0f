"""Keep what files say of themselves: of those that were placed, once for each content.

None of this decides anything. Bytes that match the lock are used whatever their header says; what
is odd about it is said, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from reconciler.core.catalogue import shard_sets
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.header import Header, extent_complaint, read_header
from reconciler.core.gguf.shards import check_shards
from reconciler.core.ledger import Ledger, LedgerFile
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import OnDisk
from reconciler.engine.host import Host
from reconciler.errors import GgufInvalid, ReconcilerError

_Facts = tuple[int, GgufFacts | None]
_HINT = "llama.cpp may not load it; if so, choose another file"


def learn(host: Host, ledger: Ledger) -> None:
    """Read the headers of the ledger's GGUF files that were never read, and keep what they say.

    A set of shards is read whole as soon as one is new, for only together can they be checked.
    Nothing here fails: what cannot be read is tried again by the next run, and what cannot be
    understood is not.
    """
    try:
        known = host.inventory.contents.known()
        fresh = [
            file
            for file in ledger.files.values()
            if file.sha256 not in known and file.path.lower().endswith(".gguf")
        ]
        if not fresh:
            return
        found: dict[Sha256, _Facts] = {}
        for paths in _sets_with(fresh, ledger):
            found |= _read_set([ledger.files[path] for path in paths], host)
        if found:
            host.inventory.contents.record(found)
    except ReconcilerError as error:
        host.reporter.warn(f"what the files say was not kept: {error.message}", error.hint)


def keep_headers(host: Host, on_disk: OnDisk | None) -> None:
    """Keep what the headers of undeclared files said, so that the next plan need not read them.

    Nothing here fails either.
    """
    try:
        if on_disk is not None and on_disk.headers != host.inventory.load_headers():
            host.inventory.save_headers(on_disk.headers)
    except ReconcilerError as error:
        host.reporter.warn(f"what the files say was not kept: {error.message}", error.hint)


def _sets_with(fresh: Collection[LedgerFile], ledger: Ledger) -> Iterator[tuple[RelPath, ...]]:
    new = {file.path for file in fresh}
    for paths in shard_sets(ledger.files):
        if not new.isdisjoint(paths):
            yield paths


def _read_set(files: Sequence[LedgerFile], host: Host) -> dict[Sha256, _Facts]:
    """Read one file, or the shards of one model in order; gives those that could be read."""
    found: dict[Sha256, _Facts] = {}
    headers: list[Header] = []
    for file in files:
        try:
            header = _read(file, host)
        except GgufInvalid as error:
            found[file.sha256] = (file.size_bytes, None)
            _warn(host, file.path, f"its GGUF header cannot be read: {error.reason}")
            continue
        except ReconcilerError:
            continue
        if header is not None:
            found[file.sha256] = (file.size_bytes, header.facts)
            headers.append(header)
            if complaint := extent_complaint(header, file.size_bytes):
                _warn(host, file.path, complaint)
    if len(headers) == len(files):
        for complaint in check_shards(headers):
            _warn(host, files[0].path, complaint)
    return found


def _read(file: LedgerFile, host: Host) -> Header | None:
    """Read a header, if the bytes at the path are still those of the ledger."""
    seen = host.folder.look(file.path)
    known = host.digests.find(seen[0]) if seen is not None else None
    if known is None or known.sha256 != file.sha256:
        return None
    with host.folder.reading(file.path) as source:
        return read_header(source)


def _warn(host: Host, path: RelPath, complaint: str) -> None:
    host.reporter.warn(f"{path} is what the lock names, but {complaint}", _HINT)
