"""From the text of a manifest to its values, or to everything that is wrong with it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.manifest import Discover, Manifest, ModelSpec, Policy, Prune, Serve
from reconciler.core.names import ModelId
from reconciler.core.reading.manifest_text import ManifestText, parse_manifest
from reconciler.core.source import HubPath, HubQuant, LocalPath, PlainUrl
from reconciler.errors import ManifestInvalid
from tests.support.searching import trying

DIGEST = "ab" * 32


def text(words: str | bytes, path: str = "home.yaml") -> ManifestText:
    """A manifest file in /srv."""
    data = words.encode() if isinstance(words, str) else words
    return ManifestText(path=path, folder="/srv", data=data)


def parse(words: str) -> Manifest:
    """The manifest of one file."""
    return parse_manifest([text(words)])


def model(words: str, *, above: str = "") -> ModelSpec:
    """The one model `a` that says `words`."""
    manifest = parse(f"version: 1\n{above}\nmodels:\n  a: {words}\n")
    return manifest.models[ModelId("a")]


def faults(*words: str | bytes) -> list[str]:
    """All that is wrong with these files, named 0.yaml, 1.yaml and so on."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest([text(each, f"{number}.yaml") for number, each in enumerate(words)])
    return str(caught.value).splitlines()


def fault(words: str) -> str:
    """The one thing wrong with the model `a` that says `words`."""
    (only,) = faults(f"version: 1\nmodels:\n  a: {words}\n")
    return only


FULL = f"""\
# A manifest with a word of every kind.
version: 1
defaults:
  revision: main
  mmproj: auto
  protect: true
  serve:
    args: {{n-gpu-layers: 99, ctx-size: 8192, jinja: true}}
    ttl: 300
    env: [A=1]
presets:
  long: {{serve: {{args: {{ctx-size: 65536, flash-attn: on}}}}}}
  quick: {{serve: {{ttl: 60, metadata: {{kind: {{speed: quick}}}}}}}}
policy: {{prune: delete, max_prune: 3, discover: serve}}
models:
  big/coder:v2:
    source: acme/Coder-GGUF:UD-Q4_K_XL
    preset: [long, quick]
    revision: v2.0
    mmproj: none
    draft: acme/Small-GGUF:Q8_0
    files: {{style: ./style.gguf}}
    protect: false
    update: pinned
    serve:
      args: {{jinja: null, temp: 0.7, lora: [x, y]}}
      env: [B=2]
      aliases: [coder]
      metadata: {{kind: {{size: big}}}}
  one-file:
    source: hf://acme/Coder-GGUF/m.gguf@v1
  mirror:
    source: https://example.org/m.gguf
    sha256: {DIGEST.upper()}
    enabled: false
    serve: {{args: null, ttl: null, cmd: "server -m ${{model}}\\n--port ${{PORT}}"}}
"""


def test_a_whole_manifest_means_what_its_reference_says() -> None:
    """Every supported word arrives, merged from defaults through presets to the model."""
    manifest = parse(FULL)
    assert list(manifest.models) == ["big/coder:v2", "one-file", "mirror"]
    assert manifest.policy == Policy(prune=Prune.DELETE, max_prune=3, discover=Discover.SERVE)
    assert manifest.paths == ("home.yaml",)
    assert manifest.digest == hashlib.sha256(FULL.encode()).hexdigest()
    assert manifest.models[ModelId("big/coder:v2")] == ModelSpec(
        id=ModelId("big/coder:v2"),
        source=HubQuant(repo="acme/Coder-GGUF", quant="UD-Q4_K_XL"),  # type: ignore[arg-type]
        source_text="acme/Coder-GGUF:UD-Q4_K_XL",
        revision="v2.0",
        draft=HubQuant(repo="acme/Small-GGUF", quant="Q8_0"),  # type: ignore[arg-type]
        draft_text="acme/Small-GGUF:Q8_0",
        files={"style": LocalPath(path="/srv/style.gguf")},
        file_texts={"style": "./style.gguf"},
        serve=Serve(
            args={
                "n-gpu-layers": 99,
                "ctx-size": 65536,
                "jinja": None,
                "flash-attn": "on",
                "temp": 0.7,
                "lora": ["x", "y"],
            },
            fields={
                "ttl": 60,
                "env": ["B=2"],
                "aliases": ["coder"],
                "metadata": {"kind": {"speed": "quick", "size": "big"}},
            },
        ),
        protect=False,
        path="home.yaml",
        line=16,
    )
    one_file = manifest.models[ModelId("one-file")]
    assert isinstance(one_file.source, HubPath)
    assert (one_file.revision, one_file.mmproj, one_file.protect) == (None, "auto", True)
    mirror = manifest.models[ModelId("mirror")]
    assert (mirror.sha256, mirror.enabled, mirror.mmproj) == (DIGEST, False, "none")
    assert isinstance(mirror.source, PlainUrl)
    assert mirror.serve == Serve(cmd="server -m ${model}\n--port ${PORT}", fields={"env": ["A=1"]})


