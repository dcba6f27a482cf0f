"""What llama-swap's own loader accepts, written down a second time for the stand-in.

The product has its rules of its own; sharing them here would let a mistake in them pass for the
truth. Two behaviours are told apart: `2025` (v173) and `2026` (v250).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError

BEHAVIOURS = ("2025", "2026")
MACRO = re.compile(r"\$\{([a-zA-Z0-9_-]+)\}")
ENV_MACRO = re.compile(r"\$\{env\.([a-zA-Z_][a-zA-Z0-9_]*)\}")
MACRO_NAME = re.compile(r"[a-zA-Z0-9_-]{1,63}")
MATRIX_VAR = re.compile(r"[a-zA-Z0-9.-]{1,32}")
SET_TOKEN = re.compile(r"\s*([&|()]|\+?[^\s&|()+]+)")
RESERVED_MACROS = frozenset({"PORT", "MODEL_ID", "PID"})
MODALITIES = frozenset({"text", "audio", "image"})
# The text fields in which each version replaces macros.
MACRO_FIELDS = {
    "2025": ("cmd", "cmdStop", "proxy", "checkEndpoint"),
    "2026": ("cmd", "cmdStop", "proxy", "checkEndpoint", "name", "description"),
}


class ConfigRefused(Exception):
    """The loader does not accept this config; the text says why."""


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
    root = _parse_yaml(data)
    if behave == "2026":
        root = _replace_environment(root, environ)
    entries = _model_entries(root, behave)
    macros = _macros(root.get("macros"), "macros")
    _check_aliases(entries)
    models: dict[str, Model] = {}
    port = _integer(root.get("startPort"), "startPort", 5800)
    for model_id in sorted(entries, key=str.encode):
        model = _model(model_id, entries[model_id], macros, port, behave)
        models[model_id] = model
        port += model.takes_port
    known = set(models) | {alias for model in models.values() for alias in model.aliases}
    groups = _check_references(root, set(models), known, behave)
    keys = _texts(root.get("apiKeys"), "apiKeys") if behave == "2026" else ()
    hooks = _mapping(root.get("hooks"), "hooks")
    startup = _mapping(hooks.get("on_startup"), "hooks.on_startup")
    preload = _texts(startup.get("preload"), "hooks.on_startup.preload")
    return Config(
        models=models,
        groups=groups,
        api_keys=keys,
        preload=tuple(name for name in preload if name in known),
        list_aliases=bool(root.get("includeAliasesInList")),
        fault=_fault(macros, entries.values()),
    )


def split_command(text: str) -> list[str]:
    """Cut a command into arguments as llama-swap does: no shell, few escapes."""
    kept = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    text = "\n".join(kept).replace("\\\n", " ")
    arguments: list[str] = []
    current: str | None = None
    quote = ""
    position = 0
    while position < len(text):
        sign = text[position]
        position += 1
        if quote == '"' and sign == "\\" and text[position : position + 1] in tuple('$`"\\\n'):
            current = (current or "") + text[position]
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


def _parse_yaml(data: bytes) -> dict[str, Any]:
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            # Defining an anchor twice is legal, and people do.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root = next(iter(yaml.load_all(data.decode("utf-8-sig"))), None)
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigRefused(f"yaml: {error}") from error
    return _mapping(root, "the config")


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


def _model_entries(root: Mapping[str, Any], behave: str) -> dict[str, dict[str, Any]]:
    models = _mapping(root.get("models"), "models")
    if behave == "2026" and not all(isinstance(key, str) for key in models):
        return {}
    return {
        key if isinstance(key, str) else json.dumps(key, default=str): _mapping(
            entry, f"models.{key}"
        )
        for key, entry in models.items()
    }


def _check_aliases(entries: Mapping[str, Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for model_id, entry in entries.items():
        for alias in _texts(entry.get("aliases"), f"models.{model_id}.aliases"):
            if alias in seen:
                raise ConfigRefused(f"duplicate alias {alias} found in model: {model_id}")
            seen.add(alias)


def _model(
    model_id: str, entry: Mapping[str, Any], shared: Mapping[str, str], port: int, behave: str
) -> Model:
    where = f"models.{model_id}"
    macros = {"MODEL_ID": model_id, **shared, **_macros(entry.get("macros"), where)}
    fields = {key: _text(entry.get(key), f"{where}.{key}") for key in MACRO_FIELDS["2026"]}
    fields["proxy"] = fields["proxy"] or "http://localhost:${PORT}"
    for name in reversed(macros):
        for key in MACRO_FIELDS[behave]:
            fields[key] = fields[key].replace(f"${{{name}}}", macros[name])
    takes_port = "${PORT}" in fields["cmd"]
    if "${PORT}" in fields["proxy"] and not takes_port:
        raise ConfigRefused(f"model {model_id}: proxy uses ${{PORT}} but cmd does not")
    for key in MACRO_FIELDS[behave]:
        fields[key] = fields[key].replace("${PORT}", str(port))
        for name in MACRO.findall(fields[key]):
            if (key, name) != ("cmdStop", "PID"):
                raise ConfigRefused(f"unknown macro '${{{name}}}' found in {model_id}.{key}")
    env = _texts(entry.get("env"), f"{where}.env")
    for item in env:
        if "=" not in item[1:]:
            raise ConfigRefused(f"{where}.env: {item} is not NAME=value")
    ttl = _integer(entry.get("ttl"), f"{where}.ttl", 0)
    if behave == "2026" and ttl < -1:
        raise ConfigRefused(f"model {model_id}: invalid TTL value {ttl}")
    if behave == "2026":
        _check_capabilities(_mapping(entry.get("capabilities"), f"{where}.capabilities"), where)
    aliases = _texts(entry.get("aliases"), f"{where}.aliases")
    metadata = _mapping(entry.get("metadata"), f"{where}.metadata")
    filters = _mapping(entry.get("filters"), f"{where}.filters")
    if behave == "2026":
        by_id = _mapping(filters.get("setParamsByID"), f"{where}.filters.setParamsByID")
        named = (str(key).replace("${MODEL_ID}", model_id) for key in by_id)
        aliases += tuple(key for key in named if key != model_id and key not in aliases)
    return Model(
        id=model_id,
        cmd=fields["cmd"],
        proxy=fields["proxy"],
        check_endpoint=fields["checkEndpoint"] or "/health",
        name=fields["name"],
        description=fields["description"],
        aliases=aliases,
        env=env,
        metadata=_expand(metadata, {"PORT": str(port), **macros}, where),
        ttl=ttl,
        unlisted=bool(entry.get("unlisted")),
        takes_port=takes_port,
    )


def _expand(value: Any, macros: dict[str, str], where: str) -> Any:
    """Replace macros in every text below `value`."""
    if isinstance(value, dict):
        return {key: _expand(item, macros, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, macros, where) for item in value]
    if not isinstance(value, str):
        return value
    for name in reversed(macros):
        value = value.replace(f"${{{name}}}", macros[name])
    if left := MACRO.search(value):
        raise ConfigRefused(f"unknown macro '{left[0]}' found in {where}.metadata")
    return value


def _check_capabilities(capabilities: Mapping[str, Any], where: str) -> None:
    for key in ("in", "out"):
        unknown = set(_texts(capabilities.get(key), f"{where}.capabilities.{key}")) - MODALITIES
        if unknown:
            raise ConfigRefused(f"{where}.capabilities.{key}: unknown {sorted(unknown)}")
    if _integer(capabilities.get("context"), f"{where}.capabilities.context", 0) < 0:
        raise ConfigRefused(f"{where}.capabilities.context is negative")


def _check_references(
    root: Mapping[str, Any], ids: set[str], known: set[str], behave: str
) -> dict[str, dict[str, Any]]:
    """Check everything that names a model; give the groups in force."""
    groups = _groups(root.get("groups"), "groups")
    profiles = _mapping(root.get("profiles"), "profiles")
    if behave == "2025":
        _check_members(groups, None)
        for name, members in profiles.items():
            _texts(members, f"profiles.{name}")
        return groups
    routing = _mapping(root.get("routing"), "routing")
    router = _mapping(routing.get("router"), "routing.router")
    settings = _mapping(router.get("settings"), "routing.router.settings")
    matrix = root.get("matrix")
    if router and (groups or matrix is not None):
        raise ConfigRefused("config uses both top-level matrix/groups and routing.router")
    if groups and matrix is not None:
        raise ConfigRefused("config cannot use both 'groups' and 'matrix'")
    if router.get("use") == "matrix":
        matrix = settings.get("matrix", {})
    elif router:
        groups = _groups(settings.get("groups"), "routing.router.settings.groups")
    if matrix is not None:
        _check_matrix(_mapping(matrix, "matrix"), ids)
    _check_members(groups, ids)
    for name, profile in profiles.items():
        pins = _mapping(_mapping(profile, f"profiles.{name}").get("pins"), f"profiles.{name}.pins")
        _check_known(filter(None, pins.values()), known, f"profiles.{name}.pins")
    for name, selector in _mapping(root.get("selectors"), "selectors").items():
        if name in known:
            raise ConfigRefused(f"selectors.{name}: the ID is taken by a model or alias")
        targets = _mapping(selector, f"selectors.{name}").get("targets")
        _check_known(_texts(targets, f"selectors.{name}.targets"), known, f"selectors.{name}")
    scheduler = _mapping(routing.get("scheduler"), "routing.scheduler")
    fifo = _mapping(_mapping(scheduler.get("settings"), "settings").get("fifo"), "fifo")
    _check_known(_mapping(fifo.get("priority"), "fifo.priority"), known, "fifo.priority")
    return groups


def _groups(value: Any, where: str) -> dict[str, dict[str, Any]]:
    return {name: _mapping(group, where) for name, group in _mapping(value, where).items()}


def _check_members(groups: Mapping[str, Mapping[str, Any]], ids: set[str] | None) -> None:
    """Check group members; without `ids` an unknown member passes, as in 2025."""
    owner: dict[str, str] = {}
    for name, group in groups.items():
        for member in _texts(group.get("members"), f"groups.{name}.members"):
            if member in owner:
                raise ConfigRefused(f"model member {member} is used twice: {owner[member]}, {name}")
            owner[member] = name
            if ids is not None and member not in ids:
                raise ConfigRefused(f"groups.{name}: unknown model {member}")


def _check_matrix(matrix: Mapping[str, Any], ids: set[str]) -> None:
    variables = _mapping(matrix.get("vars"), "matrix.vars")
    sets = _mapping(matrix.get("sets"), "matrix.sets")
    for name, target in variables.items():
        if not MATRIX_VAR.fullmatch(str(name)):
            raise ConfigRefused(f"matrix.vars: {name} is no valid name")
        _check_known([target], ids, f"matrix.vars.{name}")
    _check_known(_mapping(matrix.get("evict_costs"), "evict_costs"), set(variables) | ids, "costs")
    for name, expression in sets.items():
        tokens = SET_TOKEN.findall(_text(expression, f"matrix.sets.{name}"))
        if tokens.count("(") != tokens.count(")"):
            raise ConfigRefused(f"matrix.sets.{name}: a parenthesis is not closed")
        references = [token[1:] for token in tokens if token.startswith("+")]
        _check_known(references, set(sets), f"matrix.sets.{name}")
        operands = [token for token in tokens if token[0] not in "&|()+"]
        _check_known(operands, set(variables) | ids, f"matrix.sets.{name}")


def _check_known(names: Iterable[Any], known: set[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigRefused(f"{where} references unknown model {name!r}")


def _fault(shared: dict[str, str], entries: Iterable[dict[str, Any]]) -> str:
    """Give the fault that a `test-fault` macro orders: the config's own, or any one model's."""
    ordered = [_macros(entry.get("macros"), "macros").get("test-fault") for entry in entries]
    return next((fault for fault in (shared.get("test-fault"), *ordered) if fault), "")


def _macros(value: Any, where: str) -> dict[str, str]:
    macros: dict[str, str] = {}
    for name, item in _mapping(value, where).items():
        if not isinstance(name, str) or not MACRO_NAME.fullmatch(name) or name in RESERVED_MACROS:
            raise ConfigRefused(f"{where}: macro name {name!r} is not allowed")
        if not isinstance(item, str | int | float):
            raise ConfigRefused(f"{where}: macro {name} is not a scalar")
        macros[name] = _as_go_prints(item)
    return macros


def _as_go_prints(value: str | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ConfigRefused(f"{where} is not a mapping")
    return value or {}


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if value is not None and not isinstance(value, list):
        raise ConfigRefused(f"{where} is not a list")
    return tuple(_text(item, where) for item in value or ())


def _text(value: Any, where: str) -> str:
    if isinstance(value, dict | list):
        raise ConfigRefused(f"{where} is not text")
    return "" if value is None else _as_go_prints(value)


def _integer(value: Any, where: str, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigRefused(f"{where} is not a whole number")
    return value
