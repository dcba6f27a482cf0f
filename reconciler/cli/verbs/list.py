"""List what is here: the models that were applied, or the GGUF files that nobody declares."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Collection, Iterator
from dataclasses import asdict

from reconciler.adapters.manifest_files import lock_path_of
from reconciler.adapters.store.lock_file import LockTextFile
from reconciler.cli.console import Console
from reconciler.cli.listing import listed_lines
from reconciler.cli.records import Records, open_records
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted
from reconciler.core.catalogue import Listed, catalogue, list_files, shard_sets
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.header import read_header
from reconciler.core.names import RelPath
from reconciler.core.reading.lock_text import parse_lock
from reconciler.core.sizes import human_bytes
from reconciler.errors import ReconcilerError


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """List; never changes anything."""
    with open_records(settings, console) as records:
        if options.unowned:
            models = tuple(_unowned(records, _pinned_paths(settings)))
        else:
            inventory = records.inventory
            models = catalogue(inventory.load_ledger(), inventory.contents.facts())
    if settings.json:
        key = "files" if options.unowned else "models"
        print(json.dumps({key: [asdict(model) for model in models]}, indent=2))
        return 0
    if not models:
        print(_nothing(unowned=options.unowned))
        return 0
    style = Style(sys.stdout, no_color=settings.no_color)
    for line in listed_lines(models, style, declared=not options.unowned):
        print(line)
    totals = [] if options.unowned else [counted(len(models), "model")]
    totals.append(counted(sum(model.files for model in models), "file"))
    totals.append(human_bytes(sum(model.size_bytes for model in models)))
    print(f"\n{', '.join(totals)}")
    return 0


def _nothing(*, unowned: bool) -> str:
    if unowned:
        return "Every GGUF file in the models folder is declared."
    return "No model was applied here yet: see `reconcile --plan`."


def _pinned_paths(settings: Settings) -> Collection[RelPath]:
    """Give what the lock names: declared, though it may not be applied yet."""
    path = lock_path_of(settings.manifest)
    text = LockTextFile(path).read()
    lock = parse_lock(text, str(path)) if text is not None else None
    return {file.path for pin in lock.pins.values() for file in pin.files} if lock else set()


def _unowned(records: Records, pinned: Collection[RelPath]) -> Iterator[Listed]:
    owned = records.inventory.load_ledger().files
    found = records.folder.gguf_files()
    for paths in shard_sets(path for path in found if path not in owned and path not in pinned):
        yield list_files(
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