def test_an_empty_list_of_models_is_legal_and_silence_is_not() -> None:
    """`models: {}` says that nothing is wanted; a missing or empty key could be an accident."""
    assert parse("version: 1\nmodels: {}\n").models == {}
    assert faults("version: 1\n") == ["0.yaml:1:1: 'models' is missing"]
    assert faults("version: 1\nmodels:\n") == ["0.yaml:2:1: 'models' must be a mapping"]
    assert "the file is empty" in faults("# nothing\n")[0]


def test_everything_wrong_is_told_at_once_with_its_place() -> None:
    """One run shows every mend: each fault has its file, line and column, in reading order."""
    words = f"""\
version: 2
polcy: {{}}
defaults: {{serv: 1, revision: 3}}
policy: {{max_prune: 101%, prune: burn, discover: maybe}}
models:
  a:
    sorce: acme/Tiny
  b: {{source: ../m.gguf, enabled: yes, preset: lng}}
  b: {{source: acme/Tiny}}
  7: {{source: acme/Tiny}}
  c: {{source: acme/Tiny, sha256: {DIGEST}}}
  d: {{source: acme/Tiny, serve: {{args: {{--x: 1, port: 2}}, since: 2026-01-02}}}}
  e:
presets: {{long: {{}}}}
"""
    assert faults(words) == [
        "0.yaml:1:10: 'version' must be 1",
        "0.yaml:2:1: unknown key 'polcy'; did you mean 'policy'?",
        "0.yaml:3:12: unknown key 'serv'; did you mean 'serve'?",
        "0.yaml:3:31: 'revision' must be a string: quote it",
        "0.yaml:4:21: 'max_prune' must be a count of models, or a share from 0% to 100%",
        "0.yaml:4:34: 'prune' must be trash, keep or delete",
        "0.yaml:4:50: 'discover' must be off, report or serve",
        "0.yaml:6:3: 'source' is missing",
        "0.yaml:7:5: unknown key 'sorce'; did you mean 'source'?",
        "0.yaml:8:15: '../m.gguf' may leave the manifest's folder: write ./path.gguf for a file "
        "below it, or file:///absolute/path.gguf",
        "0.yaml:8:35: 'enabled' must be true or false",
        "0.yaml:8:48: unknown preset 'lng'; did you mean 'long'?",
        "0.yaml:9:3: 'b' stands here twice; first on line 8",
        "0.yaml:10:3: 7 is read as a number: quote it",
        "0.yaml:11:34: only a plain URL has a sha256 here: the lock holds the others",
        "0.yaml:12:41: '--x' is no argument: write its name without leading dashes, "
        "as in ctx-size: 8192",
        "0.yaml:12:49: 'port' may not stand here: it is written for every model",
        "0.yaml:12:66: 2026-01-02 is read as a date: quote it",
        "0.yaml:13:3: 'e' must be a mapping",
    ]


