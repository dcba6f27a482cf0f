"""What is wrong in llama-swap's config, and with the files that its entries name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from reconciler.core.diagnosis import Facts, Finding, Severity
from reconciler.core.llamaswap.named_files import fetched_at_start, named_files
from reconciler.core.mapping import to_container, to_host
from reconciler.core.observed import RuntimeState, Sight


def check_config(facts: Facts) -> Iterator[Finding]:
    """Give what is wrong with the config's text, and what its entries name in vain."""
    if facts.config_problem is not None:
        yield Finding(
            rule="config",
            severity=Severity.ERROR,
            what=facts.config_problem.message,
            why="llama-swap's config cannot be looked at, nor written",
            mend=facts.config_problem.hint or "mend what it says",
        )
    for fault in facts.config_faults:
        yield Finding(
            rule="config-refused",
            severity=Severity.ERROR,
            what=fault,
            why="llama-swap does not start with this config, and keeps the old one if it runs",
            mend="mend it at that line",
        )
    if facts.data is None:
        return
    yield from _check_fetching(facts.data, facts)
    if facts.runtime is not None:
        yield from _check_files(facts.data, facts.runtime, facts)


def _check_fetching(data: Mapping[str, object], facts: Facts) -> Iterator[Finding]:
    for model, flag in fetched_at_start(data).items():
        declared = model in facts.declared
        where = "serve.args or serve.cmd of the manifest" if declared else "its cmd"
        yield Finding(
            rule="fetches-at-start",
            severity=Severity.ERROR if declared else Severity.WARNING,
            what=f"the command of {model} fetches its model by itself ({flag})",
            why="its first request waits for a download, unverified and not pinned, and most often "
            "fails at the health check's time limit",
            mend=f"take {flag} out of {where} and have it fetched first: "
            + ("`reconcile` then writes -m" if declared else "declare it in the manifest"),
        )


def _check_files(
    data: Mapping[str, object], state: RuntimeState, facts: Facts
) -> Iterator[Finding]:
    unreadable: dict[str, str] = {}
    for model, paths in named_files(data).items():
        for path in paths:
            sight = facts.sights.get(path)
            if sight is Sight.ABSENT:
                yield _absent(model, path, state, facts)
            elif sight is Sight.UNREADABLE:
                unreadable.setdefault(path, model)
    for path, model in unreadable.items():
        host = to_host(path, state.mappings) or path
        user = f" (as user {state.user})" if state.user else ""
        yield Finding(
            rule="file-unreadable",
            severity=Severity.ERROR,
            what=f"{state.called} may not read {path}, which {model} names{user}",
            why="llama-server ends with an error when the model is asked for",
            mend="let that user read it",
            commands=_let_read(host, facts.models_dir),
        )


def _absent(model: str, path: str, state: RuntimeState, facts: Facts) -> Finding:
    """Say what to do about a file that an entry names and llama-swap does not see."""
    inside = to_container(path, state.mappings) if path in facts.here else None
    if inside is not None:
        mend = f"name it as the container sees it: {inside}"
    elif model in facts.declared:
        mend = "run `reconcile`, which brings it"
    else:
        mend = "bring it there, name another file, or take the entry out"
    return Finding(
        rule="file-absent",
        severity=Severity.ERROR,
        what=f"{model} names {path}, which {state.called} does not see"
        + (": it is a path of this host" if inside is not None else ""),
        why="llama-server ends with an error when the model is asked for",
        mend=mend,
    )


def _let_read(path: str, models_dir: str | None) -> tuple[str, ...]:
    """Open a file and the folders down to it, from the models folder on."""
    if models_dir is not None and PurePosixPath(path).is_relative_to(models_dir):
        return (f"chmod -R o+rX {shlex.quote(models_dir)}",)
    return (f"chmod o+r {shlex.quote(path)}",)
