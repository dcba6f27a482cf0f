"""Everything that refers to a model is found before the model goes."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.llamaswap.references import Reference, ReferenceKind, find_references

_MATRIX = {
    "vars": {"v": "m", "w": "other"},
    "evict_costs": {"v": 3, "w": 1, "m": 2},
    "sets": {"s": "v & w", "t": "w", "u": "(m | w) & +s", "bad": "m &"},
}


def _config(**more: object) -> dict[str, Any]:
    models = {
        "m": {"aliases": ["nick"], "filters": {"setParamsByID": {"${MODEL_ID}:high": {}, "m": {}}}},
        "other": {"aliases": ["else"]},
    }
    return {"models": models, **more}


def _paths(data: dict[str, Any], model: str = "m") -> list[tuple[str, str, str]]:
    return [
        (each.kind.value, ".".join(each.path), each.name) for each in find_references(data, model)
    ]


@pytest.mark.parametrize("name", ["m", "nick", "m:high"])
def test_lists_of_models_are_looked_at(name: str) -> None:
    """A model is found by its ID, its aliases and the aliases that its parameters make."""
    found = _paths(
        _config(
            groups={"g": {"members": ["other", name]}},
            profiles={"old": ["else", name], "new": {"pins": {"x": name, "y": "other", name: ""}}},
            selectors={"s": {"targets": [name, "other"]}},
            hooks={"on_startup": {"preload": ["other", f" {name} "]}},
        )
    )
    assert found == [
        ("group", "groups.g.members.1", name),
        ("profile", "profiles.old.1", name),
        ("profile", "profiles.new.pins.x", name),
        ("selector", "selectors.s.targets.0", name),
        ("preload", "hooks.on_startup.preload.1", name),
    ]


def test_the_new_places_are_looked_at_too() -> None:
    """Groups, matrix and priorities are found under `routing` as well."""
    settings = {"groups": {"g": {"members": ["m"]}}, "matrix": {"sets": {"s": "m"}}}
    fifo = {"priority": {"nick": 3, "m": 1, "other": 2}}
    routing = {
        "router": {"use": "matrix", "settings": settings},
        "scheduler": {"settings": {"fifo": fifo}},
    }
    assert _paths(_config(routing=routing)) == [
        ("group", "routing.router.settings.groups.g.members.0", "m"),
        ("matrix set", "routing.router.settings.matrix.sets.s", "m"),
        ("priority", "routing.scheduler.settings.fifo.priority.nick", "nick"),
        ("priority", "routing.scheduler.settings.fifo.priority.m", "m"),
    ]


def test_a_matrix_is_followed_through_its_variables() -> None:
    """A variable, the sets that use it, and costs by variable or ID all refer to the model."""
    assert _paths(_config(matrix=_MATRIX)) == [
        ("matrix variable", "matrix.vars.v", "m"),
        ("matrix set", "matrix.sets.s", "v"),
        ("matrix set", "matrix.sets.u", "m"),
        ("matrix cost", "matrix.evict_costs.v", "v"),
        ("matrix cost", "matrix.evict_costs.m", "m"),
    ]


def test_a_variable_that_borrows_the_id_is_another_models() -> None:
    """A matrix variable named like the model, but standing for another, does not refer to it."""
    matrix = {"vars": {"m": "other"}, "sets": {"s": "m"}, "evict_costs": {"m": 1}}
    assert _paths(_config(matrix=matrix)) == []


def test_an_alias_that_waits_for_the_id_is_found() -> None:
    """Another model's alias equal to the ID would take over the name, so it is told."""
    data = _config()
    data["models"]["third"] = {"aliases": ["x", "m", "nick"]}
    assert find_references(data, "m") == (
        Reference(kind=ReferenceKind.ALIAS, path=("models", "third", "aliases", "1"), name="m"),
    )


def test_names_that_are_others_are_not_found() -> None:
    """An alias that is another model's ID belongs to that one; peers refer to nothing here."""
    data = _config(
        groups={"g": {"members": ["other", "else"]}},
        peers={"p": {"proxy": "http://x", "models": ["m"]}},
    )
    data["models"]["m"]["aliases"] += ["other", "m"]
    assert _paths(data) == []
    assert _paths(data, "absent") == []


def test_macros_do_not_hide_a_reference() -> None:
    """A reference written with a global macro is the reference it becomes."""
    data = _config(macros={"base": "m"}, hooks={"on_startup": {"preload": ["${base}"]}})
    assert _paths(data) == [("preload", "hooks.on_startup.preload.0", "m")]


def test_a_model_without_an_entry_may_be_referred_to() -> None:
    """What still refers to a model that is gone already is found all the same."""
    data = {"models": None, "groups": {"g": {"members": ["m"]}}}
    assert _paths(data) == [("group", "groups.g.members.0", "m")]
