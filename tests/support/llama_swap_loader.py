"""What llama-swap's own loader accepts, written down a second time for the stand-in.

The product has its rules of its own; sharing them here would let a mistake in them pass for the
truth. Two behaviours are told apart: `2025` (v173) and `2026` (v250).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.llama_swap_macros import Macros, expand, read_macros, refuse_left_over
from tests.support.llama_swap_merge import merge
from tests.support.llama_swap_references import Names, check_old_references, check_references
from tests.support.llama_swap_values import (
    ConfigRefused,
    check_types,
    integer,
    mapping,
    switch,
    text,
    texts,
)
from tests.support.llama_swap_yaml import read_yaml

__all__ = ["BEHAVIOURS", "ENV_MACRO", "Config", "ConfigRefused", "Model", "load", "split_command"]

BEHAVIOURS = ("2025", "2026")
ENV_MACRO = re.compile(r"\$\{env\.([a-zA-Z_][a-zA-Z0-9_]*)\}")
MODALITIES = frozenset({"text", "audio", "image"})
LOG_TARGETS = ("", "proxy", "upstream", "both", "none")
# The keys of a model in which 2025 replaces macros; 2026 does so in every value.
OLD_MACRO_KEYS = frozenset({"cmd", "cmdStop", "proxy", "checkEndpoint", "metadata"})
# What 2026 looks into for macros that nobody declared, beside the models.
KNOWN_KEYS = frozenset(
    {
        *("groups", "matrix", "routing", "selectors", "profiles", "peers", "hooks", "apiKeys"),
        *("store", "ui", "performance", "upstream", "logLevel", "logTimeFormat", "logToStdout"),
    }
)
TOP_TYPES = {
    "2025": {
        **dict.fromkeys(("logLevel",), "text"),
        **dict.fromkeys(("healthCheckTimeout", "metricsMaxInMemory", "startPort"), "integer"),
        **dict.fromkeys(("logRequests", "sendLoadingState", "includeAliasesInList"), "switch"),
        **dict.fromkeys(("models", "macros", "groups", "profiles", "hooks"), "mapping"),
    }
}
TOP_TYPES["2026"] = TOP_TYPES["2025"] | {
    **dict.fromkeys(("logTimeFormat", "logToStdout"), "text"),
    **dict.fromkeys(("globalTTL", "unloadTimeout", "captureBuffer"), "integer"),
    **dict.fromkeys(("matrix", "routing", "selectors", "peers"), "mapping"),
    "apiKeys": "texts",
}
MODEL_TYPES = {
    "2025": {
        **dict.fromkeys(("cmd", "cmdStop", "proxy", "checkEndpoint", "useModelName"), "text"),
        **dict.fromkeys(("name", "description"), "text"),
        **dict.fromkeys(("ttl", "concurrencyLimit"), "integer"),
        **dict.fromkeys(("unlisted", "sendLoadingState"), "switch"),
        **dict.fromkeys(("aliases", "env"), "texts"),
        **dict.fromkeys(("macros", "filters", "metadata"), "mapping"),
    }
}
MODEL_TYPES["2026"] = MODEL_TYPES["2025"] | {
    **dict.fromkeys(("timeouts", "capabilities"), "mapping"),
    "unloadTimeout": "integer",
}
CAPABILITY_TYPES = {
    **dict.fromkeys(("in", "out"), "texts"),
    **dict.fromkeys(("tools", "reranker"), "switch"),
    "context": "integer",
}
Entries = dict[str, dict[str, Any] | None]


@dataclass(frozen=True)
class Model:
    """One model as the server runs it; macros and its port are filled in."""

    id: str
    cmd: str
    proxy: str
    check_endpoint: str
    name: str
    description: str
    aliases: tuple[str, ...]
    env: tuple[str, ...]
    metadata: Mapping[str, Any]
    ttl: int
    unlisted: bool
    takes_port: bool
    # What `filters.setParamsByID` tells apart; in 2026 the model answers to these names too.
    set_params: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """An accepted config, as far as the stand-in serves it."""

    models: Mapping[str, Model]
    groups: Mapping[str, Mapping[str, Any]]
    api_keys: tuple[str, ...]
    preload: tuple[str, ...]
    list_aliases: bool
    fault: str

    def resolve(self, name: str) -> Model | None:
        """Find a model by ID, else by alias: a model's ID always wins."""
        if name in self.models:
            return self.models[name]
        return next((model for model in self.models.values() if name in model.aliases), None)


