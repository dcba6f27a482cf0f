"""What a plan does to llama-swap's config: the edits joined, checked and turned into actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core import edits
from reconciler.core.actions import EditReference, RemoveEntry, SetEntry
from reconciler.core.config_edits import edit_config
from reconciler.core.config_sources import CLASH, ConfigSources, Located, Merged
from reconciler.core.difference import Differences
from reconciler.core.edits import ConfigView
from reconciler.core.following import Followed, Stuck
from reconciler.core.ledger import LedgerEntry, LedgerGroup, Scaffold
from reconciler.core.llamaswap.references import Reference, read_references
from reconciler.core.llamaswap.rules import Problem, introduced, judge, new_problems, standing
from reconciler.core.llamaswap.shapes import Place, as_list, model_entries
from reconciler.core.names import ModelId
from reconciler.core.ownership import EntryDifference
from reconciler.core.refusal import Refusal
from reconciler.core.renames import Renaming
from reconciler.core.values import Json
from reconciler.core.yamltext.lines import line_of
from reconciler.errors import UnsafeEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """The config before and after, and what the ledger will say of each entry and membership.

    Where `refusals` is not empty, `after` equals `before`.
    """

    before: bytes
    after: bytes
    entries: Mapping[ModelId, LedgerEntry | None] = field(default_factory=dict)
    groups: Mapping[ModelId, LedgerGroup | None] = field(default_factory=dict)
    scaffold: Scaffold = field(default_factory=Scaffold)
    actions: tuple[SetEntry | RemoveEntry | EditReference, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


def change_config(
    before: bytes,
    sources: ConfigSources,
    view: ConfigView,
    differences: Differences,
    renaming: Renaming,
    *,
    version: int | None = None,
) -> ConfigChange:
    """Splice all edits into the config and check the result, as llama-swap `version` would.

    `view` is the config as it stands in `before`, and `renaming` what it became by models getting
    new IDs. References follow what the edits do to the models they lead to. All is judged together
    with the other `sources` that llama-swap merges with this one.
    """
    merged = sources.merged(view)
    lines = _Lines(merged=merged, texts={**sources.texts, sources.path: before})
    warnings = [warning for entry in differences.entries for warning in entry.warnings]
    judged = judge(merged.data)
    problems = (*standing(judged, version), *merged.problems)
    warnings += [f"{lines.problem(problem)}: {problem.message}" for problem in problems]
    refusals = [
        *(
            Refusal(message=f"{key}: {refusal.message}", hint=refusal.hint)
            for key, refusal in differences.refused.items()
        ),
        *(
            Refusal(message=f"{lines.at(refused.place)}: {refused.message}", hint=refused.hint)
            for refused in differences.groups.refusals
        ),
    ]
    unchanged = ConfigChange(before=before, after=before, warnings=tuple(warnings))
    if renaming.refusals:
        # What was compared was not the config as it will be.
        return replace(unchanged, refusals=renaming.refusals)
    try:
        edited = edit_config(sources, view, differences, renaming)
    except UnsafeEdit as unsafe:
        refusals.append(Refusal(message=unsafe.message, hint=_hint(unsafe, differences)))
        return replace(unchanged, refusals=tuple(refusals))
    refusals += [_stuck(item, edited.renamed, lines) for item in edited.following.stuck]
    if edited.text != before:
        # References that are stuck were not edited, so that of course they lead nowhere.
        if not edited.following.stuck:
            together = sources.merged(edited.view)
            found = (
                *introduced(judged, together.data, version),
                *new_problems(merged.problems, together.problems),
            )
            found = renaming.not_standing(found, problems)
            after = _Lines(merged=together, texts={**sources.texts, sources.path: edited.text})
            refusals += _refused(found, differences, renaming.view or view, after)
        shadowed = _shadowed_aliases(sources.merged(edited.view).data)
        warnings += sorted(shadowed - _shadowed_aliases(merged.data))
        warnings += [
            f"{lines.at(('models', other, 'aliases'))}: {gone} is an alias of {other} too: "
            f"requests for it reach {other} from now on"
            for gone, other in edited.following.taken_over.items()
        ]
    warnings += edited.warnings
    return ConfigChange(
        before=before,
        after=before if refusals else edited.text,
        entries=edited.entries,
        groups={ModelId(key): member for key, member in differences.groups.memberships.items()},
        scaffold=edited.scaffold,
        actions=(
            *(
                _action(entry, renaming.view or view, given_back=entry.model in edited.given_back)
                for entry in differences.entries
                if entry.edits or entry.group or entry.model in edited.given_back
            ),
            *(_reference(item, renaming, lines) for item in edited.following.followed),
        ),
        refusals=tuple(refusals),
        warnings=tuple(warnings),
    )


def _hint(unsafe: UnsafeEdit, differences: Differences) -> str:
    """Say how to mend it; what cannot be given back any more need not be."""
    wanted = (edit for entry in differences.entries for edit in entry.edits)
    if any(isinstance(edit, edits.RestoreField) for edit in wanted):
        return f"{unsafe.hint}; a field that was edited by hand is not given back"
    return unsafe.hint


@dataclass(slots=True, kw_only=True)
class _Lines:
    """Tells where in the config something stands."""

    merged: Merged
    texts: Mapping[str, bytes]
    _places: dict[tuple[str, Place, str], Place] | None = None

    def at(self, place: Place) -> str:
        """Give the file and the line of what stands at `place`, or around it."""
        return self._told(self.merged.locate(place))

    def problem(self, problem: Problem) -> str:
        """Give the file and the line of a problem; of one that two files make, the other's."""
        return self.elsewhere(problem.path) if problem.rule == CLASH else self.at(problem.path)

    def elsewhere(self, place: Place) -> str:
        """Give the file and the line of what stands at `place`: of another file, if it has it."""
        others = self.merged.others(place)
        return self._told(others[0]) if others else self.at(place)

    def line(self, place: Place) -> int:
        """Give the line, from 1, of what stands at `place`, or around it."""
        return self._line(self.merged.locate(place))

    def _told(self, located: Located) -> str:
        return f"{located.path}:{self._line(located)}"

    def _line(self, located: Located) -> int:
        return line_of(self.texts[located.path], located.path, located.place)

    def reference(self, reference: Reference) -> Place:
        """Give the place of a reference; in a list others before it may have come and gone."""
        if self._places is None:
            self._places = {}
            for item in read_references(self.merged.data):
                self._places.setdefault((item.kind, item.path[:-1], item.written), item.path)
        known = (reference.kind, reference.path[:-1], reference.written)
        return self._places.get(known, reference.path)


