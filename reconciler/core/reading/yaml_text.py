"""YAML that must be JSON in other clothes: read at full speed, every fault with its place.

ruamel's C parser gives a tree of nodes that know their lines; values are then made from the same
tree, so that places cost no second parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Fault

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError

Keys = Sequence[str | int]
# A node of ruamel's: what it holds depends on its kind, which its own types do not say.
Node = Any
_Pairs = dict[str | int, tuple[Node, Node]]

_TAG: Final = "tag:yaml.org,2002:"
_READ_AS: Final = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "timestamp": "a date",
    "binary": "binary data",
}
# What a terminal or a log would act on; a tab and a line end are text.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_SECOND_END: Final = re.compile(r"^\.\.\..*^\.\.\.", re.MULTILINE | re.DOTALL)
# Deep and large enough for any manifest; a few lines of anchors can mean billions of values.
_MAX_DEPTH: Final = 64
_MAX_VALUES: Final = 1_000_000
# The C parser recurses on its own stack, and dies of some thousands of levels.
_SAFE_DEPTH: Final = 500
# What may hide a bracket from the parser: quotes, comments, tags, anchors and aliases.
_HIDING: Final = re.compile(r"[\"'#!&*]")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlText:
    """One YAML document as read. `value` is None where `readable` is false, or it holds nothing."""

    path: str
    value: object
    readable: bool
    faults: tuple[Fault, ...]
    node: Node = None
    # What stands under the keys of each mapping that was asked for, by the mapping's id().
    _mappings: dict[int, _Pairs] = field(default_factory=dict, compare=False, repr=False)

    def place(self, keys: Keys, *, at_key: bool = False) -> tuple[int, int]:
        """Give line and column, from 1, of the value at `keys`, or of its key.

        Where the text has nothing at `keys`, the nearest place around it is given.
        """
        place = (1, 1)
        node = self.node
        for key in keys:
            found = self._child(node, key)
            if found is None:
                break
            key_node, node = found
            empty = not node.value and node.start_mark.index == node.end_mark.index
            place = _place_of(key_node if at_key or empty else node)
        return place

    def fault(self, keys: Keys, message: str, *, at_key: bool = False) -> Fault:
        """Say `message` of the value at `keys`, or of its key."""
        return _fault_at(self.path, self.place(keys, at_key=at_key), message)

    def _child(self, node: Node, key: str | int) -> tuple[Node, Node] | None:
        """Give key and value node. In a list the value is its own key."""
        if node is None:
            return None
        if node.id == "sequence" and isinstance(key, int) and key < len(node.value):
            return node.value[key], node.value[key]
        if node.id == "mapping":
            # Every model of a manifest is asked for, so the models are not searched for each.
            if id(node) not in self._mappings:
                self._mappings[id(node)] = _pairs(node)
            return self._mappings[id(node)].get(key)
        return None


def read_yaml(data: bytes, path: str) -> YamlText:
    """Read one document; never raises. `path` is how faults name the text.

    Faults are: what is no YAML, a second document, a key that stands twice, a key that is no
    string, a value that JSON has not, control characters, and nesting or anchors out of measure.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        return _unreadable(path, _end_of(before), "this byte is not UTF-8: save the file as UTF-8")
    text = text.removeprefix("\ufeff")
    control = tuple(
        _fault_at(
            path, _end_of(text[: found.start()]), f"control character {found[0]!r}: take it out"
        )
        for found in _CONTROL.finditer(text.replace("\r\n", " \n"))
    )
    if control:
        return YamlText(path=path, value=None, readable=False, faults=control)
    line = _line_too_deep(text)
    if line:
        return _unreadable(path, (line, 1), f"nested deeper than {_MAX_DEPTH} levels")
    return _parse(text, path)


