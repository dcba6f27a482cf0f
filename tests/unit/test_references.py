"""Everything that refers to a model is found, and known for the model it leads to."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.llamaswap.references import read_names, read_references

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
    names = read_names(data)
    return [
        (each.kind.value, ".".join(each.path), each.name)
        for each in read_references(data)
        if names.model_of(each) == model
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
        ("profile pin", "profiles.new.pins.x", name),
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


def test_macros_are_told_from_names() -> None:
    """Who would edit a reference can see that its name is not what is written there."""
    data = _config(macros={"base": "m"}, groups={"g": {"members": ["${base}", "m"]}})
    assert [(each.written, each.uses_macro) for each in read_references(data)] == [
        ("${base}", True),
        ("m", False),
    ]


def test_a_name_may_lead_to_no_model_and_yet_somewhere() -> None:
    """Selectors may name a peer's models, and profiles selectors as well; groups may not."""
    data = _config(
        peers={"p": {"models": ["far"]}},
        selectors={"s": {"targets": ["far", "p/far", "nobody", "s"]}},
        profiles={"q": {"pins": {"x": "far", "y": "s", "z": "nobody"}}},
        groups={"g": {"members": ["far"]}},
    )
    names = read_names(data)
    assert [names.leads_elsewhere(each) for each in read_references(data)] == [
        *(False, True, True, False),
        *(True, True, False, False),
    ]
