"""A plan as people read it: all of it, at a glance, on whatever it is shown."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace

import pytest

from reconciler.cli.plan_text import kinds_of_change, render_plan
from reconciler.cli.terminal import Style
from reconciler.core.desired import Desired, DesiredModel
from reconciler.core.lock import PinnedFile
from reconciler.core.manifest import Policy, Serve
from reconciler.core.manifest import Prune as PrunePolicy
from reconciler.core.names import ModelId, RelPath
from tests.support.worlds import World, desired, digest, model, pinned

LONG = "a-model-with-a-name-that-no-terminal-has-room-for-30b-a3b-instruct-2507"
ESCAPES = re.compile(r"\x1b\[\d+m")


def shown(world: World, wanted: Desired, *, width: int | None = None, **more: bool) -> str:
    """Give the text of the plan that `world` makes for `wanted`."""
    style = Style(io.StringIO(), no_color=False)
    style.width = width
    runtime = world.observed().runtime
    return render_plan(world.plan(wanted, **more), runtime, world.ledger, style)


def sharded(name: str, count: int) -> DesiredModel:
    """Give a model of `count` shards."""
    files: list[PinnedFile] = [
        pinned(name, f"{name}-{number}", name=f"m-{number:05}-of-{count:05}.gguf")
        for number in range(1, count + 1)
    ]
    return model(name, *files)


def edited_by_hand(world: World) -> World:
    """Give the world after somebody changed the ttl in its config."""
    assert b"ttl: 300" in world.config
    return replace(world, config=world.config.replace(b"ttl: 300", b"ttl: 5"))


def served(name: str, ttl: int = 300) -> DesiredModel:
    """Give a model with a ttl of its own."""
    return model(name, serve=Serve(fields={"ttl": ttl}))


def test_headline_tells_the_whole_plan() -> None:
    """The first line says how many models change how, what is fetched, what goes, what stays."""
    world = World().reached(desired(model("a"), model("b"), model("c")))
    wanted = desired(model("b", pinned("b", "b-2")), model("c"), model("d"))
    first = shown(world, wanted).splitlines()[0]
    assert first == (
        "Plan: 1 to add, 1 to update, 1 to remove · fetch 200 B · to the trash 200 B · "
        "1000.0 GB left on disk"
    ).replace("1000.0 GB", "1.0 TB")


def test_nothing_to_do_is_one_line() -> None:
    """A plan without actions says so, and nothing else."""
    wanted = desired(model("a"), model("b"))
    text = shown(World().reached(wanted), wanted)
    assert text == "In sync: 2 models, nothing to do.\n"


def test_each_file_has_one_line_with_size_path_and_reason() -> None:
    """Fetching and placing one file is one line; what is replaced by it stands there too."""
    text = shown(World(), desired(model("a")))
    assert text.count("acme/a/m.gguf  (") == 1
    assert "    download     100 B  acme/a/m.gguf  (not on disk)\n" in text
    world = World().reached(desired(model("a")))
    again = shown(world, desired(model("a", pinned("a", "a-2"))))
    assert (
        "    download     100 B  acme/a/m.gguf  "
        "(the lock names other bytes; the old 100 B go to the trash)\n"
    ) in again


def test_bytes_brought_once_are_told_at_both_places() -> None:
    """Of two paths with the same bytes one is fetched, and the other still has its line."""
    twice = model("a", pinned("a", "same", name="x.gguf"), pinned("a", "same", name="y.gguf"))
    text = shown(World(), desired(twice))
    assert "download     100 B  acme/a/x.gguf" in text
    assert "place        100 B  acme/a/y.gguf" in text


def test_shards_are_one_line() -> None:
    """A model in many parts is one line with their number and their whole size."""
    text = shown(World(), desired(sharded("a", 12)))
    assert ("    download    1.2 kB  acme/a/m-*-of-00012.gguf  (12 files: not on disk)\n") in text
    assert len(re.findall("download", text)) == 1


def test_what_goes_afterwards_stands_apart() -> None:
    """Files that nobody wants are told below the models, with what becomes of them and why."""
    world = World().reached(desired(sharded("a", 3), model("b")))
    trash = shown(world, desired(model("b")))
    assert "Afterwards, once llama-swap is healthy:\n    trash" in trash
    assert "acme/a/m-*-of-00003.gguf  (3 files: no model wants it any more)" in trash
    delete = shown(world, desired(model("b"), policy=Policy(prune=PrunePolicy.DELETE)))
    assert "freed 300 B" in delete
    assert "    delete       300 B  acme/a/m-*-of-00003.gguf" in delete
    keep = shown(world, desired(model("b"), policy=Policy(prune=PrunePolicy.KEEP)))
    assert "    forget              acme/a/m-*-of-00003.gguf" in keep


def test_mended_drift_is_restored_and_a_new_wish_is_an_update() -> None:
    """Where only others changed something, a model is restored; where anything new is wanted of it,
    it is updated, drift or not.
    """
    world = World().reached(desired(served("a")))
    cases = [
        (edited_by_hand(world), desired(served("a")), "restore"),
        (replace(world, contents={}), desired(served("a")), "restore"),
        (
            replace(world, contents={RelPath("acme/a/m.gguf"): digest("damage")}),
            desired(served("a")),
            "restore",
        ),
        (replace(world, config=World().config), desired(served("a")), "restore"),
        (world, desired(served("a", ttl=60)), "update"),
        (edited_by_hand(world), desired(served("a", ttl=60)), "update"),
        (
            edited_by_hand(world),
            desired(replace(served("a"), files=(pinned("a", "a-2"),))),
            "update",
        ),
    ]
    for host, wanted, kind in cases:
        plan = host.plan(wanted)
        assert kinds_of_change(plan, host.ledger) == {ModelId("a"): kind}
        assert shown(host, wanted).startswith(f"Plan: 1 to {kind} ")


def test_drift_and_stalls_are_told_with_their_reasons() -> None:
    """What somebody else changed is said, and which model cannot be applied, and why."""
    world = edited_by_hand(World().reached(desired(served("a"))))
    text = shown(world, desired(served("a"), stalled={"b": "no such repository"}))
    assert re.search(
        r"^drift: a: ttl was edited by hand \(line \d+\): 5 instead of 300$", text, re.MULTILINE
    )
    assert "\nstalled: b: no such repository\n" in text


def test_refusal_comes_with_what_lifts_it() -> None:
    """A refused plan is shown whole, and ends with the reason and the way out, if that is asked."""
    world = World().reached(desired(model("a")))
    text = shown(world, desired(), allow_prune=False)
    assert "- a\n" in text
    assert "refused: this would remove every model (1 of 1)\n" in text
    assert "--allow-prune" in text.splitlines()[-1]
    plan = world.plan(desired(), allow_prune=False)
    style = Style(io.StringIO(), no_color=False)
    brief = render_plan(plan, world.observed().runtime, world.ledger, style, with_refusals=False)
    assert "refused" not in brief


def test_config_diff_is_minimal() -> None:
    """One changed field is one line out and one line in, with two lines around for the place."""
    world = World().reached(desired(served("a"), served("b")))
    text = shown(world, desired(served("a", ttl=60), served("b")))
    diff = text[text.index("Config /etc/config.yaml\n") : text.index("Runtime:")].splitlines()
    assert [line for line in diff if line.startswith(("  -", "  +"))] == [
        "  -    ttl: 300",
        "  +    ttl: 60",
    ]
    assert len(diff) <= 9
    new = replace(World(), config=b"").plan(desired(model("a")))
    observed = replace(World().observed(), config=None)
    style = Style(io.StringIO(), no_color=False)
    fresh = render_plan(replace(new, config_before=None), observed.runtime, World().ledger, style)
    assert "Config /etc/config.yaml (a new file)\n  @@" in fresh


def test_container_and_its_fate_are_named() -> None:
    """The plan says what becomes of the container, or that nobody manages llama-swap."""
    assert "Runtime: container llama-swap restarts" in shown(
        World(running=True), desired(model("a"))
    )
    assert "Runtime: not managed: restart llama-swap yourself" in shown(
        World(), desired(model("a"))
    )


@pytest.mark.parametrize("width", [40, 80, 120])
def test_narrow_terminal_is_never_overrun(width: int) -> None:
    """On a terminal no line on a file or of the diff is too long; the size, the end of the path and
    the reason stay, and of the config nothing is left out.
    """
    wanted = desired(model(LONG, pinned(LONG, "x", name=f"{LONG}-Q4_K_M.gguf")))
    plan = World().plan(wanted)
    lines = shown(World(), wanted, width=width).splitlines()
    body = lines[lines.index(f"+ {LONG}") + 1 : lines.index("Config /etc/config.yaml")]
    files = [line for line in body if "entry" not in line]
    start = lines.index("Config /etc/config.yaml") + 1
    diff = lines[start : lines.index("", start)]
    assert max(len(line) for line in (*files, *diff)) <= width
    assert "100 B" in files[0]
    assert "K_M.gguf" in files[0]
    assert any("(not on disk)" in line for line in files)
    assert plan.config_after
    kept = re.sub(r"\s", "", "".join(line[3:] for line in diff if line.startswith("  +")))
    added = plan.config_after.decode()[len(World().config) :]
    assert re.sub(r"\s", "", added) in kept


def test_pipe_gets_whole_paths() -> None:
    """Where no person looks, every path stands whole in one line."""
    path = f"acme/{LONG}/{LONG}-Q4_K_M.gguf"
    text = shown(World(), desired(model(LONG, pinned(LONG, "x", name=f"{LONG}-Q4_K_M.gguf"))))
    assert f"  {path}  (not on disk)\n" in text
    assert f"-m /models/{path}\n" in text


def test_terminal_gets_colors_that_mean_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal what comes is green and what goes is red, in the list and in the diff; the
    text is the same as without.
    """
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "500")
    world = World().reached(desired(served("a"), served("b")))
    wanted = desired(served("b", ttl=60), served("c"))
    handle, other = os.openpty()
    with os.fdopen(other, "w") as terminal:
        style = Style(terminal, no_color=False)
    os.close(handle)
    text = render_plan(world.plan(wanted), world.observed().runtime, world.ledger, style)
    for colored in (
        "\x1b[32m+ c\x1b[0m",
        "\x1b[33m~ b\x1b[0m",
        "\x1b[31m- a\x1b[0m",
        "\x1b[31m-    ttl: 300\x1b[0m",
        "\x1b[32m+    ttl: 60\x1b[0m",
    ):
        assert colored in text
    assert ESCAPES.sub("", text) == shown(world, wanted)
