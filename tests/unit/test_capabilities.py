"""Capabilities: what a model's own files say becomes a field that we fill in, and then leave."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reconciler.core.desired import Desired
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.ledger import LedgerField
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.llamaswap.capabilities import Contents, capabilities_of
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.plan import Plan
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config
from tests.support.worlds import World, desired, digest, model, pinned, planned

CHAT = GgufFacts(architecture="llama", context_length=4096, has_chat_template=True)
TOOLS = replace(CHAT, template_knows_tools=True)
EYES = GgufFacts(architecture="clip", sees_pictures=True)
EARS = GgufFacts(architecture="clip", hears_sound=True)
_TEXT: dict[str, Json] = {"in": ["text"], "out": ["text"]}


@pytest.mark.parametrize(
    ("facts", "projector", "cmd", "told"),
    [
        (CHAT, None, "srv", {**_TEXT, "context": 4096}),
        (replace(CHAT, has_chat_template=False), None, "srv", {**_TEXT, "context": 4096}),
        (TOOLS, None, "srv", {**_TEXT, "tools": True, "context": 4096}),
        (CHAT, EYES, "srv", {**_TEXT, "in": ["text", "image"], "context": 4096}),
        (
            CHAT,
            replace(EYES, hears_sound=True),
            "srv",
            {**_TEXT, "in": ["text", "image", "audio"], "context": 4096},
        ),
        (CHAT, EARS, "srv", {**_TEXT, "in": ["text", "audio"], "context": 4096}),
        # The context that is asked for is the one that is served.
        (CHAT, None, "srv -c 1024", {**_TEXT, "context": 1024}),
        (CHAT, None, "srv --ctx-size 65536", {**_TEXT, "context": 65536}),
        (CHAT, None, "srv --ctx-size=8192", {**_TEXT, "context": 8192}),
        (CHAT, None, "srv -c ${ctx}", {**_TEXT, "context": 2048}),
        (CHAT, None, "srv -c 1 -c 2", {**_TEXT, "context": 2}),
        (CHAT, None, "srv\n# -c 7\n-x", {**_TEXT, "context": 4096}),
        (CHAT, None, "srv -c 0", {**_TEXT, "context": 4096}),
        (CHAT, None, "srv -c all 'open", {**_TEXT, "context": 4096}),
        (replace(CHAT, context_length=None), None, "srv", _TEXT),
        (
            replace(CHAT, pooling="rank"),
            None,
            "srv",
            {"in": ["text"], "reranker": True, "context": 4096},
        ),
        # Nothing that llama-swap has a word for.
        (replace(CHAT, pooling="mean"), None, "srv", None),
        (replace(CHAT, pooling="none"), None, "srv", {**_TEXT, "context": 4096}),
        (GgufFacts(architecture="flux"), None, "srv", None),
        (GgufFacts(), None, "srv -c 7", None),
    ],
)
def test_what_files_say_in_llama_swaps_words(
    facts: GgufFacts, projector: GgufFacts | None, cmd: str, told: dict[str, Json] | None
) -> None:
    """Modalities, tools and reranking come from the headers, the context from the command first."""
    assert capabilities_of(Contents(model=facts, projector=projector), cmd, {"ctx": 2048}) == told


THEIRS = b"models:\n  mine:\n    cmd: srv --port ${PORT}\n"
A = ModelId("a")


def wants(*, version: int = 1, mmproj: bool = False, **serve: object) -> Desired:
    """Give a desired state with one model, its file in some version, served as said."""
    files = [pinned("a", f"a-{version}")]
    if mmproj:
        files.append(pinned("a", "eyes", name="mmproj.gguf", role="mmproj"))
    return desired(model("a", *files, serve=Serve(**serve)))  # type: ignore[arg-type]


def plan(
    world: World, wanted: Desired, facts: dict[str, GgufFacts], *, version: int | None = None
) -> Plan:
    """Plan with what is known of some contents, by the words they are made of."""
    known = {digest(content): each for content, each in facts.items()}
    observed = replace(world.observed(), facts=known, version=version)
    return planned(wanted, observed, world.ledger, allow_prune=True)


def reached(world: World, wanted: Desired, facts: dict[str, GgufFacts]) -> World:
    """Plan and apply."""
    return world.applied(plan(world, wanted, facts))


def told(world: World) -> Json:
    """Give the entry's capabilities as they stand; None without."""
    fields = read_config(world.config, "config").models["a"].fields
    return fields["capabilities"].value if "capabilities" in fields else None


def owned(world: World) -> LedgerField | None:
    """Give what the ledger says of them."""
    entry = world.ledger.models[A].entry
    assert entry is not None
    return entry.fields.get("capabilities")


FIRST = {"a-1": CHAT}
BOTH = {"a-1": CHAT, "a-2": TOOLS}
NEW = World(config=THEIRS)


def test_new_entry_is_scaffolded_and_goes_whole() -> None:
    """An entry that we make says what the file says; nothing more happens, and it goes with all."""
    now = reached(NEW, wants(), FIRST)
    assert told(now) == {**_TEXT, "context": 4096}
    assert now.plan(wants()).is_empty
    assert plan(now, wants(), FIRST).is_empty
    end = now.plan(desired())
    assert not end.warnings
    assert now.applied(end).config == THEIRS


