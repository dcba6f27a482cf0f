"""What a plan does to llama-swap's config: the edits joined, checked and turned into actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core import edits
from reconciler.core.actions import RemoveEntry, SetEntry
from reconciler.core.difference import Differences
from reconciler.core.edits import ConfigView
from reconciler.core.ledger import LedgerEntry, Scaffold
from reconciler.core.llamaswap.references import find_references
from reconciler.core.llamaswap.rules import Problem, find_problems, new_problems
from reconciler.core.names import ModelId
from reconciler.core.ownership import EntryDifference
from reconciler.core.reading.yaml_text import YamlText, read_yaml
from reconciler.core.refusal import Refusal
from reconciler.core.yamltext.config import read_config, splice
from reconciler.errors import UnsafeEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """The config before and after, and what the ledger will say of each entry.

    Where `refusals` is not empty, `after` equals `before`.
    """

    before: bytes
    after: bytes
    entries: Mapping[ModelId, LedgerEntry | None] = field(default_factory=dict)
    scaffold: Scaffold = field(default_factory=Scaffold)
    actions: tuple[SetEntry | RemoveEntry, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


def change_config(
    before: bytes,
    path: str,
    view: ConfigView,
    differences: Differences,
    scaffold: Scaffold,
) -> ConfigChange:
    """Splice all edits into the config and check the result."""
    wanted = [edit for entry in differences.entries for edit in entry.edits]
    warnings = [warning for entry in differences.entries for warning in entry.warnings]
    problems = find_problems(view.data, version=None)
    references = [
        (edit.model, reference)
        for edit in wanted
        if isinstance(edit, edits.RemoveEntry)
        for reference in find_references(view.data, edit.model)
    ]
    # Only what must be told needs a line, and only then is the text read for places.
    text = read_yaml(before, path) if problems or references else None
    warnings += [f"{path}:{_line(text, problem.path)}: {problem.message}" for problem in problems]
    refusals = [
        Refusal(message=f"{key}: {refusal.message}", hint=refusal.hint)
        for key, refusal in differences.refused.items()
    ]
    refusals += [
        Refusal(
            message=f"{path}:{_line(text, reference.path)}: {reference.kind} names "
            f"{model}, whose entry would go",
            hint=f"take {model} out there first, or keep the model",
        )
        for model, reference in references
    ]
    try:
        spliced = splice(before, path, wanted, scaffold)
    except UnsafeEdit as unsafe:
        refusals.append(Refusal(message=unsafe.message, hint=unsafe.hint))
        return ConfigChange(
            before=before, after=before, refusals=tuple(refusals), warnings=tuple(warnings)
        )
    if wanted:
        after = read_config(spliced.text, path)
        refusals += _introduced(after, problems)
        warnings += sorted(_shadowed_aliases(after) - _shadowed_aliases(view))
    return ConfigChange(
        before=before,
        after=before if refusals else spliced.text,
        entries={
            ModelId(entry.model): entry.with_originals(spliced.originals)
            for entry in differences.entries
        },
        scaffold=spliced.scaffold,
        actions=tuple(_action(entry, view) for entry in differences.entries if entry.edits),
        refusals=tuple(refusals),
        warnings=tuple(warnings),
    )


def _line(text: YamlText | None, path: Sequence[str]) -> int:
    return text.place(path, at_key=True)[0] if text else 0


def _action(entry: EntryDifference, view: ConfigView) -> SetEntry | RemoveEntry:
    model = ModelId(entry.model)
    if entry.after is None:
        whole = any(isinstance(edit, edits.RemoveEntry) for edit in entry.edits)
        what = "our entry goes" if whole else "the text that stood there before us comes back"
        return RemoveEntry(model=model, whole=whole, reason=what)
    new = model not in view.models
    if new:
        reason = "; ".join(entry.drift) or "no entry yet"
    else:
        reason = "; ".join(entry.drift) or "declared otherwise"
    return SetEntry(model=model, new=new, changes=entry.changes, reason=reason)


def _introduced(after: ConfigView, before: Sequence[Problem]) -> Sequence[Refusal]:
    """Refuse what llama-swap's loader would not accept, if it accepted it before us."""
    found = find_problems(after.data, version=None)
    return [
        Refusal(
            message=f"llama-swap would refuse the config: {problem.message}",
            hint=f"mend `serve` of {problem.subject} in the manifest",
        )
        for problem in new_problems(before, found)
    ]


def _shadowed_aliases(view: ConfigView) -> set[str]:
    """Tell of aliases that bear a model's name: llama-swap accepts them, and the model wins."""
    return {
        f"{alias} is an alias of {model} and the name of a model: requests for it reach the model"
        for model, entry in view.models.items()
        for alias in entry.aliases
        if alias in view.models
    }
