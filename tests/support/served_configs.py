"""Configs that llama-swap loads, made up at random: models, and every kind of place that names one.

What stands in them is right; how it is written is drawn as `splice_configs` draws it.
"""

from __future__ import annotations

from random import Random

from reconciler.core.llamaswap.shapes import as_list
from reconciler.core.values import Json
from tests.support.splice_configs import Writer

IDS = ("a", "b-1.5", "c:4b", "m/e", "7")
NAMES = ("nick", "on", "gpt-4o", "x/y")


def make_served_config(seed: int) -> bytes:
    """Make a config from a seed, which 2026 or both versions load."""
    chance = Random(seed)  # noqa: S311 - variety, not secrecy
    models = _models(chance)
    aliases = (as_list(entry.get("aliases")) for entry in models.values())
    known = [*models, *(str(name) for names in aliases for name in names)]
    root: dict[str, Json] = {"models": dict(models)}
    places = _places(chance, list(models), known)
    for kind in chance.sample(sorted(places), chance.randrange(5)):
        root |= {} if _rivals(kind) & root.keys() else places[kind]
    writer = Writer(chance)
    keys = list(root)
    chance.shuffle(keys)
    for key in keys:
        writer.noise(0)
        writer.tree(f"{key}:", root[key], 0)
    writer.noise(0)
    newline = chance.choice(("\n", "\n", "\r\n"))
    text = newline.join(writer.lines) + chance.choice((newline, newline, ""))
    return (chance.choice(("", "", "\ufeff")) + text).encode()


def add_reference(config: bytes, present: set[str], names: list[str], chance: Random) -> bytes:
    """Name some models in a place of a kind that `config` does not have: as a person would.

    `present` are its top-level keys, `names` what leads to a model, IDs first.
    """
    places = _places(chance, names[:1], names)
    free = [key for key in sorted(places) if not _rivals(key) & present]
    if not free:
        return config
    writer = Writer(chance)
    for key, value in places[chance.choice(free)].items():
        writer.tree(f"{key}:", value, 0)
    newline = "\r\n" if b"\r\n" in config else "\n"
    end = "" if config.endswith(b"\n") or not config else newline
    return config + (end + newline.join(writer.lines) + newline).encode()


def _models(chance: Random) -> dict[str, dict[str, Json]]:
    ids = chance.sample(IDS, chance.choice((1, 2, 3)))
    aliases = chance.sample(NAMES, len(NAMES))
    models: dict[str, dict[str, Json]] = {}
    for model in ids:
        entry: dict[str, Json] = {"cmd": "run --port 9 -m /m/a.gguf", "proxy": "http://h"}
        if aliases and chance.random() < 0.5:
            entry["aliases"] = [aliases.pop()]
        if chance.random() < 0.2:
            entry["ttl"] = 60
        if aliases and chance.random() < 0.2:
            entry["filters"] = {"setParamsByID": {aliases.pop(): {"top_k": 1}, model: {}}}
        models[model] = entry
    return models


def _places(chance: Random, ids: list[str], names: list[str]) -> dict[str, dict[str, Json]]:
    """Give a section of each kind, by the kind's name; what is in it leads to a model."""
    some = chance.sample(names, chance.randrange(1, len(names) + 1))
    few = chance.sample(ids, chance.randrange(1, len(ids) + 1))
    members: Json = {"g": {"swap": False, "members": some[:2]}, "h": {"members": some[2:]}}
    matrix: dict[str, Json] = {
        "vars": {f"v{number}": model for number, model in enumerate(few)},
        "evict_costs": {few[0]: 3, "v0": 2},
        "sets": {"s": " & ".join(f"v{number}" for number in range(len(few))), "t": "+s | v0"},
    }
    return {
        "groups": {"groups": members},
        "matrix": {"matrix": matrix},
        "profiles": {
            "profiles": {"p": {"pins": {"x": some[0], "y": ""}}, "q": {"pins": {"z": some[-1]}}}
        },
        "lists": {"profiles": {"p": list(some)}},
        "selectors": {"selectors": {"s": {"strategy": "pin", "targets": list(some)}}},
        "hooks": {"hooks": {"on_startup": {"preload": list(some)}}},
        "priority": {
            "routing": {"scheduler": {"settings": {"fifo": {"priority": dict.fromkeys(some, 1)}}}}
        },
        "router": {"routing": {"router": {"use": "group", "settings": {"groups": members}}}},
    }


def _rivals(kind: str) -> set[str]:
    """Give the top-level keys beside which a section of that kind cannot stand."""
    match kind:
        case "groups" | "matrix" | "router":
            return {"groups", "matrix", "routing"}
        case "lists":
            return {"profiles"}
        case "priority":
            return {"routing"}
        case _:
            return {kind}
