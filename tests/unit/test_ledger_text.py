"""Ledger and rollout as JSON: what is kept is what comes back, whatever it holds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.ledger import (
    Ledger,
    LedgerEntry,
    LedgerField,
    LedgerFile,
    LedgerGroup,
    LedgerModel,
    MadePlace,
    Provenance,
    Scaffold,
)
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.names import InvalidName, ModelId, RelPath, Sha256
from reconciler.core.rollout import (
    Disposal,
    Move,
    Rollout,
    RolloutState,
    rollout_from_json,
    rollout_to_json,
)
from reconciler.core.values import Json
from tests.support.searching import trying

digests = st.text("0123456789abcdef", min_size=64, max_size=64).map(Sha256)
words = st.text(st.characters(codec="utf-8"), max_size=8)
paths = st.sampled_from(["a/b.gguf", "_local/ä ö.gguf", "o/r/" + "x" * 60]).map(RelPath)
ids = st.sampled_from(["a", "model with spaces", "null", "ключ", "a/b:c"]).map(ModelId)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
values: st.SearchStrategy[Json] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2)
)
fields = st.builds(
    LedgerField,
    value=values,
    original=st.none() | words,
    original_value=values,
    found=st.booleans(),
)
entries = st.builds(
    LedgerEntry, made=st.booleans(), fields=st.dictionaries(words, fields, max_size=2)
)


made_places = st.builds(
    MadePlace, place=st.lists(words, max_size=3).map(tuple), filled=st.none() | words
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any ledger."""
    models = {
        key: LedgerModel(
            id=key,
            files=tuple(draw(st.lists(paths, max_size=2))),
            entry=draw(st.none() | entries),
            protect=draw(st.booleans()),
            group=draw(st.none() | st.builds(LedgerGroup, name=words, found=st.booleans())),
        )
        for key in draw(st.sets(ids, max_size=2))
    }
    files = {
        path: LedgerFile(
            path=path,
            size_bytes=draw(st.integers(0)),
            sha256=draw(digests),
            provenance=draw(st.sampled_from(Provenance)),
        )
        for path in draw(st.sets(paths, max_size=2))
    }
    return Ledger(
        models=models,
        files=files,
        scaffold=draw(st.builds(Scaffold, groups=st.lists(made_places, max_size=2).map(tuple))),
        config_path=draw(st.none() | words),
        device=draw(st.none() | st.integers(0)),
        reload_pending=draw(st.booleans()),
        stalled=draw(st.none() | words),
        stalled_reason=draw(words),
    )


rollouts = st.builds(
    Rollout,
    run=words,
    desired_digest=words,
    moves=st.lists(
        st.builds(
            Move,
            path=paths,
            sha256=digests,
            staged=words,
            inode=st.integers(0),
            trash=st.none() | words,
        ),
        max_size=2,
    ).map(tuple),
    disposals=st.lists(
        st.builds(Disposal, path=paths, sha256=digests, trash=st.none() | words), max_size=2
    ).map(tuple),
    config_before=st.none() | words,
    config_after=st.none() | words,
    tells=st.booleans(),
    listed_before=st.none() | st.lists(words, max_size=2).map(tuple),
    changes_lock=st.booleans(),
    lock_before=st.none() | words,
    lock_after=st.none() | words,
    moved_before=st.none() | words,
    moved_after=st.none() | words,
    unload=st.lists(words, max_size=2).map(tuple),
    ledger_before=ledgers(),
    ledger_after=ledgers(),
    config_written=st.booleans(),
    reason=words,
    unhealthy=st.booleans(),
    kept_old=st.booleans(),
    state=st.sampled_from(RolloutState),
)


@trying(20)
@given(ledger=ledgers())
def test_ledger_comes_back_as_it_was(ledger: Ledger) -> None:
    """Through JSON text and back nothing is lost, and its parts have their own types again."""
    back = ledger_from_json(json.loads(json.dumps(ledger_to_json(ledger))))
    assert back == ledger
    assert all(isinstance(path, RelPath) for path in back.files)
    assert all(isinstance(file.provenance, Provenance) for file in back.files.values())
    assert all(isinstance(key, ModelId) for key in back.models)