def _reference(item: Followed, renaming: Renaming, lines: _Lines) -> EditReference:
    model = ModelId(item.model)
    return EditReference(
        model=renaming.models.get(model, model),
        kind=item.reference.kind,
        place=".".join(item.edit.place),
        line=lines.line(lines.reference(item.reference)),
        before=item.reference.name,
        after=item.name,
        reason=f"{item.model} is {'called otherwise now' if item.name else 'no longer there'}",
    )


def _stuck(item: Stuck, renamed: Mapping[str, str], lines: _Lines) -> Refusal:
    reference, model = item.reference, item.model
    if reference.model == renamed.get(model):
        what = f"which {model} would become"
    elif model in renamed:
        what = f"which becomes {renamed[model]}"
    elif reference.model == model:
        what = "whose entry would go"
    else:
        what = f"a name that {model} would lose"
    return Refusal(
        message=f"{lines.elsewhere(lines.reference(reference))}: {reference.kind} names "
        f"{reference.name}, {what}: {item.why}",
        hint=f"take {reference.name} out there first, or keep {model} as it is",
    )


def _action(
    entry: EntryDifference, view: ConfigView, *, given_back: bool
) -> SetEntry | RemoveEntry:
    model = entry.model
    if entry.after is None and (entry.edits or given_back):
        whole = any(isinstance(edit, edits.RemoveEntry) for edit in entry.edits)
        what = "our entry goes" if whole else "the text that stood there before us comes back"
        return RemoveEntry(model=model, whole=whole, reason=what, group=entry.group)
    new = model not in view.models
    again = entry.group is not None and entry.group.again
    changed = "its membership was taken out by hand" if again else "declared otherwise"
    reason = entry.reason("no entry yet" if new and entry.edits else changed)
    return SetEntry(model=model, new=new, changes=entry.changes, reason=reason, group=entry.group)


def _refused(
    problems: Sequence[Problem], differences: Differences, view: ConfigView, lines: _Lines
) -> Sequence[Refusal]:
    """Refuse what llama-swap's loader would not accept, and accepted before us."""
    entries: dict[str, EntryDifference] = {entry.model: entry for entry in differences.entries}
    clashes = [
        Refusal(
            message=f"{lines.problem(problem)}: {problem.message}",
            hint="take it out there, or call it otherwise in the manifest",
        )
        for problem in problems
        if problem.rule == CLASH
    ]
    return clashes + [
        entries[problem.path[1]].refusal(problem, view)
        if problem.path[:1] == ("models",) and problem.path[1:2] and problem.path[1] in entries
        else Refusal(
            message=f"llama-swap would refuse the config: {problem.message}",
            hint="mend what the manifest says of the models named there",
        )
        for problem in problems
        if problem.rule != CLASH
    ]


def _shadowed_aliases(data: Mapping[str, Json]) -> set[str]:
    """Tell of aliases that bear a model's name: llama-swap accepts them, and the model wins."""
    models = dict(model_entries(data))
    return {
        f"{alias} is an alias of {model} and the name of a model: requests for it reach the model"
        for model, entry in models.items()
        for alias in as_list(entry.get("aliases"))
        if isinstance(alias, str) and alias in models
    }
