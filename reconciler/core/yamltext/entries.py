"""Whole entries put under `models:`, and taken out again.

Where they go, and which empty lines are theirs, `gaps` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.core.edits import AddEntry, RemoveEntry
from reconciler.core.ledger import Scaffold
from reconciler.core.yamltext.flow import add_flow_parts, remove_flow_parts
from reconciler.core.yamltext.gaps import gap_after, style_below, top_gap
from reconciler.core.yamltext.models import models_pair, own_entry, root_mapping
from reconciler.core.yamltext.nodes import (
    MODELS,
    Document,
    MappingNode,
    Node,
    ScalarNode,
    fields_of,
    value_of,
)
from reconciler.core.yamltext.places import (
    Draft,
    Pair,
    literals_at,
    own_lines,
    parting_line,
    refuse,
    refuse_if_referenced,
    skip_comments,
)
from reconciler.core.yamltext.spans import (
    column_of,
    line_start,
    next_line,
)
from reconciler.core.yamltext.write import Style, render_flow, render_key, render_pair


def add_entries(draft: Draft, edits: Sequence[AddEntry], scaffold: Scaffold, gone: int) -> Scaffold:
    """Put entries under `models:`, which is made where it is missing; returns what is ours now.

    `gone` is how many of those there are will be taken out.

    Raises:
        UnsafeEdit: there is such an entry already, or `models` cannot take one.
    """
    document = draft.document
    root = root_mapping(document)
    pair = models_pair(document)
    if pair is None:
        if root is not None and root.in_flow:
            add_flow_parts(draft, root, [f"{MODELS}: {_flow_entries(edits)}"])
        else:
            _add_models_key(draft, root, edits)
        return replace(scaffold, models_key=True, models_value=None)
    value = pair.value
    if isinstance(value, MappingNode) and value.pairs:
        _refuse_known(document, value, edits)
        if value.in_flow:
            pairs = [_flow_entry(edit) for edit in edits]
            add_flow_parts(draft, value, pairs, gone)
        else:
            _add_lines(draft, value, edits)
        return scaffold
    if not is_empty_value(value):
        refuse(document, value.start, f"`{MODELS}` is no plain mapping, so nothing can be added")
    head = document.text[pair.colon : value.end]
    scaffold = replace(scaffold, models_key=False, models_value=head)
    if root is not None and root.in_flow:
        draft.changes.replace(pair.colon, value.end, " " + _flow_entries(edits))
    elif "\n" not in head:
        _fill_models(draft, pair, edits)
    elif isinstance(value, MappingNode):
        add_flow_parts(draft, value, [_flow_entry(edit) for edit in edits])
        scaffold = replace(scaffold, models_value=None)
    else:
        refuse(document, value.start, f"the null of `{MODELS}` stands on a line of its own")
    return scaffold


def is_empty_value(node: Node) -> bool:
    """Whether a node is null or `{}`, with neither tag nor anchor."""
    if isinstance(node, MappingNode):
        return not node.pairs and node.anchor is None
    return (
        isinstance(node, ScalarNode)
        and node.anchor is None
        and node.tag is None
        and value_of(node) is None
    )


def _refuse_known(document: Document, models: MappingNode, edits: Sequence[AddEntry]) -> None:
    known = fields_of(models)
    for edit in edits:
        if edit.model in known:
            key, _ = known[edit.model]
            refuse(document, key.start, f"there is an entry for model {edit.model!r} already")


def _add_models_key(draft: Draft, root: MappingNode | None, edits: Sequence[AddEntry]) -> None:
    document, style = draft.document, draft.style
    indent = 0 if root is None else column_of(document.text, root.pairs[0][0].start)
    gap = top_gap(document, root)
    entries = _block_entries(draft, edits, indent + style.step, style, gap.index)
    gap.fill(draft, [style.newline.join([" " * indent + MODELS + ":", *entries])])


def _fill_models(draft: Draft, pair: Pair, edits: Sequence[AddEntry]) -> None:
    document = draft.document
    style = draft.style
    indent = column_of(document.text, pair.key.start) + style.step
    index = skip_comments(document, next_line(document.text, pair.value.end), indent)
    draft.changes.replace(pair.colon, pair.value.end, "")
    lines = _block_entries(draft, edits, indent, style, index)
    draft.changes.add_lines(index, style.newline.join(lines))


def _add_lines(draft: Draft, models: MappingNode, edits: Sequence[AddEntry]) -> None:
    indent = column_of(draft.document.text, models.pairs[0][0].start)
    style = style_below(draft, models, indent)
    gap = gap_after(draft.document, models, indent)
    gap.fill(draft, _block_entries(draft, edits, indent, style, gap.index))


def _block_entries(
    draft: Draft, edits: Sequence[AddEntry], indent: int, style: Style, index: int
) -> list[str]:
    """Give each entry as lines that are to stand, in this order, in front of `index`."""
    # A block stands two steps in: below the entry, and below its field.
    literals = literals_at(draft, index, indent + 2 * style.step)
    return [
        render_pair(edit.model, edit.fields, indent, style, draft.literals) for edit in edits[:-1]
    ] + [render_pair(edits[-1].model, edits[-1].fields, indent, style, literals)]


def _flow_entry(edit: AddEntry) -> str:
    return f"{render_key(edit.model)}: {render_flow(edit.fields)}"


def _flow_entries(edits: Sequence[AddEntry]) -> str:
    return "{" + ", ".join(_flow_entry(edit) for edit in edits) + "}"


def remove_entries(
    draft: Draft, edits: Sequence[RemoveEntry], scaffold: Scaffold, *, refilled: bool
) -> Scaffold:
    """Take entries out, and with the last one what we made around them; returns what is left of it.

    `refilled`: others come in, so `models` does not stay empty.

    Raises:
        UnsafeEdit: there is no such entry, or something outside refers into it.
    """
    document = draft.document
    models = models_pair(document)
    pairs = [own_entry(document, edit.model)[1] for edit in edits]
    for pair in pairs:
        refuse_if_referenced(document, pair.key, "the entry")
        refuse_if_referenced(document, pair.value, "the entry")
    if models is None or not isinstance(models.value, MappingNode):
        return scaffold
    is_emptied = len(pairs) == len(models.value.pairs) and not refilled
    if models.value.in_flow:
        root = root_mapping(document)
        if is_emptied and root is not None and root.in_flow:
            return _restore_flow_scaffold(draft, root, models, scaffold)
        numbers = [models.value.numbers[pair.key.text] for pair in pairs]
        remove_flow_parts(draft, models.value, numbers)
        return scaffold
    for pair in pairs:
        start, end = own_lines(document, pair)
        above = parting_line(document, start)
        draft.changes.remove_lines(start if above is None else above, end)
    return _restore_scaffold(draft, models, scaffold) if is_emptied else scaffold


def _restore_scaffold(draft: Draft, models: Pair, scaffold: Scaffold) -> Scaffold:
    document = draft.document
    text = document.text
    if scaffold.models_key:
        start = line_start(text, models.key.start)
        end = next_line(text, start)
        # A comment that somebody put behind the key keeps it where it is.
        if text[start:end].strip() == MODELS + ":":
            above = parting_line(document, start)
            draft.changes.remove_lines(start if above is None else above, end)
    elif scaffold.models_value:
        draft.changes.replace(models.colon, models.colon, scaffold.models_value)
    return replace(scaffold, models_key=False, models_value=None)


def _restore_flow_scaffold(
    draft: Draft, root: MappingNode, models: Pair, scaffold: Scaffold
) -> Scaffold:
    """Take all entries out of braces that stand in braces themselves."""
    if scaffold.models_key:
        remove_flow_parts(draft, root, [root.numbers[MODELS]])
    elif scaffold.models_value is not None:
        draft.changes.replace(models.colon, models.value.end, scaffold.models_value)
    elif isinstance(models.value, MappingNode):
        remove_flow_parts(draft, models.value, range(len(models.value.pairs)))
    return replace(scaffold, models_key=False, models_value=None)