def test_a_model_without_a_source_is_judged_further() -> None:
    """What is missing hides nothing of what is wrong beside it."""
    assert faults("version: 1\nmodels:\n  a: {draft: ../m, mmproj: 7}\n") == [
        "0.yaml:3:3: 'source' is missing",
        "0.yaml:3:14: '../m' may leave the manifest's folder: write ./path.gguf for a file below "
        "it, or file:///absolute/path.gguf",
        "0.yaml:3:28: 'mmproj' must be a string: quote it",
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"version: 1\nmodels: {\xff}\n", "0.yaml:2:10: this byte is not UTF-8"),
        (b"version: 1\nmodels:\n\ta: {}\n", "0.yaml:3:1: a tab indents this line"),
        (b"version: 1\nmodels: {}\n---\nx: 1\n", "0.yaml:3:1: a second document begins here"),
        (b"version: 1\nmodels: {a: \x07}\n", "0.yaml:2:13: control character '\\x07'"),
        (b'version: 1\nmodels: {a: "\\x07"}\n', "0.yaml:2:13: '\\x07' holds control characters"),
        (b'version: 1\nmodels: {"\\e": {}}\n', "0.yaml:2:10: the key '\\x1b' holds control"),
        (b"version: 1\nmodels: {a: *b}\n", "0.yaml:2:13: not YAML: found undefined alias"),
        (b"version: 1\nmodels: &m {a: *m}\n", "0.yaml:2:9: an anchor holds itself"),
        (b"version: 1\nmodels: {a: 'b\n", "not YAML: found unexpected end of stream"),
        (b"version: 1\nmodels: !pod {}\n", "0.yaml:2:9: not YAML: could not determine"),
        (b"version: !!int x\nmodels: {}\n", "not YAML that can be read"),
        (b"- version: 1\n", "0.yaml:1:1: the file is no mapping"),
        (b"version: 1\nmodels: {true: {}}\n", "0.yaml:2:10: true is read as true or false"),
        (b"version: 1\nmodels: {~: {}}\n", "0.yaml:2:10: ~ is read as null: quote it"),
        (b"version: 1\nmodels: {1e3: {}}\n", "0.yaml:2:10: 1e3 is read as a number: quote it"),
        (b"version: 1\nmodels: {2026-01-02: {}}\n", "0.yaml:2:10: 2026-01-02 is read as a date"),
        (b"version: 1\nmodels: {[a]: {}}\n", "0.yaml:2:10: this key is read as no string"),
        (b"version: 1\nmodels: {' a': {source: a/b}}\n", "0.yaml:2:10: ' a' is not a model ID"),
        (b"version: true\nmodels: {}\n", "0.yaml:1:10: 'version' must be 1"),
        (b"version: 1.0\nmodels: {}\n", "0.yaml:1:10: 'version' must be 1"),
        (b"[" * 100_000, "0.yaml:1:1: nested deeper than 64 levels"),
        (b'["]", ' * 100_000, "0.yaml:1:1: nested deeper than 64 levels"),
        (b"- " * 100_000, "0.yaml:1:1: nested deeper than 64 levels"),
        (b"{a: " * 70 + b"1" + b"}" * 70, "nested deeper than 64 levels"),
    ],
)
def test_text_that_is_no_manifest_is_refused_with_its_place(data: bytes, expected: str) -> None:
    """Whatever the bytes are, the first thing to mend is named where it stands."""
    assert expected in "\n".join(faults(data))