def _line_too_deep(text: str) -> int:
    """Give the line that is nested beyond what the parser survives; 0 for none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    if _deepest(text) <= _SAFE_DEPTH:
        return 0
    depth = 0
    try:
        for event in YAML(typ="safe").parse(text):
            if isinstance(event, CollectionStartEvent):
                depth += 1
                if depth > _SAFE_DEPTH:
                    return int(event.start_mark.line) + 1
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
    except YAMLError:
        return 0  # Whoever parses it stops at the same place, and says why.
    return 0


def _deepest(text: str) -> int:
    """Give a depth that nothing in `text` is nested beyond; most texts need no closer look."""
    indent = opened = within = 0
    for line in text.split("\n"):
        indent = max(indent, len(line) - len(line.lstrip(" -?:")))
        opens = line.count("[") + line.count("{")
        closes = line.count("]") + line.count("}")
        if opens == closes and not _HIDING.search(line):
            within = max(within, opens)
        else:
            opened += opens
    # A pair in a list in brackets is a mapping of its own.
    return 1 + indent + 2 * (opened + within)


def _parse(text: str, path: str) -> YamlText:
    from ruamel.yaml.error import YAMLError

    try:
        return _load(text, path, pure=False)
    except YAMLError:
        # The C parser does not know all of YAML 1.2 (a URL in a flow mapping, for one); and the
        # slow one explains better what is no YAML at all.
        return _explained(text, path)


def _explained(text: str, path: str) -> YamlText:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _load(text, path, pure=True)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return _unreadable(path, place, _reason(error, text, place[0]))
    except YAMLError as error:
        return _unreadable(path, (1, 1), f"not YAML that can be read: {error}")


def _load(text: str, path: str, *, pure: bool) -> YamlText:
    from ruamel.yaml import YAML

    # The C parser passes over a second end of the one document; the other one does not.
    loader = YAML(typ="safe", pure=pure or _SECOND_END.search(text) is not None)
    # The walk below finds every one of them; the constructor would stop at the first.
    loader.allow_duplicate_keys = True
    constructor, parser = loader.get_constructor_parser(text)
    try:
        node = constructor.composer.get_single_node()
        if node is None:
            return YamlText(path=path, value=None, readable=True, faults=())
        walk = _Walk(path=path)
        faults = tuple(walk.faults_of(node))
        if walk.unbuildable:
            return YamlText(path=path, value=None, readable=False, faults=faults)
        value = constructor.construct_document(node)
    except (ValueError, OverflowError, RecursionError) as error:
        return _unreadable(path, (1, 1), f"not YAML that can be read: {error}")
    finally:
        parser.dispose()
    return YamlText(path=path, value=value, readable=True, faults=faults, node=node)


def _reason(error: MarkedYAMLError, text: str, line: int) -> str:
    problem = error.problem or "it breaks off"
    before = re.match(r"[ \t]*", [*text.split("\n"), ""][line - 1])
    if before and "\t" in before[0]:
        return "a tab indents this line: use spaces"
    if "another document" in problem:
        return "a second document begins here: write one document to a file"
    return f"not YAML: {problem}" + (f" ({error.context})" if error.context else "")


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One look at every node, each once however many aliases name it."""

    path: str
    # No value can, or should, be made of these nodes.
    unbuildable: bool = False
    # How many values a node stands for, aliases counted each time; 0 until that is known.
    _sizes: dict[int, int] = field(default_factory=dict)

    def faults_of(self, root: Node) -> Iterator[Fault]:
        yield from self._visit(root, 1)
        if self._sizes[id(root)] > _MAX_VALUES:
            self.unbuildable = True
            yield self._fault(root, "its anchors multiply to more values than can be handled")

    def _visit(self, node: Node, depth: int) -> Iterator[Fault]:
        known = self._sizes.get(id(node))
        if known is not None:
            if not known:
                self.unbuildable = True
                yield self._fault(node, "an anchor holds itself")
            return
        self._sizes[id(node)] = 0
        children: Sequence[Node] = ()
        if depth > _MAX_DEPTH:
            self.unbuildable = True
            yield self._fault(node, f"nested deeper than {_MAX_DEPTH} levels")
        elif node.id == "mapping":
            yield from self._keys(node)
            children = [value for _, value in node.value]
        elif node.id == "sequence":
            children = node.value
        else:
            yield from self._scalar(node)
        for child in children:
            yield from self._visit(child, depth + 1)
        self._sizes[id(node)] = 1 + sum(self._sizes[id(child)] for child in children)

    def _keys(self, node: Node) -> Iterator[Fault]:
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            kind = key.tag.removeprefix(_TAG)
            if kind not in ("str", "merge"):
                written = key.value if isinstance(key.value, str) else ""
                what = _READ_AS.get(kind, "no string")
                # A list as a key breaks the constructor.
                self.unbuildable = self.unbuildable or key.id != "scalar"
                yield self._fault(key, f"{written or 'this key'} is read as {what}: quote it")
            elif _CONTROL.search(key.value):
                yield self._fault(key, f"the key {key.value!r} holds control characters")
            elif key.value in first_lines:
                first = first_lines[key.value]
                yield self._fault(key, f"{key.value!r} stands here twice; first on line {first}")
            else:
                first_lines[key.value] = key.start_mark.line + 1

    def _scalar(self, node: Node) -> Iterator[Fault]:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            if _CONTROL.search(node.value):
                yield self._fault(node, f"{node.value!r} holds control characters")
        elif kind in ("timestamp", "binary"):
            yield self._fault(node, f"{node.value} is read as {_READ_AS[kind]}: quote it")
        elif kind == "float" and node.value.lstrip("+-").lower() in (".inf", ".nan"):
            yield self._fault(node, f"{node.value} is a number that JSON has not: quote it")

    def _fault(self, node: Node, message: str) -> Fault:
        return _fault_at(self.path, _place_of(node), message)


def _pairs(node: Node) -> _Pairs:
    # The constructor puts what a mapping merges before its own keys, which win; of what is written
    # twice, the first is meant.
    merged = getattr(node, "merge", None) or []
    pairs: _Pairs = {}
    for key_node, value_node in (*node.value[len(merged) :], *reversed(merged)):
        if key_node.id == "scalar":
            pairs.setdefault(key_node.value, (key_node, value_node))
    return pairs


def _place_of(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _end_of(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _fault_at(path: str, place: tuple[int, int], message: str) -> Fault:
    return Fault(path=path, line=place[0], column=place[1], message=message)


def _unreadable(path: str, place: tuple[int, int], message: str) -> YamlText:
    return YamlText(
        path=path, value=None, readable=False, faults=(_fault_at(path, place, message),)
    )
