"""A comparison that is looked at closer: only what the closer look bears on is compared again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.comparison import compare_states
from reconciler.core.desired import DesiredModel
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.manifest import Serve
from reconciler.core.plan import build_plan
from tests.support.searching import trying
from tests.support.worlds import World, desired, digest, model, pinned, planned

CHAT = GgufFacts(architecture="llama", context_length=4096, has_chat_template=True)
EYES = GgufFacts(architecture="clip", sees_pictures=True)
SERVES = (
    Serve(),
    Serve(args={"ctx-size": 512}),
    Serve(fields={"ttl": 60}, group="x"),
    Serve(fields={"capabilities": {"in": ["text"]}}),
    # The model's path is ours to give: this is refused.
    Serve(args={"model": "x"}),
)


@st.composite
def models(draw: st.DrawFn) -> list[DesiredModel]:
    """Give some models, with and without a projector, served one way or another."""
    names = draw(st.lists(st.sampled_from(["a", "b", "mine"]), unique=True))
    made = []
    for name in names:
        files = [pinned(name, f"{name}-{draw(st.integers(1, 2))}")]
        if draw(st.booleans()):
            files.append(pinned(name, "eyes", name="mmproj.gguf", role="mmproj"))
        serve = draw(st.sampled_from(SERVES))
        made.append(model(name, *files, serve=serve, enabled=draw(st.integers(0, 4)) > 0))
    return made


@trying(200)
@given(
    before=models(),
    after=models(),
    known=st.sets(st.sampled_from(["a-1", "a-2", "b-1", "b-2", "eyes"])),
    version=st.sampled_from([None, 173, 250]),
    already=st.booleans(),
)
def test_closer_look_comes_to_the_same_plan(
    before: list[DesiredModel],
    after: list[DesiredModel],
    known: set[str],
    version: int | None,
    already: bool,
) -> None:
    """What is learned later decides as if it had been known at first, to the last field."""
    facts = {digest(each): EYES if each == "eyes" else CHAT for each in known}
    world = World(config=b"models:\n  mine:\n    cmd: srv --port ${PORT}\n")
    first = planned(
        desired(*before),
        replace(world.observed(), facts=facts if already else {}),
        world.ledger,
        allow_prune=True,
    )
    world = world.applied(first)
    wanted, observed = desired(*after), world.observed()
    closer = replace(observed, facts=facts, version=version)
    at_once = compare_states(wanted, closer, world.ledger, server="s")
    later = compare_states(wanted, observed, world.ledger, server="s").looked_closer(closer)
    assert later.differences.entries == at_once.differences.entries
    assert build_plan(later) == build_plan(at_once)


def test_only_what_was_learned_is_compared_again() -> None:
    """A header more is no reason to compare a thousand entries twice."""
    world = World().reached(desired(model("a"), model("b")))
    wanted = desired(*(model(name, serve=Serve(fields={"ttl": 60})) for name in "ab"))
    compared = compare_states(wanted, world.observed(), world.ledger, server="s")
    closer = replace(world.observed(), facts={digest("a-1"): CHAT}, version=250)
    first, second = compared.looked_closer(closer).declared.entries
    assert "capabilities" in {change.key for change in first.changes}
    assert second is compared.declared.entries[1]


def test_entry_that_goes_back_to_its_old_name_changes() -> None:
    """Nothing of ours stands in it, and yet llama-swap is to be told, as its version likes it."""
    config = b"models:\n  theirs:\n    cmd: srv --port ${PORT} -m /models/acme/theirs/m.gguf\n"
    files = pinned("theirs", "bytes")
    world = World(config=config).reached(desired(model("theirs", files)))
    world = world.reached(desired(model("ours", files, renamed_from="theirs")))
    assert world.config == config.replace(b"  theirs:", b"  ours:")
    off = desired(model("ours", files, enabled=False))
    assert compare_states(off, world.observed(), world.ledger, server="s").changing == {"ours"}
    assert world.reached(off).config == config
