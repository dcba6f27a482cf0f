"""The stand-in's loader refuses what llama-swap refuses, and takes what people really write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.corpus import corpus_files, each_config, needs_corpus
from tests.support.llama_swap_loader import ENV_MACRO, Config, ConfigRefused, load, split_command
from tests.support.llama_swap_yaml import first_document, read_yaml

A = 'models:\n  "a":\n    cmd: run ${PORT}\n'
BOTH = ("2025", "2026")


def loaded(text: str, behave: str = "2026", **environ: str) -> Config:
    """Load a config's text."""
    return load(text.encode(), behave=behave, environ=environ)


@pytest.mark.parametrize("behave", BOTH)
@pytest.mark.parametrize(
    "text",
    [
        "models: [",
        A + A,
        "models:\n\ta: 1\n",
        "models: [a]\n",
        'models:\n  "a":\n    cmd: run\n',
        'models:\n  "a":\n    cmd: run\n    proxy: http://x:${PORT}\n',
        'models:\n  "a":\n    cmd: [run]\n',
        'models:\n  "a":\n    cmd: run ${PORT} ${unknown}\n',
        A + "    env: [BARE]\n",
        A + "    ttl: soon\n",
        A + "    aliases: one\n",
        A + '    aliases: [x]\n  "b":\n    cmd: run ${PORT}\n    aliases: [x]\n',
        A + "macros: {PORT: 1}\n",
        A + "macros: {bad name: 1}\n",
        A + "macros: {x: [1]}\n",
        A + "macros: {x: 'a ${x}'}\n",
        A + "macros: {x: ~}\n",
        A + "groups: {g: {members: [a]}, h: {members: [a]}}\n",
        A + "groups: {g: {members: [a, a]}}\n",
        A + "groups: {g: {swap: maybe, members: [a]}}\n",
        A + "groups: {g: [a]}\n",
        A + "startPort: 0\n",
        A + "    unlisted: 1\n",
        A + "    aliases: [{id: x}]\n",
        A + "    cmdStop: [x]\n",
        A + "    aliases: [x, x]\n",
        'models:\n  "a":\n    cmd: |\n      run\n      # ${PORT}\n',
    ],
)
def test_both_versions_refuse(text: str, behave: str) -> None:
    """Broken YAML, wrong types, missing ports, double names, unknown and bad macros."""
    with pytest.raises(ConfigRefused):
        loaded(text, behave)