def test_first_plan_says_that_the_file_is_read_later() -> None:
    """Before the bytes are here nothing is known, and the plan says so instead of guessing."""
    (action,) = [item for item in plan(NEW, wants(), {}).actions if hasattr(item, "changes")]
    assert action.reason == "no entry yet; capabilities follow with the file"
    (action,) = [item for item in plan(NEW, wants(), FIRST).actions if hasattr(item, "changes")]
    assert action.reason == "no entry yet"


@pytest.mark.parametrize("version", [173, 204])
def test_build_that_does_not_know_them_gets_none(version: int) -> None:
    """Older builds have no such key: nothing is written, and nothing promised."""
    first = plan(NEW, wants(), FIRST, version=version)
    assert told(NEW.applied(first)) is None
    assert not any("capabilities" in item.reason for item in first.actions if item.reason)


def test_projector_that_was_not_read_leaves_it_open() -> None:
    """A projector might see or hear: without its header nothing is claimed, with it all is."""
    assert told(reached(NEW, wants(mmproj=True), FIRST)) is None
    now = reached(NEW, wants(mmproj=True), {**FIRST, "eyes": EYES})
    assert told(now) == {"in": ["text", "image"], "out": ["text"], "context": 4096}


def test_they_follow_the_file_until_somebody_edits_them() -> None:
    """New bytes, or another context in the command, bring them up to date; an edit stays for good,
    told once.
    """
    now = reached(reached(NEW, wants(), FIRST), wants(version=2), BOTH)
    assert told(now) == {**_TEXT, "tools": True, "context": 4096}
    now = reached(now, wants(version=2, args={"ctx-size": 99}), BOTH)
    assert told(now) == {**_TEXT, "tools": True, "context": 99}
    edited = replace(now, config=now.config.replace(b"context: 99", b"context: 100"))
    assert edited.config != now.config
    first = plan(edited, wants(args={"ctx-size": 5}), BOTH)
    (drift,) = first.drift
    assert (drift.key, drift.kept, drift.origin) == ("capabilities", True, "file")
    now = edited.applied(first)
    assert told(now) == {**_TEXT, "tools": True, "context": 100}
    assert plan(now, wants(args={"ctx-size": 6}), BOTH).drift == ()
    assert now.reached(desired()).config == THEIRS


def test_what_is_not_known_now_stays_as_it_was() -> None:
    """A plan that did not read the headers takes nothing back."""
    now = reached(NEW, wants(), FIRST)
    now = now.reached(wants(fields={"ttl": 7}))
    assert told(now) == {**_TEXT, "context": 4096}
    assert owned(now) is not None


def test_manifest_has_the_last_word() -> None:
    """Declared, they are enforced; with null there are none; undeclared again, the file speaks."""
    mine: Json = {"in": ["text"], "tools": True}
    now = reached(NEW, wants(fields={"capabilities": mine}), FIRST)
    assert told(now) == mine
    field = owned(now)
    assert field is not None
    assert not field.scaffold
    now = reached(now, wants(), FIRST)
    assert told(now) == {**_TEXT, "context": 4096}
    now = reached(now, wants(fields={"capabilities": mine}), FIRST)
    assert told(now) == mine
    none = reached(now, wants(fields={"capabilities": None}), FIRST)
    assert told(none) is None
    assert none.plan(wants(fields={"capabilities": None})).is_empty
    gone = now.reached(wants())
    assert told(gone) is None
    assert gone.reached(desired()).config == THEIRS


def test_what_somebody_took_out_is_filled_in_with_the_next_change() -> None:
    """Taken out by hand they are not missed; the next change of the entry fills them in again."""
    now = reached(NEW, wants(), FIRST)
    start = now.config.index(b"    capabilities:")
    bare = replace(now, config=now.config[:start])
    assert bare.plan(wants()).is_empty
    assert bare.plan(wants()).drift == ()
    again = reached(bare.reached(wants()), wants(fields={"ttl": 9}), FIRST)
    assert told(again) == {**_TEXT, "context": 4096}


def test_entry_of_somebody_else_gets_none() -> None:
    """An entry that stood there before us keeps its fields, and gets none that nobody declared."""
    theirs = b"models:\n  a:\n    cmd: srv --port ${PORT} -m /srv/a.gguf\n"
    now = reached(World(config=theirs), wants(args={"jinja": True}), FIRST)
    assert told(now) is None
    assert now.reached(desired()).config == theirs


def test_their_own_in_an_entry_of_ours_stay() -> None:
    """Somebody adds them to an entry that has none yet: they are theirs, whatever the file says."""
    now = reached(NEW, wants(), {})
    theirs = replace(now, config=now.config + b"    capabilities: {tools: true}\n")
    now = reached(theirs, wants(fields={"ttl": 5}), FIRST)
    assert told(now) == {"tools": True}
    assert owned(now) is None


def test_ledger_keeps_who_filled_it_in() -> None:
    """What was scaffolded, and what somebody made of it, outlives the run; a ledger that knows of
    neither is read all the same.
    """
    now = reached(NEW, wants(), FIRST)
    edited = replace(now, config=now.config.replace(b"context: 4096", b"context: 7"))
    now = edited.reached(wants())
    field = owned(now)
    assert field is not None
    assert field.left == {**_TEXT, "context": 7}
    document = json.loads(json.dumps(ledger_to_json(now.ledger)))
    assert ledger_from_json(document) == now.ledger
    for entry in document["models"]:
        for each in entry["entry"]["fields"].values():
            del each["scaffold"], each["left"]
    before = ledger_from_json(document).models[A].entry
    assert before is not None
    assert not before.fields["capabilities"].scaffold
