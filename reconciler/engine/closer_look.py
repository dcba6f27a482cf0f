"""Look at what matters only where llama-swap's config changes: who will read it, and the headers.

A plan with nothing to do asks llama-swap nothing, and opens no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.comparison import Comparison
from reconciler.core.contents import telling_files
from reconciler.core.llamaswap.version import parse_version
from reconciler.core.lock import PinnedFile
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import Observed, RuntimeState, RuntimeStatus
from reconciler.engine.fetch import is_staged
from reconciler.engine.host import Host
from reconciler.errors import GgufInvalid, ReconcilerError

if TYPE_CHECKING:
    from reconciler.core.gguf.facts import GgufFacts


def look_closer(host: Host, compared: Comparison) -> Comparison:
    """Give `compared` with what else it should be decided on; itself where that is none.

    The version is asked where an entry or a file changes, or the config is to be taken anew. A
    header that cannot be read now is left out.
    """
    observed = compared.observed
    is_running = observed.runtime.status is RuntimeStatus.RUNNING
    is_pending = is_running and compared.ledger.reload_pending
    if not (compared.changing or compared.places or compared.renaming.entries or is_pending):
        return compared
    version = running_version(host, observed.runtime)
    files = _files_to_read(compared, version)
    facts = _facts_of(files, observed, host) if files else {}
    if version is None and not facts:
        return compared
    return compared.looked_closer(replace(observed, version=version, facts=facts))


def running_version(host: Host, runtime: RuntimeState) -> int | None:
    """Ask the llama-swap that runs for its version; None where it does not say."""
    if runtime.url is None or runtime.status is RuntimeStatus.STOPPED:
        return None
    return parse_version(host.open_server(runtime.url).version())


def _files_to_read(compared: Comparison, version: int | None) -> tuple[PinnedFile, ...]:
    """Give the files whose headers decide something: where an entry of ours, or its bytes, change.

    Nothing is scaffolded in entries that others made, and so their headers are not read.
    """
    new = {item.sha256 for item in compared.places}
    made = (item.model for item in compared.declared.entries if item.after and item.after.made)
    return tuple(
        file
        for key in made
        for files in [tuple(telling_files(compared.desired.models[key], version))]
        if key in compared.changing or any(file.sha256 in new for file in files)
        for file in files
    )


def _facts_of(
    files: tuple[PinnedFile, ...], observed: Observed, host: Host
) -> dict[Sha256, GgufFacts]:
    wanted = {file.sha256 for file in files}
    known = dict(host.inventory.contents.facts_of(wanted))
    here = {file.sha256: file.path for file in observed.files.values() if file.sha256 in wanted}
    for file in files:
        if file.sha256 not in known:
            known.update(_read(file, here.get(file.sha256), host))
    return known


def _read(file: PinnedFile, path: RelPath | None, host: Host) -> Iterator[tuple[Sha256, GgufFacts]]:
    """Read a file's header, where it lies or where it is staged, if its bytes are proven there."""
    from reconciler.core.gguf.header import read_header

    staged = host.folder.stage_name(file.sha256, 0)
    try:
        if path is not None:
            with host.folder.reading(path) as source:
                yield file.sha256, read_header(source).facts
        elif is_staged(staged, file.sha256, host):
            with host.folder.reading_kept(staged) as source:
                yield file.sha256, read_header(source).facts
    except (GgufInvalid, ReconcilerError):
        # It is told of once the file is in its place.
        return