def test_anchors_that_multiply_without_end_are_refused() -> None:
    """A few lines of aliases cannot make the program handle billions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "multiply" in faults("\n".join(lines))[0]


def test_yaml_is_read_as_version_1_2() -> None:
    """`on`, `yes` and 012 are what they look like; anchors and merge keys work."""
    spec = model("{source: a/b, serve: {args: &x {fa: on, x: yes, n: 012}, env: [A=no]}}")
    assert spec.serve.args == {"fa": "on", "x": "yes", "n": 12}
    shared = parse(
        "version: 1\nmodels:\n"
        "  a: &a {source: acme/Tiny, revision: v1}\n"
        "  b: {<<: *a, source: acme/Other}\n"
    )
    assert [spec.source_text for spec in shared.models.values()] == ["acme/Tiny", "acme/Other"]
    assert [spec.revision for spec in shared.models.values()] == ["v1", "v1"]


def test_crlf_and_a_byte_order_mark_are_no_fault() -> None:
    """A file an editor on another system saved means the same, with the same lines."""
    words = "version: 1\r\nmodels:\r\n  a: {source: acme/Tiny}\r\n"
    manifest = parse_manifest([text(b"\xef\xbb\xbf" + words.encode())])
    assert manifest.models[ModelId("a")].line == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("{source: »https://x.org/m.gguf}", "a plain URL needs sha256"),
        ("{source: »http://x.org/m.gguf}", "a plain URL needs sha256"),
        ("{source: https://x.org/m.gguf, sha256: »abc}", "'abc' is not a sha256"),
        ("{source: ./m.gguf, revision: »v1}", "only a source on the hub has a revision"),
        ("{source: ./m.gguf, mmproj: »auto}", "only a source on the hub has one"),
        ("{source: hf://a/b/m.gguf@v1, revision: »v2}", "the source names 'v1' already"),
        ("{source: a/b, revision: »a..b}", "'a..b' is not a revision"),
        ("{source: a/b, mmproj: »best}", "'best' is no mmproj"),
        ("{source: a/b, mmproj: »../m.gguf}", "'../m.gguf' is not a plain path"),
        ("{source: a/b, draft: »https://x.org/m}", "a plain URL cannot stand here"),
        ("{source: a/b, files: {x: »../m}}", "'../m' may leave"),
        ("{source: a/b, files: {»'$': a/b}}", "'$' is no name for a file"),
        ("{source: a/b, preset: »7}", "'preset' must be the name of a preset"),
        ("{source: a/b, preset: »p}", "unknown preset 'p'; none is declared"),
        ("{source: a/b, renamed_from: »7}", "'renamed_from' must be a string: quote it"),
        ("{source: a/b, renamed_from: »' c'}", "' c' is not a model ID"),
        ("{source: a/b, renamed_from: »a}", "'a' is declared itself (0.yaml:3)"),
        ("{source: ./m.gguf, update: »track}", "only a source on the hub can be tracked"),
        ("{source: a/b, update: »daily}", "'update' must be pinned or track"),
        ("{source: a/b, serve: {group: »7}}", "'group' must be a string: quote it"),
        ("{source: a/b, serve: {group: »' '}}", "a group has a name"),
        (
            "{source: a/b, serve: {»checkendpoint: /}}",
            "llama-swap knows no 'checkendpoint'; did you mean 'checkEndpoint'?",
        ),
        (
            "{source: a/b, serve: {»use_model_name: x}}",
            "llama-swap knows no 'use_model_name'; did you mean 'useModelName'?",
        ),
        ("{source: a/b, serve: {args: {»x: [[1]]}}}", "'x' holds a list inside a list"),
        ("{source: a/b, serve: {args: {»x: [1, null]}}}", "'x' is a list that holds"),
        ("{source: a/b, serve: {ttl: ».inf}}", ".inf is a number that JSON has not"),
        ("{source: a/b, serve: {aliases: »c}}", "'aliases' must be a list"),
        ("{source: a/b, serve: {aliases: [»a]}}", "the alias 'a' is the ID of a model"),
        ("{source: a/b, serve: {aliases: [c, »c]}}", "the alias 'c' is given twice"),
        ("{source: »7}", "'source' must be a string: quote it"),
        ("»[]", "'a' must be a mapping"),
    ],
)
def test_each_word_is_judged(words: str, expected: str) -> None:
    """Every word that cannot be meant is refused where it stands (here after the »)."""
    column = len("  a: ") + words.index("»") + 1
    assert fault(words.replace("»", "")).startswith(f"0.yaml:3:{column}: {expected}")


def test_an_unknown_llama_swap_key_passes() -> None:
    """A llama-swap newer than us may know more keys: what is declared is handed on."""
    assert model("{source: a/b, serve: {brandNew: {x: [1]}}}").serve.fields == {
        "brandNew": {"x": [1]}
    }


def test_what_defaults_say_of_the_hub_does_not_trouble_other_sources() -> None:
    """A revision or a projector by default is for those sources that can have one."""
    spec = model("{source: ./m.gguf}", above="defaults: {revision: v1, mmproj: auto}")
    assert (spec.revision, spec.mmproj) == (None, "none")


def test_null_takes_a_default_away() -> None:
    """Null under a model means that what lies beneath is not wanted."""
    above = "defaults: {revision: v1, mmproj: auto, protect: true, serve: {cmd: x, ttl: 1}}"
    spec = model(
        "{source: a/b, revision: null, mmproj: ~, protect: null, serve: {cmd: null}}", above=above
    )
    assert (spec.revision, spec.mmproj, spec.protect) == (None, "none", None)
    assert spec.serve == Serve(fields={"ttl": 1})
    assert model("{source: a/b, serve: null}", above=above).serve == Serve()


def test_a_group_is_no_field_of_the_entry() -> None:
    """It is kept beside the fields that are written; null takes one away that lies under it."""
    above = "defaults: {serve: {group: g, ttl: 1}}"
    assert model("{source: a/b}", above=above).serve == Serve(group="g", fields={"ttl": 1})
    assert model("{source: a/b, serve: {group: null}}", above=above).serve.group is None


def test_null_capabilities_are_kept() -> None:
    """They say that none are wanted, where leaving them out means those of the file."""
    assert model("{source: a/b, serve: {capabilities: ~, ttl: ~}}").serve.fields == {
        "capabilities": None
    }


def test_each_word_knows_where_it_comes_from() -> None:
    """The strongest layer is named; of mappings, which merge, all that have a say."""
    above = (
        "defaults: {serve: {ttl: 1, name: D, args: {c: 1, kwargs: {a: 1}}}}\n"
        "presets:\n"
        "  p: {serve: {ttl: 2, description: P, args: {kwargs: {b: 2}}}}\n"
        "  q: {serve: {ttl: 3}}\n"
    )
    serve = model(
        "{source: a/b, preset: [p, q], serve: {name: M, args: {kwargs: {c: 3}}}}", above=above
    ).serve
    assert serve.origins == {
        "ttl": "preset q",
        "name": "model",
        "description": "preset p",
        "args": "model, preset p, defaults",
    }
    assert serve.args == {"c": 1, "kwargs": {"a": 1, "b": 2, "c": 3}}


def test_several_files_make_one_manifest() -> None:
    """Models and presets may be spread over files; each model tells where it stands."""
    manifest = parse_manifest(
        [
            text("version: 1\ndefaults: {protect: true}\nmodels: {}\n", "a.yaml"),
            text("version: 1\nmodels: {m: {source: a/b, preset: p}}\n", "b.yaml"),
            text("version: 1\npresets: {p: {revision: v1}}\nmodels: {}\n", "c.yaml"),
        ]
    )
    spec = manifest.models[ModelId("m")]
    assert (spec.path, spec.line, spec.revision, spec.protect) == ("b.yaml", 2, "v1", True)
    assert manifest.paths == ("a.yaml", "b.yaml", "c.yaml")


def test_two_files_may_not_disagree() -> None:
    """Defaults, policy, a preset, a model or an alias that two files declare is refused."""
    one = (
        "version: 1\ndefaults: {}\npolicy: {}\npresets: {p: {}}\n"
        "models: {m: {source: a/b, serve: {aliases: [x]}}}\n"
    )
    other = one.replace("{m: {", "{m: {source: a/b}, n: {")
    assert faults(one, other) == [
        "1.yaml:2:1: 'defaults' may stand in one file only, and stands in 0.yaml too",
        "1.yaml:3:1: 'policy' may stand in one file only, and stands in 0.yaml too",
        "1.yaml:4:11: the preset 'p' is declared in another file too",
        "1.yaml:5:10: the model 'm' is declared twice; first in 0.yaml:5",
        "1.yaml:5:63: the alias 'x' is given twice; first to 'm' (0.yaml:5)",
    ]


def test_no_file_at_all_is_an_error() -> None:
    """A manifest that is not there never reads as one that wants nothing."""
    assert faults() == ["manifest: there is none"]


@pytest.mark.parametrize(
    ("written", "meant"), [("0%", 0.0), ("25%", 0.25), ("100%", 1.0), ("0", 0), ("12", 12)]
)
def test_max_prune_is_a_share_or_a_count(written: str, meant: float) -> None:
    """A share and a count are told apart."""
    policy = parse(f"version: 1\npolicy: {{max_prune: {written}}}\nmodels: {{}}\n").policy
    assert policy.max_prune == meant
    assert isinstance(policy.max_prune, type(meant))


@pytest.mark.parametrize("written", ["0.25", "-1", "101%", "true", "all", "null"])
def test_any_other_max_prune_is_refused(written: str) -> None:
    """A guard that cannot be understood is never taken for one that allows."""
    words = f"version: 1\npolicy: {{max_prune: {written}}}\nmodels: {{}}\n"
    assert "must be a count of models" in faults(words)[0]


_keys = st.sampled_from(
    [
        *["version", "models", "defaults", "presets", "policy", "a", "source", "serve", "args"],
        *["files", "preset", "mmproj", "revision", "aliases", "7", "~", "<<", "group", "draft"],
    ]
)
_scalars = st.sampled_from(
    ["1", "acme/Tiny", "~", "on", "./m", "''", ".nan", "2026-01-02", "https://x.org/m", "a", "25%"]
)
_trees = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(_keys, inner), max_size=5).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=24,
)
_model_like = st.lists(st.tuples(_keys, _trees), max_size=6).map(
    lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
)


@trying(30)
@given(st.lists(_model_like, min_size=1, max_size=3), _trees, _trees)
def test_any_manifest_is_taken_or_refused_with_places(
    models: list[str], defaults: str, presets: str
) -> None:
    """No mixture of right and wrong words escapes the one kind of error."""
    listed = "".join(f"  m{number}: {words}\n" for number, words in enumerate(models))
    words = f"version: 1\ndefaults: {defaults}\npresets: {{a: {presets}}}\nmodels:\n{listed}"
    try:
        manifest = parse(words)
        assert len(manifest.models) == len(models)
        places = []
    except ManifestInvalid as error:
        places = [(fault.line, fault.column) for fault in error.faults]
    assert places == sorted(set(places))
    assert all(line and column for line, column in places)