def load(data: bytes, *, behave: str, environ: Mapping[str, str]) -> Config:
    """Read and check a config as the given version does. Raises `ConfigRefused`."""
    return load_sources([("the config", data)], behave=behave, environ=environ)


def load_sources(
    sources: Sequence[tuple[str, bytes]], *, behave: str, environ: Mapping[str, str]
) -> Config:
    """Read several files as one config. Raises `ConfigRefused`."""
    root = merge((file, read_yaml(data)) for file, data in sources)
    if behave == "2026":
        root = _replace_environment(root, environ)
    macros = read_macros(root.get("macros"), "macros", behave)
    if behave == "2026":
        root = _expanded_around_models(root, macros)
    check_types(root, TOP_TYPES[behave], "")
    _check_settings(root, behave)
    entries = _model_entries(root, behave)
    _check_aliases(entries, behave)
    models: dict[str, Model] = {}
    port = integer(root.get("startPort"), "startPort", 5800)
    for model_id in sorted(entries, key=str.encode):
        entry, takes_port = _filled_in(model_id, entries[model_id], macros, port, behave)
        models[model_id] = _model(model_id, entry, root, behave, takes_port=takes_port)
        port += takes_port
    if behave == "2026":
        _check_names(models)
    known = frozenset(models) | {alias for model in models.values() for alias in model.aliases}
    names = Names(ids=frozenset(models), local=known, peers=_peer_names(root))
    hooks = mapping(root.get("hooks"), "hooks")
    startup = mapping(hooks.get("on_startup"), "hooks.on_startup")
    preload = texts(startup.get("preload"), "hooks.on_startup.preload")
    return Config(
        models=models,
        groups=check_old_references(root) if behave == "2025" else check_references(root, names),
        api_keys=_api_keys(root) if behave == "2026" else (),
        preload=tuple(name.strip() for name in preload if name.strip() in known),
        list_aliases=switch(root.get("includeAliasesInList"), "includeAliasesInList"),
        fault=_fault(macros, entries.values(), behave),
    )


def split_command(command: str) -> list[str]:
    """Cut a command into arguments as llama-swap does: no shell, few escapes."""
    lines = []
    for line in _without_comments(command).split("\n"):
        trimmed = line.strip()
        lines.append(f"{trimmed[:-1]} " if trimmed.endswith("\\") else line)
    joined = "\n".join(lines)
    arguments: list[str] = []
    current: str | None = None
    quote = ""
    position = 0
    while position < len(joined):
        sign = joined[position]
        position += 1
        follows = joined[position : position + 1]
        escapes = not quote or (quote == '"' and follows in tuple('$`"\\\n'))
        if sign == "\\" and follows and escapes:
            current = (current or "") + follows
            position += 1
        elif quote and sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
            current = current or ""
        elif not quote and sign in " \t\n":
            if current is not None:
                arguments.append(current)
            current = None
        else:
            current = (current or "") + sign
    if quote:
        raise ConfigRefused("a quote in the command is not closed")
    return arguments if current is None else [*arguments, current]


def _without_comments(command: str) -> str:
    return "\n".join(line for line in command.split("\n") if not line.strip().startswith("#"))


