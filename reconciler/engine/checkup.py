"""Look at everything around llama-swap that can go wrong; what cannot be looked at is said.

Nothing is changed, and one thing that is out of order does not keep the rest from being seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.config_sources import Merged, read_sources
from reconciler.core.diagnosis import Access, Complaint, Facts
from reconciler.core.llamaswap.named_files import named_files
from reconciler.core.llamaswap.problem import Problem
from reconciler.core.llamaswap.rules import judge, standing
from reconciler.core.llamaswap.version import parse_version
from reconciler.core.mapping import to_container, to_host
from reconciler.core.observed import RuntimeState, RuntimeStatus, Sight
from reconciler.core.ports.serving import Runtime, Server
from reconciler.core.ports.store import Filesystems
from reconciler.core.ports.texts import ConfigFile, ConfigFolder
from reconciler.core.yamltext.config import read_config
from reconciler.core.yamltext.lines import line_of
from reconciler.errors import FaultyText, KeyRefused, ReconcilerError, ServerUnreachable

_LOG_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Configs:
    """llama-swap's config at `path`, and what lies around it.

    `open_server` gives llama-swap's interface at a URL, asked with the key that is known.
    """

    path: str
    config: ConfigFile
    folder: ConfigFolder
    open_server: Callable[[str], Server]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is looked at. `problem` says why there is no `runtime`.

    `find_models_dir` gives the models folder's own path, and `open_configs` the config, None where
    none is managed; both raise `ReconcilerError` where it is not known or not there. `look` says
    how we see a path of this host. `declared` are the models that the manifest names, and
    `sought` the container that was looked for, where nobody said what runs llama-swap.
    """

    runtime: Runtime | None
    problem: Complaint | None
    find_models_dir: Callable[[RuntimeState | None], str]
    open_configs: Callable[[RuntimeState], Configs | None]
    open_server: Callable[[str], Server]
    look: Callable[[str], Sight]
    filesystems: Filesystems
    reserve_bytes: int
    declared: frozenset[str]
    sought: str = ""


def check_up(patient: Patient) -> Facts:
    """Find out what can be found out. Never raises for what is out of order."""
    facts = Facts(
        runtime=None,
        runtime_problem=patient.problem,
        reserve_bytes=patient.reserve_bytes,
        declared=patient.declared,
        sought=patient.sought,
    )
    if patient.runtime is not None:
        try:
            facts = replace(facts, runtime=patient.runtime.observe())
        except ReconcilerError as error:
            facts = replace(facts, runtime_problem=_complaint(error))
    facts, state = _look_at_disk(facts, patient), facts.runtime
    if state is None or patient.runtime is None:
        return facts
    facts, configs = _look_at_config(facts, state, patient)
    open_server = configs.open_server if configs is not None else patient.open_server
    facts = _ask(facts, state, open_server)
    if facts.access is Access.SILENT or state.is_restarting:
        facts = replace(facts, log=patient.runtime.last_log_lines(_LOG_LINES))
    if configs is not None:
        facts = _read_config(facts, configs)
    return _look_inside(facts, state, patient.runtime, patient.look)


def _look_at_disk(facts: Facts, patient: Patient) -> Facts:
    try:
        models_dir = patient.find_models_dir(facts.runtime)
        return replace(
            facts,
            models_dir=models_dir,
            room=patient.filesystems.room(models_dir),
            mount=patient.filesystems.mount(models_dir),
        )
    except ReconcilerError as error:
        return replace(facts, models_problem=_complaint(error))


def _look_at_config(
    facts: Facts, state: RuntimeState, patient: Patient
) -> tuple[Facts, Configs | None]:
    try:
        configs = patient.open_configs(state)
    except ReconcilerError as error:
        return replace(facts, config_problem=_complaint(error)), None
    return replace(facts, config_path=configs.path if configs else None), configs


def _ask(facts: Facts, state: RuntimeState, open_server: Callable[[str], Server]) -> Facts:
    if state.url is None or state.status is RuntimeStatus.STOPPED:
        return facts
    try:
        server = open_server(state.url)
        if not server.is_healthy():
            return replace(facts, access=Access.SILENT)
        server.model_ids()
    except KeyRefused as error:
        access = Access.KEY_REFUSED if error.sent else Access.KEY_MISSING
        return replace(facts, access=access)
    except ServerUnreachable:
        return replace(facts, access=Access.SILENT)
    return replace(facts, access=Access.OPEN, version=parse_version(server.version()))


def _read_config(facts: Facts, configs: Configs) -> Facts:
    """Read the config with all that it is merged with, and judge it as llama-swap would."""
    try:
        found = configs.config.read()
        data = found or b""
        sources = read_sources(configs.path, configs.folder.read())
        merged = sources.merged(read_config(data, configs.path))
    except FaultyText as error:
        return replace(facts, config_faults=tuple(str(fault) for fault in error.faults))
    except ReconcilerError as error:
        return replace(facts, config_problem=_complaint(error))
    texts = {**sources.texts, configs.path: data}
    problems = (*standing(judge(merged.data), facts.version), *merged.problems)
    return replace(
        facts,
        data=merged.data,
        config_here=found,
        config_faults=tuple(_located(problem, merged, texts) for problem in problems),
    )


def _located(problem: Problem, merged: Merged, texts: Mapping[str, bytes]) -> str:
    at = merged.locate(problem.path)
    line = line_of(texts[at.path], at.path, at.place)
    return f"{at.path}:{line}: {problem.message}"


def _look_inside(
    facts: Facts, state: RuntimeState, runtime: Runtime, look: Callable[[str], Sight]
) -> Facts:
    """See the config, the models folder and the files that entries name as llama-swap does."""
    named = {path for paths in named_files(facts.data or {}).values() for path in paths}
    paths = {*named, *((state.config_inside,) if state.config_inside else ())}
    if facts.models_dir is not None and state.is_container:
        inside = to_container(facts.models_dir, state.mappings)
        paths |= {inside} if inside is not None else set()
    try:
        sights = dict(runtime.sights(sorted(paths)))
        seen = None
        # In a folder of configs ours is another file than the one that -config names.
        if state.config_inside is not None and facts.config_path == state.config_path:
            seen = runtime.read_inside(state.config_inside)
    except ReconcilerError:
        sights, seen = {}, None
    for path in paths - sights.keys():
        # Where nobody can look from inside, a file that is not even here is not there either.
        mapped = state.is_container or state.mappings
        host = to_host(path, state.mappings) if mapped else path
        if host is not None and look(host) is Sight.ABSENT:
            sights[path] = Sight.ABSENT
    return replace(
        facts,
        sights=sights,
        config_inside=seen,
        here=frozenset(path for path in named if look(path) is not Sight.ABSENT),
    )


def _complaint(error: ReconcilerError) -> Complaint:
    return Complaint(message=error.message, hint=error.hint)
