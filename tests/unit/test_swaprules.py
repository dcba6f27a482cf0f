"""Configs are judged as llama-swap's loader judges them, the 2025 builds and the 2026 ones."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.core.llamaswap.references import read_references
from reconciler.core.llamaswap.rules import Problem, find_problems, introduced, judge, new_problems
from tests.support.corpus import corpus_files, needs_corpus

_OLD, _NEW = 173, 255
_CMD = "srv --port ${PORT}"


def _parse(text: bytes | str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    with warnings.catch_warnings():
        # llama-swap's own parser takes an anchor that is defined anew.
        warnings.simplefilter("ignore")
        return yaml.load(text)


def _rules(data: Any, version: int) -> set[str]:
    return {problem.rule for problem in find_problems(data, version=version)}


def _with(**model: object) -> dict[str, Any]:
    return {"models": {"a": {"cmd": _CMD, **model}}}


_BOTH = {_OLD, _NEW}
_ONLY_NEW = {_NEW}
_ONLY_OLD = {_OLD}
_NOBODY: set[int] = set()


@pytest.mark.parametrize(
    ("text", "rule", "rejected_by"),
    [
        # Ports and proxies.
        ("models: {a: {cmd: srv}}", "port", _BOTH),
        ("models: {a: {}}", "port", _BOTH),
        ("models: {a: ~}", "port", _NOBODY),
        ("models: {a: {cmd: srv, proxy: 'http://x:1'}}", "port", _NOBODY),
        ("models: {a: {cmd: srv, proxy: 'http://x:${PORT}'}}", "port", _BOTH),
        ("models: {a: {cmd: srv, proxy: ~}}", "port", _BOTH),
        ('models: {a: {cmd: "srv\\n # ${PORT}"}}', "port", _BOTH),
        ("macros: {s: 'srv ${PORT}'}\nmodels: {a: {cmd: '${s}'}}", "port", _NOBODY),
        # IDs and types.
        ("models: {7: {cmd: 'x ${PORT}'}}", "model-id", _ONLY_NEW),
        ("models: {true: {cmd: 'x ${PORT}'}}", "model-id", _ONLY_NEW),
        ("models: {2024-01-01: {cmd: 'x ${PORT}'}}", "model-id", _ONLY_NEW),
        ("models: {'7': {cmd: 'x ${PORT}'}}", "model-id", _NOBODY),
        ("models: [a]", "type", _BOTH),
        ("models: {a: srv}", "type", _BOTH),
        ("models: {a: {cmd: [srv]}}", "type", _BOTH),
        ("models: {a: {cmd: 'x ${PORT}', ttl: soon}}", "type", _BOTH),
        ("models: {a: {cmd: 'x ${PORT}', ttl: true}}", "type", _BOTH),
        ("models: {a: {cmd: 'x ${PORT}', unlisted: 1}}", "type", _BOTH),
        ("models: {a: {cmd: 'x ${PORT}', unlisted: yes, name: 7}}", "type", _NOBODY),
        ("models: {a: {cmd: 'x ${PORT}', aliases: b}}", "type", _BOTH),
        ("models: {a: {cmd: 'x ${PORT}', aliases: [{id: b}]}}", "type", _BOTH),
        ("models: {a: {cmd: 'x ${PORT}', timeouts: 3}}", "type", _ONLY_NEW),
        ("models: {a: {cmd: 'x ${PORT}', nonsense: {}}}", "type", _NOBODY),
        ("groups: {g: {members: a}}", "type", _BOTH),
        ("groups: {g: [a]}", "type", _BOTH),
        ("startPort: 0", "setting", _BOTH),
        ("logToStdout: loud", "setting", _ONLY_NEW),
        ("apiKeys: ['']", "setting", _ONLY_NEW),
        # Names.
        ("models: {a: {aliases: [x]}, b: {aliases: [x]}}", "alias", _BOTH),
        ("models: {a: {aliases: [x, x]}}", "alias", _BOTH),
        ("models: {a: {aliases: [b]}, b: {}}", "alias", _NOBODY),
        ("models: {a: {aliases: ['${MODEL_ID}:x']}, b: {aliases: ['b:x']}}", "alias", _NOBODY),
        ("models: {a: {aliases: ['${MODEL_ID}x']}, b: {aliases: ['ax']}}", "alias", _ONLY_NEW),
        (
            "models: {a: {aliases: ['${MODEL_ID}x']}, b: {aliases: ['${MODEL_ID}x']}}",
            "alias",
            _ONLY_OLD,
        ),
        ("models: {a: {filters: {setParamsByID: {b: {}}}}, b: {}}", "alias", _ONLY_NEW),
        ("models: {a: {filters: {setParamsByID: {x: {}}}}, b: {aliases: [x]}}", "alias", _ONLY_NEW),
        ("models: {a: {aliases: [x], filters: {setParamsByID: {x: {}, a: {}}}}}", "alias", _NOBODY),
        # Values of a model.
        ("models: {a: {ttl: -1}}", "ttl", _NOBODY),
        ("models: {a: {ttl: -2}}", "ttl", _ONLY_NEW),
        ("models: {a: {env: [A]}}", "env", _BOTH),
        ("models: {a: {env: ['=x']}}", "env", _BOTH),
        ("models: {a: {env: ['A=', B=c=d]}}", "env", _NOBODY),
        ("models: {a: {capabilities: {in: [text, smell]}}}", "capabilities", _ONLY_NEW),
        (
            "models: {a: {capabilities: {in: [text], out: [audio], context: 0}}}",
            "capabilities",
            set(),
        ),
        ("models: {a: {capabilities: {context: -1}}}", "capabilities", _ONLY_NEW),
        # Macros.
        ("macros: {'a b': x}", "macro-name", _BOTH),
        (f"macros: {{{'x' * 64}: x}}", "macro-name", _BOTH),
        (f"macros: {{{'x' * 63}: x}}", "macro-name", _NOBODY),
        ("macros: {PORT: 1}", "macro-reserved", _BOTH),
        ("models: {a: {macros: {MODEL_ID: x}}}", "macro-reserved", _BOTH),
        ("macros: {PID: 1}", "macro-reserved", _ONLY_NEW),
        ("macros: {x: [a]}", "macro-value", _BOTH),
        ("macros: {x: ~}", "macro-value", _BOTH),
        ("macros: {x: true, y: 1.5, z: ''}", "macro-value", _NOBODY),
        ("macros: {x: 'a ${x}'}", "macro-self", _BOTH),
        ("models: {a: {cmd: 'x ${PORT} ${y}'}}", "unknown-macro", _BOTH),
        ('models: {a: {cmd: "x ${PORT}\\n# ${y}"}}', "unknown-macro", _NOBODY),
        ("models: {a: {cmd: 'x ${PORT} ${env.Y} ${y.z}'}}", "unknown-macro", _NOBODY),
        ("models: {a: {cmdStop: 'kill ${PID}'}}", "unknown-macro", _NOBODY),
        ("models: {a: {cmd: 'kill ${PID}'}}", "unknown-macro", _BOTH),
        ("models: {a: {metadata: {x: ['${y}']}}}", "unknown-macro", _BOTH),
        ("models: {a: {filters: {stripParams: '${y}'}}}", "unknown-macro", _BOTH),
        ("models: {a: {name: '${y}'}}", "unknown-macro", _ONLY_NEW),
        ("models: {a: {useModelName: '${y}'}}", "unknown-macro", _ONLY_NEW),
        ("models: {a: {filters: {setParamsByID: {'${y}': {}}}}}", "unknown-macro", _ONLY_NEW),
        ("models: {a: {name: '${PORT}'}}", "unknown-macro", _ONLY_NEW),
        ("models: {a: {cmd: '${PORT}', name: '${PORT} ${MODEL_ID}'}}", "unknown-macro", _NOBODY),
        ("macros: {a: '${b}', b: x}\nmodels: {m: {cmd: '${a}'}}", "unknown-macro", _BOTH),
        ("macros: {b: x, a: '${b}'}\nmodels: {m: {cmd: '${a}'}}", "unknown-macro", _NOBODY),
        ("macros: {unused: '${nothing}'}", "unknown-macro", _NOBODY),
        ("groups: {g: {members: ['${y}']}}", "unknown-macro", _ONLY_NEW),
        ("nonsense: '${y}'", "unknown-macro", _NOBODY),
        # Groups and routers.
        ("models: {a: }\ngroups: {g: {members: [b]}}", "group-member", _ONLY_NEW),
        ("models: {a: {aliases: [b]}}\ngroups: {g: {members: [b]}}", "group-member", _NOBODY),
        ("models: {a: }\ngroups: {g: {members: [a, a]}}", "group-member-twice", _BOTH),
        (
            "models: {a: }\ngroups: {g: {members: [a]}, h: {members: [a]}}",
            "group-member-twice",
            _BOTH,
        ),
        (
            "models: {a: }\nrouting: {router: {settings: {groups: {g: {members: [b]}}}}}",
            "group-member",
            _ONLY_NEW,
        ),
        ("groups: {g: {}}\nmatrix: {sets: {s: a}}\nmodels: {a: }", "router", _ONLY_NEW),
        ("groups: {g: {}}\nrouting: {router: {use: group}}", "router", _ONLY_NEW),
        ("groups: {}\nrouting: {router: {use: group}}", "router", _NOBODY),
        ("routing: {router: {use: matrix}}", "router", _ONLY_NEW),
        ("routing: {router: {use: roulette}}", "router", _ONLY_NEW),
        # Matrix.
        ("models: {a: }\nmatrix: {}", "matrix-sets", _ONLY_NEW),
        ("models: {a: }\nmatrix: {vars: {v: a}, sets: {s: v & a}}", "matrix-reference", _NOBODY),
        ("models: {a: }\nmatrix: {vars: {v: b}, sets: {s: a}}", "matrix-reference", _ONLY_NEW),
        (
            "models: {a: {aliases: [b]}}\nmatrix: {vars: {v: b}, sets: {s: a}}",
            "matrix-reference",
            _ONLY_NEW,
        ),
        ("models: {a: }\nmatrix: {sets: {s: a & b}}", "matrix-reference", _ONLY_NEW),
        ("models: {a: }\nmatrix: {sets: {s: a & +t}}", "matrix-reference", _ONLY_NEW),
        (
            "models: {a: }\nmatrix: {sets: {s: a}, evict_costs: {b: 3}}",
            "matrix-reference",
            _ONLY_NEW,
        ),
        ("models: {a: }\nmatrix: {sets: {s: a}, evict_costs: {a: 0}}", "matrix-cost", _ONLY_NEW),
        ("models: {a: }\nmatrix: {vars: {v_1: a}, sets: {s: a}}", "matrix-variable", _ONLY_NEW),
        ("models: {a: }\nmatrix: {sets: {s: 'a &'}}", "matrix-expression", _ONLY_NEW),
        ("models: {a: }\nmatrix: {sets: {s: +t, t: a | +s}}", "matrix-circle", _ONLY_NEW),
        ("models: {a: }\nmatrix: {sets: {s: +t, t: a}}", "matrix-circle", _NOBODY),
        (
            "models: {a: }\nrouting: {router: {use: matrix, settings: {matrix: {sets: {s: b}}}}}",
            "matrix-reference",
            _ONLY_NEW,
        ),
        (
            "models: {a: }\nrouting: {router: {settings: {matrix: {sets: {s: b}}}}}",
            "matrix-reference",
            _NOBODY,
        ),
        # Scheduler, selectors, profiles.
        ("routing: {scheduler: {use: lifo}}", "scheduler", _ONLY_NEW),
        (
            "models: {a: }\nrouting: {scheduler: {settings: {fifo: {priority: {b: 1}}}}}",
            "priority",
            _ONLY_NEW,
        ),
        (
            "models: {a: }\nselectors: {s: {strategy: pin, targets: [b]}}",
            "selector-target",
            _ONLY_NEW,
        ),
        (
            "models: {a: {filters: {setParamsByID: {'${MODEL_ID}:x': {}}}}}\n"
            "peers: {p: {proxy: http://x, models: [q]}}\n"
            "selectors: {s: {strategy: pin, targets: ['a:x', q, p/q]}}",
            "selector-target",
            _NOBODY,
        ),
        ("selectors: {s: {strategy: pin, targets: []}}", "selector-targets", _ONLY_NEW),
        (
            "models: {a: {aliases: [s]}}\nselectors: {s: {strategy: pin, targets: [a]}}",
            "selector-name",
            _ONLY_NEW,
        ),
        ("models: {a: }\nprofiles: {p: [a]}", "profile-shape", _ONLY_NEW),
        ("models: {a: }\nprofiles: {p: {pins: {x: a}}}", "profile-shape", _ONLY_OLD),
        ("profiles: {p: x}", "profile-shape", _BOTH),
        ("profiles: {p: {pins: {}}}", "profile-pins", _ONLY_NEW),
        ("models: {a: }\nprofiles: {p: {pins: {x: b}}}", "profile-pin", _ONLY_NEW),
        (
            "models: {a: }\nselectors: {s: {strategy: pin, targets: [a]}}\n"
            "profiles: {p: {pins: {x: s, y: '', z: ~, w: a}}}",
            "profile-pin",
            _NOBODY,
        ),
    ],
)
def test_each_rule_and_who_enforces_it(text: str, rule: str, rejected_by: set[int]) -> None:
    """A rule is reported for the builds that enforce it, and for an unknown one if all do."""
    data = _parse(text)
    assert {each for each in (_OLD, _NEW) if rule in _rules(data, each)} == rejected_by


def test_a_good_config_has_no_problem() -> None:
    """A config that uses all of llama-swap rightly is accepted as it is."""
    text = """
        startPort: 9000
        macros: {srv: "llama-server --port ${PORT}", ctx: 4096, limit: 30}
        models:
          a:
            cmd: |
              # ${unknown} in a comment
              ${srv} -m /m/a.gguf -c ${ctx} \\
                --chat '{"x": 1}'
            aliases: ["${MODEL_ID}-chat"]
            ttl: ${limit}
            env: ["HOME=/x"]
            capabilities: {in: [text, image], tools: true, context: "${ctx}"}
          b: {cmd: other, proxy: "http://127.0.0.1:81", cmdStop: "kill ${PID}", unlisted: true}
        groups: {g: {swap: false, members: [a, b]}}
        hooks: {on_startup: {preload: [a, gone]}}
    """
    assert find_problems(_parse(text), version=_NEW) == ()


def test_rules_that_came_later_start_with_their_build() -> None:
    """A rule holds from the build on that brought it; builds before 2026's judge as 2025's do."""
    data = _parse("models: {a: {cmd: '${PORT}', ttl: -2}}\ngroups: {g: {members: [b]}}")
    assert _rules(data, 190) == set()
    assert _rules(data, 205) == {"ttl"}
    assert _rules(data, 217) == {"ttl"}
    assert _rules(data, 218) == {"ttl", "group-member"}
    data = {**_with(), "profiles": {"p": {"pins": {"x": "gone"}}}}
    assert _rules(data, 217) == set()
    assert _rules(data, 218) == {"profile-pin"}


def test_a_problem_says_what_and_where() -> None:
    """A problem's path leads to its place, and its message names place and value."""
    data = _with(env=["A=1", "B"])
    (problem,) = find_problems(data, version=_OLD)
    assert problem.path == ("models", "a", "env", "1")
    assert problem.message == "models.a.env.1: 'B' is not NAME=value"
    data = {"models": {"a": None}, "groups": {"g": {"members": ["a", "b"]}}}
    (problem,) = find_problems(data, version=_NEW)
    assert problem.path == ("groups", "g", "members", "1")