def _replace_environment(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            _replace_environment(key, environ): _replace_environment(item, environ)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_replace_environment(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    for name in ENV_MACRO.findall(value):
        if name not in environ:
            raise ConfigRefused(f"environment variable {name} is not set")
    return ENV_MACRO.sub(lambda match: environ[match.group(1)], value)


def _expanded_around_models(root: dict[str, Any], macros: Macros) -> dict[str, Any]:
    """Replace the global macros in all but the models; what is left over is unknown."""
    expanded = {
        key: value if key in ("models", "macros") else expand(value, macros)
        for key, value in root.items()
    }
    for key in KNOWN_KEYS & expanded.keys():
        refuse_left_over(expanded[key], key)
    return expanded


def _check_settings(root: Mapping[str, Any], behave: str) -> None:
    if integer(root.get("startPort"), "startPort", 5800) < 1:
        raise ConfigRefused("startPort must be 1 or more")
    if behave == "2026" and integer(root.get("globalTTL"), "globalTTL") < 0:
        raise ConfigRefused("globalTTL must be 0 or more")
    if behave == "2026" and text(root.get("logToStdout"), "logToStdout") not in LOG_TARGETS:
        raise ConfigRefused("logToStdout must be one of: proxy, upstream, both, none")


def _api_keys(root: Mapping[str, Any]) -> tuple[str, ...]:
    keys = texts(root.get("apiKeys"), "apiKeys")
    if any(not key or " " in key for key in keys):
        raise ConfigRefused("an API key is not empty and holds no space")
    return keys


def _model_entries(root: Mapping[str, Any], behave: str) -> Entries:
    """Give each model's entry; None where it is null, which is not the same as an empty one."""
    models = mapping(root.get("models"), "models")
    if behave == "2026" and not all(isinstance(key, str) for key in models):
        return {}
    return {
        key if isinstance(key, str) else json.dumps(key, default=str): (
            None if entry is None else mapping(entry, f"models.{key}")
        )
        for key, entry in models.items()
    }


def _check_aliases(entries: Entries, behave: str) -> None:
    """Check the aliases as they are written, as 2025 does."""
    seen: set[str] = set()
    for model_id, entry in entries.items() if behave == "2025" else ():
        for alias in texts((entry or {}).get("aliases"), f"models.{model_id}.aliases"):
            if alias in seen:
                raise ConfigRefused(f"duplicate alias {alias} found in model: {model_id}")
            seen.add(alias)


def _check_names(models: Mapping[str, Model]) -> None:
    """Check the names as 2026 does: macros replaced, keys of `setParamsByID` among them."""
    homes: dict[str, str] = {}
    for model in models.values():
        for alias in model.aliases:
            if alias in homes:
                raise ConfigRefused(f"duplicate alias {alias}: {homes[alias]}, {model.id}")
            homes[alias] = model.id
    for model in models.values():
        for key in model.set_params:
            if key != model.id and key in models:
                raise ConfigRefused(f"models.{model.id}: setParamsByID {key} is a model's ID")


def _filled_in(
    model_id: str, entry: dict[str, Any] | None, shared: Macros, port: int, behave: str
) -> tuple[dict[str, Any], bool]:
    """Give an entry without comments in commands, macros replaced, and whether it takes `port`."""
    if entry is None:
        return {"proxy": ""}, False
    where = f"models.{model_id}"
    own = read_macros(entry.get("macros"), where, behave)
    scope = {"MODEL_ID": model_id, **shared, **own}
    entry = {key: value for key, value in entry.items() if value is not None}
    for key in {"cmd", "cmdStop"} & entry.keys():
        entry[key] = _without_comments(text(entry[key], f"{where}.{key}"))
    entry.setdefault("proxy", "http://localhost:${PORT}")
    entry |= expand(_reached(entry, behave), scope)
    takes_port = "${PORT}" in text(entry.get("cmd"), f"{where}.cmd")
    if takes_port:
        entry |= expand(_reached(entry, behave), {"PORT": port})
    elif "${PORT}" in text(entry["proxy"], f"{where}.proxy"):
        raise ConfigRefused(f"model {model_id}: proxy uses ${{PORT}} but cmd does not")
    for key, value in _reached(entry, behave).items():
        refuse_left_over(value, f"{model_id}.{key}", allowed="PID" if key == "cmdStop" else "")
    return entry, takes_port


def _reached(entry: Mapping[str, Any], behave: str) -> dict[str, Any]:
    """Give what of an entry macros are replaced in."""
    if behave == "2026":
        return {key: value for key, value in entry.items() if key != "macros"}
    filters = mapping(entry.get("filters"), "filters")
    reached = {key: entry[key] for key in OLD_MACRO_KEYS & entry.keys()}
    return reached | {"filters": {"stripParams": filters.get("stripParams")}}


def _model(
    model_id: str,
    entry: Mapping[str, Any],
    root: Mapping[str, Any],
    behave: str,
    *,
    takes_port: bool,
) -> Model:
    where = f"models.{model_id}"
    check_types(entry, MODEL_TYPES[behave], where)
    env = texts(entry.get("env"), f"{where}.env")
    for item in env:
        if "=" not in item[1:]:
            raise ConfigRefused(f"{where}.env: {item} is not NAME=value")
    aliases = texts(entry.get("aliases"), f"{where}.aliases")
    ttl = integer(entry.get("ttl"), f"{where}.ttl", -1 if behave == "2026" else 0)
    by_id: tuple[str, ...] = ()
    if behave == "2026":
        ttl = integer(root.get("globalTTL"), "globalTTL") if ttl == -1 else ttl
        if ttl < 0:
            raise ConfigRefused(f"model {model_id}: invalid TTL value {ttl}")
        _check_capabilities(mapping(entry.get("capabilities"), f"{where}.capabilities"), where)
        filters = mapping(entry.get("filters"), f"{where}.filters")
        by_id = tuple(map(str, mapping(filters.get("setParamsByID"), f"{where}.setParamsByID")))
        refuse_left_over(list(by_id), f"{where}.setParamsByID")
    return Model(
        id=model_id,
        cmd=text(entry.get("cmd"), f"{where}.cmd"),
        proxy=text(entry["proxy"], f"{where}.proxy"),
        check_endpoint=text(entry.get("checkEndpoint"), f"{where}.checkEndpoint") or "/health",
        name=text(entry.get("name"), f"{where}.name"),
        description=text(entry.get("description"), f"{where}.description"),
        aliases=(*aliases, *(key for key in by_id if key not in (model_id, *aliases))),
        set_params=by_id,
        env=env,
        metadata=mapping(entry.get("metadata"), f"{where}.metadata"),
        ttl=ttl,
        unlisted=switch(entry.get("unlisted"), f"{where}.unlisted"),
        takes_port=takes_port,
    )


def _check_capabilities(capabilities: Mapping[str, Any], where: str) -> None:
    check_types(capabilities, CAPABILITY_TYPES, f"{where}.capabilities")
    for key in ("in", "out"):
        unknown = set(texts(capabilities.get(key), f"{where}.capabilities.{key}")) - MODALITIES
        if unknown:
            raise ConfigRefused(f"{where}.capabilities.{key}: unknown {sorted(unknown)}")
    if integer(capabilities.get("context"), f"{where}.capabilities.context") < 0:
        raise ConfigRefused(f"{where}.capabilities.context is negative")


def _peer_names(root: Mapping[str, Any]) -> frozenset[str]:
    """Give the names of other hosts' models: each alone, and behind the host's own name."""
    names: set[str] = set()
    for peer, settings in mapping(root.get("peers"), "peers").items():
        for model in texts(mapping(settings, f"peers.{peer}").get("models"), f"peers.{peer}"):
            names |= {model, f"{peer}/{model}"}
    return frozenset(names)


def _fault(shared: Macros, entries: Iterable[dict[str, Any] | None], behave: str) -> str:
    """Give the fault that a `test-fault` macro orders: the config's own, or any one model's."""
    own = (read_macros((entry or {}).get("macros"), "macros", behave) for entry in entries)
    return next((str(each["test-fault"]) for each in (shared, *own) if "test-fault" in each), "")
