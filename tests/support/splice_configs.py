"""Configs made up at random: every way of writing YAML that people use, mixed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from reconciler.core.values import Json

T = TypeVar("T")
WORD = "/m/a.gguf"
KEYS = ("cmd", "name", "ttl", "aliases", "metadata", "proxy", '"env"', "'x y'")
MODELS = ("a", "b-1.5", '"c:4b"', "'d'", "m/e")
_COMMENTS = ("", "", "", "", "  # note", " ", "   ", "  #")
_ROUTING: dict[str, dict[str, Json]] = {
    "groups": {
        "one": {"swap": True, "exclusive": False, "members": ["a", "c:4b", "m/e"]},
        "two": {"members": ["d"]},
        "none": {"members": []},
    },
    "matrix": {
        "vars": {"x": "a", "y": "c:4b"},
        "sets": {"s": "x & y", "t": "x"},
        "evict_costs": {"x": 10, "y": 2},
    },
    "profiles": {"chat": ["a", "d"], "pinned": {"pins": {"a": "b-1.5"}}, "void": None},
    "selectors": {"fast": {"strategy": "first", "targets": ["a", "b-1.5"]}, "off": {}},
    "hooks": {"on_startup": {"preload": ["a"]}},
    "routing": {"scheduler": {"settings": {"fifo": {"priority": {"a": 1, "c:4b": 2}}}}},
}
_LINES = (f"run --port ${{PORT}} -m {WORD}", f"--model={WORD} x", "# no comment", "a", "  deeper")


class Writer:
    """Draws one config, line by line."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._step = chance.choice((2, 2, 4, 1, 3))
        self._dash = chance.choice((0, self._step))
        self._anchors: list[str] = []
        self._maps: list[str] = []
        self.lines: list[str] = []

    def _pick(self, options: Sequence[T]) -> T:
        return self._chance.choice(options)

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share

    def noise(self, indent: int) -> None:
        """Put blank lines and comments, or none."""
        if self._happens(0.25):
            for _ in range(self._pick((1, 1, 2))):
                deep = self._pick((0, indent, indent, indent + self._step, 12))
                self.lines.append(self._pick(("", "", " " * deep, " " * deep + "# c", "#")))

    def value(self, lead: str, indent: int, depth: int = 0) -> None:
        """Put a value behind `lead`, a key at `indent` with its colon."""
        kinds = ["plain", "double", "single", "literal", "number", "null", "multi", "list", "flow"]
        kind = self._pick([*kinds, "map", "alias"] if depth < 2 else kinds)
        inner = " " * (indent + self._step)
        tail = self._pick(_COMMENTS)
        gap = self._pick((" ", " ", " ", "   "))
        if kind not in ("alias", "null", "map", "list") and self._happens(0.08):
            name = f"k{len(self._anchors)}"
            gap += f"&{name} "
            self._anchors.append(name)
        match kind:
            case "plain":
                text = self._pick((f"run -m {WORD}", f"{WORD}", "on", "x y", "--a"))
                self.lines.append(f"{lead}{gap}{text}{tail}")
            case "double":
                text = self._pick(
                    (f"run -m {WORD}", f'-m \\"{WORD}\\"', f"a\\n{WORD}", "", "\\u00e9")
                )
                self.lines.append(f'{lead}{gap}"{text}"{tail}')
            case "single":
                text = self._pick((f"run -m {WORD}", f"it''s {WORD}", f'"{WORD}"', "", "# x"))
                self.lines.append(f"{lead}{gap}'{text}'{tail}")
            case "literal":
                self._block(lead + gap, inner)
            case "number":
                self.lines.append(f"{lead}{gap}{self._pick(('300', '0.5', 'true', '1e3'))}{tail}")
            case "null":
                self.lines.append(lead + self._pick(("", " ~", " null")) + tail)
            case "multi":
                self._multi(lead, gap, inner, tail)
            case "list":
                self.lines.append(lead + tail)
                for _ in range(self._pick((1, 2))):
                    self.noise(indent)
                    self.lines.append(" " * (indent + self._dash) + f"- {self._pick(('x', '1'))}")
            case "flow":
                text = self._pick(("[]", "{}", "[a, 'b']", "{a: 1, b: [x]}", "{ a: 1, }"))
                self.lines.append(f"{lead}{gap}{text}{tail}")
            case "map":
                self.lines.append(lead + tail)
                for key in ("p", "q")[: self._pick((1, 2))]:
                    self.noise(indent)
                    self.value(f"{inner}{key}:", indent + self._step, depth + 1)
            case _:
                if not self._anchors:
                    self.lines.append(f"{lead} z{tail}")
                else:
                    self.lines.append(f"{lead} *{self._pick(self._anchors)}{tail}")

    def _block(self, lead: str, inner: str) -> None:
        header = self._pick(("|", "|", ">", "|-", ">-", "|+", ">+"))
        comment = self._pick(("", "", "  # note", " "))
        self.lines.append(f"{lead}{header}{comment}")
        for number in range(self._pick((1, 2, 3))):
            line = self._pick(_LINES[:3] if number == 0 else _LINES)
            self.lines.append(inner + line + self._pick(("", "", " ")))
        self.lines += self._pick(((), (), ("",), ("", ""), (inner + "  ",)))

    def _multi(self, lead: str, gap: str, inner: str, tail: str) -> None:
        quote = self._pick(("", "", "'", '"'))
        first = self._pick(("run", f"run {WORD}", "") if not quote else ("run",))
        end = f"-m {WORD}"
        if not first:
            self.lines += [(lead + gap).rstrip(" ") + tail, f"{inner}go"]
        else:
            self.lines.append(f"{lead}{gap}{quote}{first}")
        self.lines += self._pick(((), ("",)))
        self.lines.append(f"{inner}{end}{quote}{tail}")

    def entry(self, model: str, indent: int) -> None:
        """Put one model entry."""
        lead = " " * indent + model + ":"
        kind = self._pick(("block",) * 8 + ("null", "flow", "empty", "alias", "merge", "anchor"))
        tail = self._pick(_COMMENTS)
        if kind in ("alias", "merge") and not self._maps:
            kind = "block"
        match kind:
            case "null":
                self.lines.append(lead + tail)
                return
            case "flow":
                self.lines.append(f"{lead} {{cmd: {WORD}, 'ttl': 3}}{tail}")
                return
            case "empty":
                self.lines.append(f"{lead} {self._pick(('{}', '{ }'))}{tail}")
                return
            case "alias":
                self.lines.append(f"{lead} *{self._pick(self._maps)}{tail}")
                return
            case "anchor":
                self._maps.append(f"m{len(self._maps)}")
                self.lines.append(f"{lead} &{self._maps[-1]}{tail}")
            case _:
                self.lines.append(lead + tail)
        column = indent + self._pick((self._step, self._step, self._step + 1))
        if kind == "merge":
            self.lines.append(" " * column + f"<<: *{self._pick(self._maps)}")
        for key in self._chance.sample(KEYS, self._pick((1, 2, 3))):
            self.noise(column)
            self.value(" " * column + key + ":", column)

    def section(self, key: str) -> None:
        """Put one top-level key other than `models`."""
        self.noise(0)
        self.value(key + ":", 0)

    def routing(self) -> None:
        """Put what refers to models: groups, matrix, profiles, selectors, hooks, priorities."""
        sections = ("groups", "matrix", "profiles", "selectors", "hooks", "routing")
        for section in self._chance.sample(sections, self._pick((1, 2, 3))):
            self.noise(0)
            tree: Json = _ROUTING[section]
            has_anchor = self._happens(0.1)
            self.tree(section + ":" + has_anchor * f" &{section}", tree, 0)
            if has_anchor and self._happens(0.5):
                self.lines.append(f"copy-{section}: *{section}")

    def tree(self, lead: str, value: Json, indent: int) -> None:
        """Put a value behind `lead`, a key at `indent`, in block or flow as it comes."""
        tail = self._pick(_COMMENTS)
        if isinstance(value, str):
            self.lines.append(f"{lead} {self._word(value)}{tail}")
        elif not isinstance(value, dict | list) or not value:
            empty = {"[]": ("[]", "[ ]"), "{}": ("{}", "{ }"), "None": ("", "~", "null")}
            text = self._pick(empty.get(str(value), (str(value).lower(),)))
            self.lines.append(f"{lead} {text}".rstrip() + tail)
        elif self._happens(0.25):
            self._flow(lead, value, tail, " " * (indent + self._step))
        elif isinstance(value, dict):
            self.lines.append(lead + tail)
            column = indent + self._step
            parted = self._happens(0.2)
            for number, (key, inner) in enumerate(value.items()):
                if number and parted:
                    self.lines.append("")
                self.noise(column)
                self.tree(" " * column + self._word(key) + ":", inner, column)
        else:
            self.lines.append(lead + tail)
            dash = " " * (indent + self._dash) + "-" + self._pick((" ", " ", "   "))
            for item in value:
                self.noise(indent)
                if isinstance(item, str) and self._happens(0.1):
                    self.lines += [dash.rstrip() + " |-", " " * (indent + self._dash + 2) + item]
                elif isinstance(item, str) and self._anchors and self._happens(0.05):
                    self.lines.append(f"{dash}*{self._pick(self._anchors)}")
                elif isinstance(item, str):
                    self.lines.append(dash + self._word(item) + self._pick(_COMMENTS))
                else:
                    self.lines.append(dash + json.dumps(item) + self._pick(_COMMENTS))

    def _word(self, text: str) -> str:
        kind = self._pick(("", "", "'", '"')) if text.isidentifier() else self._pick(("'", '"'))
        return kind + text + kind

    def _flow(self, lead: str, value: Json, tail: str, inner: str) -> None:
        text = json.dumps(value) if self._happens(0.5) else _bare(value)
        if text.startswith("[") and self._happens(0.4):
            parts = [part.strip() for part in text[1:-1].split(",")]
            self.lines.append(f"{lead} [")
            self.lines += [f"{inner}{part},{self._pick(('', '', ' # c'))}" for part in parts[:-1]]
            self.lines += [inner + parts[-1] + self._pick(("", ",")), f"{inner}]{tail}"]
        else:
            self.lines.append(f"{lead} {text}{tail}")

    def models(self) -> None:
        """Put `models:`, or leave it out."""
        self.noise(0)
        kind = self._pick(("block",) * 8 + ("none", "null", "empty", "flow"))
        tail = self._pick(_COMMENTS)
        match kind:
            case "null":
                self.lines.append("models:" + self._pick(("", " ~", "  null")) + tail)
            case "empty":
                self.lines.append("models: " + self._pick(("{}", "{ }")) + tail)
            case "flow":
                text = self._pick(
                    (f"a: {{cmd: {WORD}}}", f"a: {{cmd: {WORD}, ttl: 1}}, b-1.5: {{}}")
                )
                self.lines.append(f"models: {{{text}}}{tail}")
            case "block":
                self.lines.append("models:" + tail)
                names = self._chance.sample(MODELS, self._pick((1, 2, 3)))
                parted = self._happens(0.5)
                for number, model in enumerate(names):
                    if number and parted:
                        self.lines.append("")
                    self.noise(self._step)
                    self.entry(model, self._step)
            case _:
                pass