def test_only_what_is_new_is_new() -> None:
    """What was wrong before is not held against an edit, though lines have moved."""
    before = {**_with(), "groups": {"g": {"members": ["gone", "a"]}}}
    after = {**_with(), "groups": {"g": {"members": ["a", "new", "gone"]}}}
    old, now = (find_problems(each, version=_NEW) for each in (before, after))
    assert [problem.subject for problem in new_problems(old, now)] == ["g: new"]
    assert new_problems(now, old) == ()
    assert new_problems((), old) == old
    assert isinstance(old[0], Problem)


def test_shared_and_circular_values_end() -> None:
    """Values that YAML anchors share, or that hold themselves, are read once and not for ever."""
    circle: dict[str, Any] = {"x": "${y}"}
    circle["self"] = [circle, circle]
    found = find_problems(_with(metadata=circle), version=_OLD)
    assert [problem.rule for problem in found] == ["unknown-macro"]


_ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.dates()
    | st.sampled_from(["", "a", "b", "${PORT}", "${m}", "a & b", "matrix", "x=1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "a",
                        "b",
                        7,
                        None,
                        True,
                        "models",
                        "groups",
                        "members",
                        "matrix",
                        "vars",
                        "sets",
                    ),
                    *(
                        "evict_costs",
                        "routing",
                        "router",
                        "scheduler",
                        "settings",
                        "fifo",
                        "priority",
                    ),
                    *("selectors", "targets", "profiles", "pins", "peers", "hooks", "on_startup"),
                    *("preload", "macros", "m", "cmd", "proxy", "aliases", "env", "ttl", "filters"),
                    *(
                        "setParamsByID",
                        "capabilities",
                        "in",
                        "context",
                        "metadata",
                        "use",
                        "apiKeys",
                    ),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(_ODD, st.sampled_from([_OLD, 205, _NEW]))
def test_no_shape_breaks_the_rules(data: Any, version: int) -> None:
    """Whatever YAML holds, there are problems at most, never an exception."""
    problems = find_problems(data, version=version)
    assert new_problems(problems, problems) == ()
    assert all(isinstance(key, str) for problem in problems for key in problem.path)
    if isinstance(data, dict):
        references = read_references(data)
        assert all(isinstance(key, str) for each in references for key in each.path)


@given(
    st.dictionaries(st.sampled_from(["models", "macros", "groups", "selectors"]), _ODD),
    st.dictionaries(st.sampled_from(["a", "b", 7]), _ODD | st.just({"cmd": _CMD})),
    st.dictionaries(st.sampled_from(["a", "b", 7]), _ODD | st.just({"cmd": _CMD})),
    st.sampled_from([_OLD, _NEW]),
)
def test_introduced_is_what_the_whole_configs_differ_in(
    around: dict[str, Any], models: dict[Any, Any], others: dict[Any, Any], version: int
) -> None:
    """Entries that stay are not looked at again, and what is found is the same as if they were."""
    before: Any = {**around, "models": models}
    after: Any = {**around, "models": {**models, **others}}
    whole = (find_problems(each, version=version) for each in (before, after))
    assert introduced(judge(before), after, version) == new_problems(*whole)


# What the builds would say of the published configs; read and found right, one by one. The first is
# the one that no build would load: its commands use macros that it never declares.
_UNLOADABLE = {
    "synw__goinfer.yaml": {
        "models.Qwen2.5-1.5B-Instruct-Q4_K_M.cmd",
        "models.Qwen2.5-1.5B-Instruct-Q4_K_M.cmd ${llama-server-exe}",
        "models.Qwen2.5-1.5B-Instruct-Q4_K_M.proxy ${PORT}",
    }
}
_KNOWN_BAD = {
    **_UNLOADABLE,
    "EntityDeleter__desktop-dotfiles.yaml": {"main: GLM-4.7-Flash-REAP-23B-A3B-UD-Q5_K_M"},
    "LeBohdan__llama-swap-confdir.yaml": {"single: Qwen2.5-coder-14B", "single: Qwen2.5-coder-7B"},
    "thesephirot__pi-config.yaml": {"clever: qwen36-a3b-q8", "clever: qwen35-9b-q4"},
}
# Written for 2026: the older builds want lists as profiles.
_TOO_NEW = {
    **_UNLOADABLE,
    "cameronr__dotfiles.yaml": {
        *("profiles.external", "profiles.ik", "profiles.ik-dual"),
        *("profiles.vllm", "profiles.vllm-dual"),
    },
}


@needs_corpus
def test_published_configs_are_judged_rightly() -> None:
    """Configs that people run are accepted; what is reported of them is truly wrong."""
    files = corpus_files()
    assert files
    for file in files:
        data = _parse(file.read_bytes())
        for version, expected in ((_OLD, _TOO_NEW), (_NEW, _KNOWN_BAD)):
            found = {problem.subject for problem in find_problems(data, version=version)}
            assert found == expected.get(file.name, set()), (file.name, version)
