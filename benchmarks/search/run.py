"""`reconcile search` over many models, beside the same over one: what is beyond the start-up."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.measure import Cost, cost_of, machine, median
from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.ledger import Ledger, LedgerFile, LedgerModel, Provenance
from reconciler.core.names import ModelId, RelPath, Sha256

MODELS = (1, 1000, 10_000)
RUNS = 9
# What they find: every model, a tenth of them, one, and none.
SEARCHES = (("chat", "instruct"), ("quant-3",), ("model-00000",), ("nowhere",))
_SIZE_BYTES = 4_000_000_000


def table(_options: Sequence[str]) -> str:
    """Measure, and give the table as Markdown. There are no options."""
    rows = [
        f"`reconcile search` ({machine()}; median of {RUNS}, interleaved; in brackets what is "
        "beyond the same search over one model)",
        "",
        f"| words | {' | '.join(f'{count} models' for count in MODELS)} |",
        f"| :--- |{' ---: |' * len(MODELS)}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        hosts = [_host(Path(folder, str(count)), count) for count in MODELS]
        for words in SEARCHES:
            first, *others = _measure(words, hosts)
            cells = [f"{first.wall_seconds * 1000:.0f} ms"]
            for cost in others:
                beyond = cost.wall_seconds - first.wall_seconds
                cells.append(f"{cost.wall_seconds * 1000:.0f} ms ({beyond * 1000:+.0f} ms)")
            rows.append(f"| `{' '.join(words)}` | {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def _measure(words: Sequence[str], hosts: Sequence[dict[str, str]]) -> list[Cost]:
    command = [sys.executable, "-m", "reconciler", "search", *words]
    costs: list[list[Cost]] = [[] for _ in hosts]
    for _ in range(RUNS):
        for found, settings in zip(costs, hosts, strict=True):
            found.append(cost_of(command, {**os.environ, **settings}))
    return [median(found) for found in costs]


def _host(home: Path, count: int) -> dict[str, str]:
    """Make a models folder whose inventory has `count` models; give the settings that lead to it.

    The files themselves are not there: a search does not look at them.
    """
    home.mkdir()
    folder = ModelsFolder(home)
    folder.prepare()
    numbers = range(count)
    files = {
        (path := RelPath(f"acme/{_name(number)}-GGUF/{_name(number)}-Q4_K_M.gguf")): LedgerFile(
            path=path,
            size_bytes=_SIZE_BYTES,
            sha256=Sha256(f"{number:064x}"),
            provenance=Provenance.BROUGHT,
        )
        for number in numbers
    }
    models = {
        (key := ModelId(_name(number))): LedgerModel(
            id=key, files=(path,), source=f"acme/{key}-GGUF:Q4_K_M"
        )
        for number, path in zip(numbers, files, strict=True)
    }
    with closing(Inventory(folder.state, for_writing=True)) as inventory:
        inventory.save_ledger(Ledger(models=models, files=files))
        inventory.contents.record(
            {Sha256(f"{number:064x}"): (_SIZE_BYTES, _facts(number)) for number in numbers}
        )
    return {"RECONCILER_MODELS_DIR": str(home), "RECONCILER_RUNTIME": "none"}


def _name(number: int) -> str:
    return f"model-{number:05d}"


def _facts(number: int) -> GgufFacts:
    return GgufFacts(
        architecture="llama",
        name=f"Model {number} Instruct Quant-{number % 10}",
        quant="Q4_K_M",
        size_label="8B",
        context_length=32768,
        block_count=32,
        has_chat_template=True,
        template_knows_tools=True,
    )