def _bare(value: Json) -> str:
    """Give a value in flow with as few quotes as can be."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_bare(key)}: {_bare(inner)}" for key, inner in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_bare, value)) + "]"
    is_word = isinstance(value, str) and value.replace("-", "_").isidentifier()
    return str(value) if is_word else json.dumps(value)


def make_config(seed: int) -> bytes:
    """Make a config from a seed; now and then it is no YAML."""
    chance = Random(seed)  # noqa: S311 - variety, not secrecy
    writer = Writer(chance)
    if chance.random() < 0.05:
        return chance.choice((b"", b"# c", b"\n\n", b"{}\n", b"{a: 1}", b"--- {a: 1}\n"))
    if chance.random() < 0.1:
        writer.lines.append("---")
    for key in ("logLevel", "macros")[: chance.choice((0, 1, 2))]:
        writer.section(key)
    writer.models()
    for key in ("groups", "hooks")[: chance.choice((0, 0, 1, 2))]:
        writer.section(key)
    writer.noise(0)
    if chance.random() < 0.1:
        writer.lines += chance.choice((["---", "models: 3"], ["..."], ["---", "a: ["]))
    newline = chance.choice(("\n", "\n", "\r\n"))
    text = newline.join(writer.lines) + chance.choice((newline, newline, ""))
    return (chance.choice(("", "", "", "\ufeff")) + text).encode()


def make_routed_config(seed: int) -> bytes:
    """Make a config whose models are referred to, from a seed."""
    chance = Random(seed)  # noqa: S311 - variety, not secrecy
    writer = Writer(chance)
    parts = [writer.models, writer.routing]
    chance.shuffle(parts)
    for part in parts:
        part()
    writer.noise(0)
    newline = chance.choice(("\n", "\n", "\r\n"))
    text = newline.join(writer.lines) + chance.choice((newline, newline, ""))
    return (chance.choice(("", "", "\ufeff")) + text).encode()


def routed_configs() -> st.SearchStrategy[bytes]:
    """Draw configs whose models are referred to, from a seed as `configs`."""
    return st.integers(0, 2**32 - 1).map(make_routed_config)


def configs() -> st.SearchStrategy[bytes]:
    """Draw configs. From a seed: drawing each line by itself would take most of a run's time."""
    return st.integers(0, 2**32 - 1).map(make_config)


_STRINGS = st.one_of(
    st.sampled_from(
        ("on", "1e3", "0x1", "~", "2024-01-01", "a: b", "a #b", "it's", 'q"q', "-x", "")
    ),
    st.sampled_from(
        ("run -m /m/b.gguf", "run\n-m /m/b.gguf\n", "run\n\n  -m x", "a\n", "\n", " a\nb")
    ),
    st.text(max_size=12).filter(
        lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text)
    ),
)
_SCALARS: st.SearchStrategy[Json] = st.one_of(
    _STRINGS, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.none(), st.floats()
)
_KEYS = st.sampled_from(("p", "on", "q r", "7", "é"))
VALUES: st.SearchStrategy[Json] = st.one_of(
    _STRINGS,
    _SCALARS,
    st.lists(st.one_of(_SCALARS, st.dictionaries(_KEYS, _SCALARS, max_size=2)), max_size=2),
    st.dictionaries(_KEYS, st.one_of(_SCALARS, st.lists(_SCALARS, max_size=2)), max_size=2),
)