@pytest.mark.parametrize(
    "text",
    [
        A + "    ttl: -2\n",
        A + "    capabilities: {in: [smell]}\n",
        A + "    capabilities: {context: -1}\n",
        A + '    description: "${env.NOT_SET}"\n',
        A + "    capabilities: {tools: maybe}\n",
        A + "    timeouts: 3\n",
        A + '    name: "${unknown}"\n',
        A + '    useModelName: "${unknown}"\n',
        A + "    filters: {setParamsByID: {'${unknown}': {}}}\n",
        A + "    filters: {setParamsByID: {b: {}}}\n  b: {proxy: x}\n",
        A + "    filters: {setParamsByID: {x: {}}}\n  b: {proxy: x, aliases: [x]}\n",
        A + "    aliases: ['${MODEL_ID}x']\n  b: {proxy: x, aliases: [ax]}\n",
        A + "macros: {PID: 1}\n",
        A + "globalTTL: -1\n",
        A + "logToStdout: loud\n",
        A + "apiKeys: ['']\n",
        A + "apiKeys: ['a b']\n",
        A + "groups: {g: {members: ['${unknown}']}}\n",
        A + "groups: {g: {members: [gone]}}\n",
        A + "profiles: {p: ~}\n",
        A + "profiles: {p: [a]}\n",
        A + "profiles: {p: {pins: {x: gone}}}\n",
        A + "selectors: {s: {targets: [gone]}}\n",
        A + "selectors: {a: {targets: [a]}}\n",
        A + "    aliases: [al]\nselectors: {al: {targets: [a]}}\n",
        A + "selectors: {s: {targets: []}}\n",
        A + "profiles: {p: {pins: {}}}\n",
        A + "matrix: {}\n",
        A + "matrix: {vars: {v: a}, sets: {}}\n",
        A + "matrix: {vars: {v_1: a}, sets: {s: a}}\n",
        A + "    aliases: [al]\nmatrix: {vars: {v: al}, sets: {s: a}}\n",
        A + "    aliases: [al]\nmatrix: {sets: {s: al}}\n",
        A + "matrix: {evict_costs: {a: 0}, sets: {s: a}}\n",
        A + "matrix: {evict_costs: {gone: 3}, sets: {s: a}}\n",
        A + "matrix: {sets: {s: a a}}\n",
        A + "matrix: {sets: {s: 'a &'}}\n",
        A + "matrix: {sets: {s: '& a'}}\n",
        A + "matrix: {sets: {s: a) (a}}\n",
        A + "matrix: {sets: {s: a/b}}\n",
        A + "matrix: {sets: {s: ''}}\n",
        A + "matrix: {sets: {s: +t, t: +s}}\n",
        A + "routing: {router: {use: matrix}}\n",
        A + "routing: {router: {use: roulette}}\n",
        A + "routing: {router: {use: matrix, settings: {matrix: {sets: {s: b}}}}}\n",
        A + "routing: {scheduler: {use: lifo}}\n",
        A + "groups: {g: {members: [a]}}\nrouting: {router: {settings: {matrix: {}}}}\n",
        A + "matrix: {vars: {v: gone}, sets: {s: v}}\n",
        A + "matrix: {vars: {v: a}, sets: {s: v & w}}\n",
        A + "matrix: {vars: {v: a}, sets: {s: (v}}\n",
        A + "matrix: {vars: {v: a}, sets: {s: +t}}\n",
        A + "matrix: {vars: {v: a}, sets: {s: v}}\ngroups: {g: {members: [a]}}\n",
        A + "groups: {g: {members: [a]}}\nrouting: {router: {use: group}}\n",
        A + "routing: {router: {settings: {groups: {g: {members: [gone]}}}}}\n",
        A + "routing: {scheduler: {settings: {fifo: {priority: {gone: 1}}}}}\n",
        A.replace("run", "${env.NOT_SET}"),
        A.replace("run ${PORT}", "|\n      # ${env.NOT_SET}\n      run ${PORT}"),
    ],
)
def test_only_the_newer_version_refuses(text: str) -> None:
    """What came with 2026 is refused by it, or passed over by 2025, which does not know it."""
    with pytest.raises(ConfigRefused):
        loaded(text, "2026")
    if "pins" not in text:
        loaded(text, "2025")


@pytest.mark.parametrize(
    "text",
    [
        A + "groups: {}\nrouting: {router: {use: group}}\n",
        A + "    aliases: [al]\ngroups: {g: {swap: no, members: [al]}}\n",
        A + "    ttl: ${limit}\nmacros: {limit: 30}\n",
        A + "macros: {x: true, y: 1.5, z: '', unused: '${nothing}'}\n",
        A + "nonsense: '${unknown}'\n",
        A + "    nonsense: {}\n    cmdStop: kill ${PID}\n    name: '${PORT} ${MODEL_ID}'\n",
        A + "    aliases: [b]\n  b: {proxy: x}\n",
        A + "    aliases: [x]\n    filters: {setParamsByID: {x: {}, a: {}}}\n",
        A + "    env: ['A=', B=c=d]\n    ttl: -1\n",
        A + "  b:\n  c: {proxy: ''}\n",
        A + "matrix: {vars: {v: a}, evict_costs: {v: 2}, sets: {s: (v | a) & +t, t: a}}\n",
        A + "routing: {router: {settings: {matrix: {sets: {s: gone}}}}}\n",
        A + "routing: {router: {use: matrix, settings: {groups: {g: {members: [gone]}},"
        " matrix: {sets: {s: a}}}}}\n",
        A + "peers: {p: {models: [q]}}\nselectors: {s: {targets: [q, p/q]}}\n"
        "profiles: {p: {pins: {x: s, y: '', z: ~, w: a}}}\n",
        A + "hooks: {on_startup: {preload: [gone]}}\n",
    ],
)
def test_the_newer_version_takes(text: str) -> None:
    """Aliases in groups, macros that keep their type, routers that rest, keys nobody knows."""
    assert "a" in loaded(text).models


def test_the_older_version_alone_refuses_aliases_that_macros_tell_apart() -> None:
    """2025 compares aliases before it replaces macros in them, 2026 after."""
    text = A + "    aliases: ['${MODEL_ID}x']\n  b: {proxy: x, aliases: ['${MODEL_ID}x']}\n"
    loaded(text, "2026")
    with pytest.raises(ConfigRefused):
        loaded(text, "2025")


