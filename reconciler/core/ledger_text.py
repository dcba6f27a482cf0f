"""The ledger as JSON and back: how it is kept in the inventory and copied beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from reconciler.core.ledger import (
    Ledger,
    LedgerEntry,
    LedgerField,
    LedgerFile,
    LedgerGroup,
    LedgerModel,
    MadePlace,
    Provenance,
    Scaffold,
)
from reconciler.core.names import ModelId, RelPath, Sha256


def ledger_to_json(ledger: Ledger) -> dict[str, Any]:
    """Give the ledger as plain JSON values; models and files as lists, in a stable order."""
    document = {item.name: getattr(ledger, item.name) for item in fields(ledger)}
    document["scaffold"] = asdict(ledger.scaffold)
    document["models"] = [asdict(model) for _, model in sorted(ledger.models.items())]
    document["files"] = [asdict(file) for _, file in sorted(ledger.files.items())]
    return document


def ledger_from_json(document: Mapping[str, Any]) -> Ledger:
    """Read what `ledger_to_json` wrote. Raises KeyError, TypeError or ValueError otherwise."""
    models = [_model(item) for item in document["models"]]
    files = [_file(item) for item in document["files"]]
    return Ledger(
        **{
            **document,
            "models": {model.id: model for model in models},
            "files": {file.path: file for file in files},
            "scaffold": _scaffold(document["scaffold"]),
        }
    )


def _model(item: Mapping[str, Any]) -> LedgerModel:
    return LedgerModel(
        id=ModelId(item["id"]),
        files=tuple(RelPath(path) for path in item["files"]),
        entry=_entry(item["entry"]) if item["entry"] else None,
        protect=item["protect"],
        source=item.get("source", ""),
        discovered=RelPath(item["discovered"]) if item.get("discovered") else None,
        group=LedgerGroup(**item["group"]) if item.get("group") else None,
    )


def _scaffold(item: Mapping[str, Any]) -> Scaffold:
    places = tuple(
        MadePlace(place=tuple(made["place"]), filled=made["filled"])
        for made in item.get("groups", ())
    )
    return Scaffold(**{**item, "groups": places})


def _entry(item: Mapping[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        made=item["made"],
        fields={key: LedgerField(**value) for key, value in item["fields"].items()},
        original_key=item.get("original_key"),
    )


def _file(item: Mapping[str, Any]) -> LedgerFile:
    return LedgerFile(
        path=RelPath(item["path"]),
        size_bytes=item["size_bytes"],
        sha256=Sha256(item["sha256"]),
        provenance=Provenance(item["provenance"]),
    )
