"""A config as nodes: its values, its `models:` mapping and the entries in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from reconciler.core.values import Json
from reconciler.core.yamltext.nodes import (
    MODELS,
    AliasNode,
    Document,
    MappingNode,
    Node,
    ScalarNode,
    fields_of,
    place,
    value_of,
)
from reconciler.core.yamltext.places import Pair, find_pair, refuse
from reconciler.errors import ConfigUnreadable, Fault


# One edit asks for the values of the text before it, and of the one after it, several times.
@lru_cache(maxsize=2)
def config_values(document: Document) -> Mapping[str, Json]:
    """Give the config's values.

    Raises:
        ConfigUnreadable: it is no mapping, or its `models` is none.
    """
    root = document.root
    values = None if root is None else value_of(root)
    if values is None:
        return {}
    node = root
    if isinstance(values, Mapping):
        models = values.get(MODELS)
        if models is None or isinstance(models, Mapping):
            return values
        node = fields_of(root)[MODELS][1] if isinstance(root, MappingNode) else root
    line, column = place(document.text, node.start if node is not None else 0)
    name = f"`{MODELS}`" if isinstance(values, Mapping) else "the config"
    fault = Fault(path=document.path, line=line, column=column, message=f"{name} is no mapping")
    raise ConfigUnreadable([fault], hint="llama-swap would not load this file; mend it by hand")


def entries_of(document: Document) -> dict[str, tuple[Node, Node]]:
    """Give every model's key and entry, those among them that a merge key brings in."""
    if not isinstance(document.root, MappingNode):
        return {}
    _, models = fields_of(document.root).get(MODELS, (None, None))
    models = models.target if isinstance(models, AliasNode) else models
    return fields_of(models) if isinstance(models, MappingNode) else {}


def root_mapping(document: Document) -> MappingNode | None:
    """Give the mapping that the config is; None where the config is empty.

    Raises:
        UnsafeEdit: the config is something else.
    """
    root = document.root
    if root is None or (isinstance(root, ScalarNode) and root.start == root.end):
        return None
    if not isinstance(root, MappingNode):
        refuse(document, root.start, "the config is no mapping")
    return root


# Asked for each model that is edited.
@lru_cache(maxsize=2)
def models_pair(document: Document) -> Pair | None:
    """Give the `models:` pair, if there is one. Raises `UnsafeEdit` as `root_mapping` does."""
    root = root_mapping(document)
    return None if root is None else find_pair(document, root, MODELS)


def own_entry(document: Document, model: str) -> tuple[MappingNode, Pair]:
    """Give the models and the pair that they themselves write for one of them.

    Raises:
        UnsafeEdit: there is none.
    """
    models = models_pair(document)
    pair = None
    if models is not None and isinstance(models.value, MappingNode):
        pair = find_pair(document, models.value, model)
    if models is None or not isinstance(models.value, MappingNode) or pair is None:
        refuse(
            document,
            0 if models is None else models.key.start,
            f"`{MODELS}` has no entry {model!r} of its own",
            hint="the config has changed since the plan was made; plan again",
        )
    return models.value, pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model's own entry. `mapping` is None where it is null; `in_flow`: it stands in braces."""

    pair: Pair
    mapping: MappingNode | None
    in_flow: bool

    @property
    def line_start(self) -> int:
        """A place in the entry's first line."""
        return self.pair.key.start


def find_entry(document: Document, model: str) -> Entry:
    """Give a model's own entry.

    Raises:
        UnsafeEdit: there is none, or it cannot be edited where it stands.
    """
    models, pair = own_entry(document, model)
    value = pair.value
    if isinstance(value, MappingNode):
        in_flow = value.in_flow or models.in_flow
        return Entry(pair=pair, mapping=value, in_flow=in_flow)
    if isinstance(value, AliasNode):
        refuse(
            document,
            value.start,
            f"entry {model!r} is alias *{value.anchor}: editing it would edit "
            f"line {document.line_of(value.target)} and all else that uses the anchor",
            hint="write the entry out, then run again",
        )
    if not pair.is_null:
        refuse(document, value.start, f"entry {model!r} is no mapping")
    return Entry(pair=pair, mapping=None, in_flow=models.in_flow)
