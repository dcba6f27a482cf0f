"""List what is here: the models that were applied, or the GGUF files that nobody declares."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

from reconciler.adapters.manifest_files import lock_path_of
from reconciler.adapters.store.lock_file import MOVED_PINS, LockTextFile
from reconciler.cli.console import Console
from reconciler.cli.listing import NOTHING_APPLIED, listed_lines
from reconciler.cli.records import Records, open_records
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted
from reconciler.core.catalogue import Listed, catalogue, list_files, shard_sets
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.header import read_header
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.names import ModelId, RelPath
from reconciler.core.reading.lock_text import parse_lock, parse_moved_pins
from reconciler.core.sizes import human_bytes
from reconciler.errors import ReconcilerError

_ALL_DECLARED: Final = "Every GGUF file in the models folder is declared."


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """List; never changes anything."""
    with open_records(settings, console) as records:
        ledger = records.inventory.load_ledger()
        if options.unowned:
            models = tuple(_unowned(records, ledger, _pinned_paths(settings, records)))
        else:
            models = tuple(_applied(records, ledger))
    if settings.json:
        key = "files" if options.unowned else "models"
        print(json.dumps({key: [asdict(model) for model in models]}, indent=2))
        return 0
    if not models:
        print(_ALL_DECLARED if options.unowned else NOTHING_APPLIED)
        return 0
    style = Style(sys.stdout, no_color=settings.no_color)
    for line in listed_lines(models, style, declared=not options.unowned):
        print(line)
    # A file of ours that several models use is there once.
    ours = () if options.unowned else ledger.files.values()
    others = [item for item in models if options.unowned or _is_discovered(item, ledger)]
    files = len(ours) + sum(item.files for item in others)
    size_bytes = sum(file.size_bytes for file in ours) + sum(item.size_bytes for item in others)
    totals = [] if options.unowned else [counted(len(models), "model")]
    print(f"\n{', '.join([*totals, counted(files, 'file'), human_bytes(size_bytes)])}")
    return 0


def _is_discovered(item: Listed, ledger: Ledger) -> bool:
    return ledger.models[ModelId(item.model)].discovered is not None


def _applied(records: Records, ledger: Ledger) -> Iterator[Listed]:
    """Give the models of the ledger; nothing is kept of the files that are served as found."""
    models = catalogue(ledger, records.inventory.contents.facts())
    sets: Mapping[RelPath, Sequence[RelPath]] = {}
    found: Mapping[RelPath, FileIdentity] = {}
    if any(_is_discovered(item, ledger) for item in models):
        found = records.folder.gguf_files()
        sets = {paths[0]: paths for paths in shard_sets(found)}
    for item in models:
        first = ledger.models[ModelId(item.model)].discovered
        if first is None or first not in sets:
            yield item
        else:
            told = _on_disk(records, sets[first], found)
            yield replace(told, model=item.model, aliases=item.aliases)


def _pinned_paths(settings: Settings, records: Records) -> Collection[RelPath]:
    """Give what any pin names: declared, though it may not be applied yet."""
    path, moved_path = lock_path_of(settings.manifest), records.state / MOVED_PINS
    text, moved_text = LockTextFile(path).read(), LockTextFile(moved_path).read()
    pins = [*parse_lock(text, str(path)).pins.values()] if text is not None else []
    if moved_text is not None:
        pins += parse_moved_pins(moved_text, str(moved_path)).pins.values()
    return {file.path for pin in pins for file in pin.files}


def _unowned(records: Records, ledger: Ledger, pinned: Collection[RelPath]) -> Iterator[Listed]:
    found = records.folder.gguf_files()
    others = (path for path in found if path not in ledger.files and path not in pinned)
    for paths in shard_sets(others):
        yield _on_disk(records, paths, found)


def _on_disk(
    records: Records, paths: Sequence[RelPath], found: Mapping[RelPath, FileIdentity]
) -> Listed:
    return list_files(
        paths,
        size_bytes=sum(found[path].size_bytes for path in paths),
        facts=[_facts(records, path) for path in paths],
    )


def _facts(records: Records, path: RelPath) -> GgufFacts | None:
    """Read what a file says of itself; None where it cannot be read, or is no such file."""
    try:
        with records.folder.reading(path) as source:
            return read_header(source).facts
    except ReconcilerError:
        return None