@trying(20)
@given(rollout=rollouts)
def test_rollout_comes_back_as_it_was(rollout: Rollout) -> None:
    """The same for a rollout: what a killed run had in mind is what the next one reads."""
    back = rollout_from_json(json.loads(json.dumps(rollout_to_json(rollout))))
    assert back == rollout
    assert isinstance(back.state, RolloutState)


@trying(20)
@given(ledger=ledgers())
def test_text_of_a_ledger_does_not_depend_on_its_order(ledger: Ledger) -> None:
    """Equal ledgers give equal texts, in whatever order they were built."""
    turned = Ledger(
        **{
            **{name: getattr(ledger, name) for name in ledger.__slots__},
            "models": dict(reversed(list(ledger.models.items()))),
            "files": dict(reversed(list(ledger.files.items()))),
        }
    )
    assert json.dumps(ledger_to_json(turned)) == json.dumps(ledger_to_json(ledger))


@given(rollout=rollouts)
def test_rollout_of_an_earlier_version_is_read(rollout: Rollout) -> None:
    """One that was written down before there was more than a restart is carried on as one."""
    earlier = replace(rollout, unload=(), kept_old=False)
    document = json.loads(json.dumps(rollout_to_json(earlier)))
    document["restart"] = document.pop("tells")
    del document["unload"], document["kept_old"]
    assert rollout_from_json(document) == earlier


@pytest.mark.parametrize("path", ["../out.gguf", "/etc/passwd", ".reconciler/inventory.db", ""])
def test_path_that_was_tampered_with_is_not_believed(path: str) -> None:
    """A ledger or rollout on disk cannot lead us out of the models folder."""
    document = ledger_to_json(Ledger())
    file = {"path": path, "size_bytes": 1, "sha256": "a" * 64, "provenance": "brought"}
    with pytest.raises(InvalidName):
        ledger_from_json({**document, "files": [file]})


@pytest.mark.parametrize("missing", ["models", "files", "scaffold"])
def test_ledger_that_lacks_a_part_is_not_believed(missing: str) -> None:
    """A cut document is an error, never an empty ledger: an empty one owns nothing."""
    document = ledger_to_json(Ledger())
    del document[missing]
    with pytest.raises(KeyError):
        ledger_from_json(document)


def test_ledger_taken_back_knows_what_an_edited_config_still_holds() -> None:
    """Where the config was left because somebody edited it, the entries in it stay ours and the
    files do not; where it was put back, all is as before.
    """
    made = LedgerEntry(made=True, fields={"cmd": LedgerField(value="x")})
    old, new, gone = ModelId("old"), ModelId("new"), ModelId("gone")
    path = RelPath("a/b.gguf")
    group = LedgerGroup(name="g")
    before = Ledger(
        models={
            old: LedgerModel(id=old, files=(path,)),
            gone: LedgerModel(id=gone, files=(), entry=made),
        },
        config_path="/c",
    )
    after = Ledger(
        models={
            old: LedgerModel(id=old, files=(), entry=made, group=group),
            new: LedgerModel(id=new, files=(path,), entry=made),
        },
        scaffold=Scaffold(models_key=True),
        config_path="/c",
    )
    rollout = Rollout(
        run="r",
        desired_digest="",
        moves=(),
        disposals=(),
        config_before="",
        config_after="x",
        tells=True,
        listed_before=None,
        changes_lock=False,
        lock_before=None,
        lock_after=None,
        ledger_before=before,
        ledger_after=after,
        config_written=True,
    )
    assert rollout.ledger_taken_back(config_left=False) == before
    left = rollout.ledger_taken_back(config_left=True)
    assert {key: (model.files, model.entry) for key, model in left.models.items()} == {
        old: ((path,), made),
        gone: ((), None),
        new: ((), made),
    }
    assert left.models[old].group == group
    assert left.scaffold.models_key