def test_the_older_version_alone_refuses_profiles_that_are_mappings() -> None:
    """Each version rejects the other's profiles."""
    text = A + "profiles: {p: {pins: {x: a}}}\n"
    loaded(text, "2026")
    with pytest.raises(ConfigRefused):
        loaded(text, "2025")


def test_one_key_that_is_no_string_drops_every_model_in_the_newer_version() -> None:
    """An unquoted `7` or `true` among the IDs leaves 2026 with no model and no word about it."""
    for key in ("7", "true", "1e3", "2024-01-01", "~"):
        text = A + f"  {key}:\n    cmd: run ${{PORT}}\n"
        assert loaded(text, "2026").models == {}, key
        assert "a" in loaded(text, "2025").models, key


def test_macros_and_ports_are_filled_in() -> None:
    """Ports go up in byte order of IDs; macros use earlier ones; floats are written anew."""
    config = loaded(
        "startPort: 9000\n"
        "macros: {t: 0.70, base: 'run --temp ${t}', whole: '${base} --port ${PORT}'}\n"
        'models:\n  "b":\n    cmd: ${whole}\n  "Z":\n    cmd: ${base} fixed\n'
        "    proxy: http://127.0.0.1:1\n"
        '  "a":\n    cmd: ${whole} --name ${MODEL_ID}\n    macros: {t: 1.0}\n'
    )
    assert {key: model.cmd for key, model in config.models.items()} == {
        "Z": "run --temp 0.7 fixed",
        "a": "run --temp 1 --port 9000 --name a",
        "b": "run --temp 0.7 --port 9001",
    }
    assert config.models["a"].proxy == "http://localhost:9000"


def test_names_resolve_as_llama_swap_resolves_them() -> None:
    """An ID beats an alias of the same name; preload drops what it does not know."""
    config = loaded(
        A + '    aliases: [b, c]\n  "b":\n    cmd: run ${PORT}\n'
        "    filters: {setParamsByID: {d: {x: 1}}}\n"
        "hooks: {on_startup: {preload: [c, gone]}}\n"
    )
    resolved = {name: model.id for name in "abcde" if (model := config.resolve(name))}
    assert resolved == {"a": "a", "b": "b", "c": "a", "d": "b"}
    assert config.preload == ("c",)


def test_marks_line_ends_and_second_documents_are_taken() -> None:
    """A byte order mark and CRLF are fine; a second document is not read."""
    text = "\ufeff" + (A + "---\nmodels: [\n").replace("\n", "\r\n")
    assert set(loaded(text).models) == {"a"}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("a  b\tc\nd", ["a", "b", "c", "d"]),
        ("a \\\n  b", ["a", "b"]),
        ("a\n  # not this 'one\nb", ["a", "b"]),
        ("a '{\"x\": \"$y\"}' ''", ["a", '{"x": "$y"}', ""]),
        (r'a "b \" \$ \n"', ["a", r'b " $ \n']),
        ("a \\\n  b \\\n  c", ["a", "b", "c"]),
        ("  'a\\\n b'", ["a \n b"]),
        (r"a C:\dir b\ c \' $HOME ~ * |", ["a", "C:dir", "b c", "'", "$HOME", "~", "*", "|"]),
    ],
)
def test_commands_are_cut_as_llama_swap_cuts_them(text: str, arguments: list[str]) -> None:
    """No shell: few escapes, comment lines dropped, nothing expanded."""
    assert split_command(text) == arguments


# Configs that llama-swap itself would not start with, and the mistake in them.
BROKEN_IN_THE_FIELD = {"synw__goinfer.yaml": 'duplicate key "startPort"'}


@each_config()
def test_real_configs_mean_the_same_to_another_parser(config: Path) -> None:
    """The quick parser is no judge of its own: a slow one reads the same of what people write."""
    data = config.read_bytes()
    assert read_yaml(data) == first_document(data.decode("utf-8-sig"), pure=True)


@needs_corpus
def test_real_configs_are_taken() -> None:
    """Whatever real people run is accepted by one of the versions; a real mistake is found."""
    for path in corpus_files():
        environ = dict.fromkeys(ENV_MACRO.findall(path.read_text()), "value")
        refusals = []
        for behave in BOTH:
            try:
                assert load(path.read_bytes(), behave=behave, environ=environ).models, path.name
            except ConfigRefused as error:
                refusals.append(str(error))
        if mistake := BROKEN_IN_THE_FIELD.get(path.name):
            assert len(refusals) == 2
            assert mistake in refusals[0]
        else:
            assert len(refusals) < 2, (path.name, refusals)
