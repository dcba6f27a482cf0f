"""The board: what a watch has told, as the status page is given it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.arguments import build_parser
from reconciler.cli.console import Console
from reconciler.cli.quantities import Address
from reconciler.cli.settings import load_settings
from reconciler.cli.shown_json import without_secrets
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.watching.board import Board
from reconciler.cli.watching.pulse import Pulse
from reconciler.cli.watching.web import WatchWeb
from reconciler.cli.wiring import load_manifest, open_host
from reconciler.core.runs import Outcome, RunReport
from reconciler.core.watching import Pause, Reason
from reconciler.engine.prepared import Prepared
from reconciler.engine.reconcile import prepare
from reconciler.engine.run import RunResult
from reconciler.errors import ReconcilerError
from tests.support.fakes import FakeClock, Heard
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
GONE = "  gone:\n    source: acme/gone-GGUF:Q4_K_M\n"
OFF = "  off:\n    source: acme/chat-GGUF:Q8_0\n    enabled: false\n"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """A plan that adds a model, waits for none, and cannot resolve another."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path_factory.mktemp("board") / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest(CHAT + GONE + OFF)
        yield prepared_on(host)


def prepared_on(host: Sandbox) -> Prepared:
    """Give what a pass on this host would do."""
    settings = load_settings(build_parser().parse_args([]), host.environment())
    with open_host(settings, Heard(), for_writing=False) as opened:
        return prepare(opened, load_manifest(settings), pass_options(settings))


class Kept:
    """The runs that are kept of the host: what a test says."""

    def __init__(self) -> None:
        self.runs: Sequence[RunReport] = ()
        self.broken = False

    def read(self, _models_dir: str | None, count: int) -> Sequence[RunReport]:
        """Give the newest."""
        if self.broken:
            raise ReconcilerError("it cannot be read", hint="")
        return self.runs[:count]


class Scene:
    """A board, its clock and the runs it reads."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kept = Kept()
        self.board = Board(
            manifest=Path("/etc/reconciler/manifests"),
            clock=self.clock,
            read_runs=self.kept.read,
        )

    def shown(self) -> Any:
        """Give all of it as whoever looks a second later reads it, once it is made."""
        board = self.board
        wait_for(lambda: (board.models(), board._making is None)[1], "it to be made")
        self.clock.sleep(1)
        return json.loads(board.status())

    def ended(self, prepared: Prepared, outcome: Outcome, **more: Any) -> None:
        """Let a run end."""
        report = RunReport(run="r", started_at="", outcome=outcome, **more)
        self.board.ended(RunResult(prepared=prepared, report=report))


@pytest.fixture
def scene() -> Scene:
    """A board that was told nothing yet."""
    return Scene()


def states(shown: Any) -> dict[str, str]:
    """Give the state of each model."""
    return {item["model"]: item["state"] for item in shown["models"]}


def test_board_shows_each_phase_since_when_and_until_when(scene: Scene, planned: Prepared) -> None:
    """It starts, works, rests and is held; a rest that goes on keeps the moment it began."""
    assert scene.shown()["watch"]["phase"] == "starting"
    scene.board.began(Reason.MANIFEST)
    watch = scene.shown()["watch"]
    assert (watch["phase"], watch["reason"]) == ("working", "the manifest changed")
    assert (watch["next_at"], watch["passes"]) == (None, 1)
    scene.ended(planned, Outcome.APPLIED)
    scene.board.rests(600, None)
    first = scene.shown()["watch"]
    length = datetime.fromisoformat(first["next_at"]) - datetime.fromisoformat(first["since"])
    assert first["phase"] == "resting"
    assert length == pytest.approx(timedelta(seconds=600), abs=timedelta(seconds=1))
    scene.clock.sleep(30)
    scene.board.rests(570, None)
    assert scene.shown()["watch"]["since"] == first["since"]
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    scene.board.rests(60, Pause(since=now, by="ann@home"))
    watch = scene.shown()["watch"]
    assert watch["phase"] == "paused"
    assert watch["pause"] == {"since": now.isoformat(), "until": None, "by": "ann@home"}
    assert scene.board.is_paused
    scene.board.began(Reason.RESUMED)
    assert scene.shown()["watch"]["pause"] is None


def test_board_shows_the_plan_and_then_what_came_of_it(scene: Scene, planned: Prepared) -> None:
    """While a plan is carried out it is shown; then it is gone, and the models stand as applied."""
    scene.board.began(Reason.START)
    scene.board.planned(planned)
    shown = scene.shown()
    assert states(shown) == {"chat": "pending", "gone": "stalled", "off": "pending"}
    assert {"download", "place", "set_entry"} <= {it["action"] for it in shown["plan"]["actions"]}
    assert shown["waiting"][0]["model"] == "gone"
    assert shown["waiting"][0]["waiting"] is False
    assert shown["runtime"] == {"kind": "none", "name": "", "status": "unmanaged"}
    scene.ended(planned, Outcome.PARTIAL, failed=("gone",), reasons=("no such repository",))
    shown = scene.shown()
    assert shown["plan"] is None
    assert states(shown) == {"chat": "in sync", "gone": "stalled", "off": "disabled"}
    chat = next(item for item in shown["models"] if item["model"] == "chat")
    assert (chat["files"], chat["source"]) == (1, "acme/chat-GGUF:Q4_K_M")
    assert chat["size_bytes"] > 40_000


def test_board_tells_why_a_model_failed_that_was_to_be_fetched(
    scene: Scene, planned: Prepared
) -> None:
    """What fails only while it is done is told with its reason, though the plan knew of none."""
    scene.ended(
        planned, Outcome.PARTIAL, failed=("chat",), reasons=("no answer",), waiting=("chat",)
    )
    shown = scene.shown()
    told = {item["model"]: item for item in shown["waiting"]}
    assert told["chat"] == {"model": "chat", "reason": "no answer", "hint": "", "waiting": True}
    assert states(shown)["chat"] == "waiting"


def test_plan_that_was_not_carried_out_stays(scene: Scene, planned: Prepared) -> None:
    """A pass that failed, or was taken back, leaves its plan and the models, and a word of why."""
    scene.board.planned(planned)
    scene.board.failed(ReconcilerError("no room on the disk", hint="make some"))
    shown = scene.shown()
    assert shown["plan"]["actions"]
    assert shown["watch"]["problem"] == {"message": "no room on the disk", "hint": "make some"}
    scene.ended(planned, Outcome.ROLLED_BACK, message="it did not answer")
    shown = scene.shown()
    assert states(shown)["chat"] == "pending"
    assert "it did not answer" in shown["watch"]["problem"]["message"]
    scene.ended(planned, Outcome.IN_SYNC)
    assert scene.shown()["watch"]["problem"] is None


def test_readiness_follows_the_last_pass(scene: Scene, planned: Prepared) -> None:
    """Not before the first pass, not after one that failed, was refused or was taken back."""
    board = scene.board
    assert board.readiness() == (False, "no pass has ended yet")
    for outcome, ready in {
        Outcome.APPLIED: True,
        Outcome.ROLLED_BACK: False,
        Outcome.IN_SYNC: True,
        Outcome.DECLINED: False,
        Outcome.PARTIAL: True,
    }.items():
        scene.ended(planned, outcome, message="why")
        assert board.readiness()[0] is ready, outcome
    board.began(Reason.MANIFEST)
    assert board.readiness()[0], "a pass under way says nothing yet"
    board.failed(ReconcilerError("no container", hint=""))
    assert board.readiness() == (False, "the last pass did not end well: no container")


def test_runs_are_the_newest_and_survive_what_cannot_be_read(
    scene: Scene, planned: Prepared
) -> None:
    """Ten runs are shown as they are kept; while they cannot be read, those from before are."""
    scene.kept.runs = [
        RunReport(run=f"r{number}", started_at="2026-01-01", commit="c0ffee")
        for number in range(20)
    ]
    scene.ended(planned, Outcome.IN_SYNC)
    shown = scene.shown()
    assert [run["run"] for run in shown["runs"]] == [f"r{number}" for number in range(10)]
    assert shown["watch"]["commit"] == "c0ffee"
    scene.kept.broken = True
    scene.ended(planned, Outcome.IN_SYNC)
    assert len(scene.shown()["runs"]) == 10


def test_work_under_way_is_shown_until_it_ends(scene: Scene) -> None:
    """Files under way stand there with how far they are, how fast they go, and their total."""
    console = Console(quiet=True, log_format="text", no_color=True, monotonic=scene.clock.monotonic)
    console.show_also(scene.board.work)
    with console.batch(2, 3_000) as batch, batch.task("fetching", "a.gguf", 2_000) as progress:
        progress.advance(500)
        scene.clock.sleep(1)
        progress.advance(500)
        work = scene.shown()["work"]
        (task,) = work["tasks"]
        assert (task["doing"], task["name"]) == ("fetching", "a.gguf")
        assert (task["done_bytes"], task["total_bytes"]) == (1_000, 2_000)
        assert task["bytes_per_second"] > 0
        assert task["seconds_left"] >= 1
        assert (work["total"]["files"], work["total"]["files_done"]) == (2, 0)
        assert scene.board.work.bytes_left() == 2_000
    assert scene.shown()["work"] == {"total": None, "tasks": []}


def test_many_who_look_cost_no_more_than_one(scene: Scene, planned: Prepared) -> None:
    """Within a fifth of a second everybody is given the same answer."""
    first = scene.board.status()
    scene.board.began(Reason.START)
    assert scene.board.status() is first
    scene.clock.sleep(0.2)
    assert json.loads(scene.board.status())["watch"]["phase"] == "working"
    scene.ended(planned, Outcome.IN_SYNC)


def test_ten_thousand_passes_leave_nothing_behind(scene: Scene, planned: Prepared) -> None:
    """What is kept does not grow with the passes that were."""

    def passes(count: int) -> None:
        for _ in range(count):
            scene.board.began(Reason.RESYNC)
            scene.board.planned(planned)
            scene.ended(planned, Outcome.IN_SYNC)
            scene.board.rests(600, None)

    passes(100)
    scene.shown()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        passes(10_000)
        scene.shown()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


def test_secrets_are_hidden_wherever_they_stand() -> None:
    """Keys, tokens, passwords in addresses and signed queries are left out, and nothing else."""
    token = "hf_" + "a" * 30
    shown = without_secrets(
        {
            "source": "https://ann:pw@host.example/m.gguf?sig=abc#x",
            "message": f"asked https://ann:pw@host.example/ with {token}",
            "changes": [
                {"key": "cmd", "before": None, "after": "server --api-key s3cret -m x"},
                {"key": "apiKey", "before": "old", "after": "new"},
                {"key": "ttl", "before": 1, "after": 300},
            ],
            "env": ["OPENAI_API_KEY=s3cret", "MODE=fast"],
            "token": "abc",
        }
    )
    text = json.dumps(shown)
    for secret in ("pw", "sig=abc", token, "s3cret", '"old"', '"new"', '"abc"'):
        assert secret not in text
    assert shown["source"] == "https://host.example/m.gguf"
    assert shown["changes"][2] == {"key": "ttl", "before": 1, "after": 300}
    assert "MODE=fast" in text


def test_hostile_names_stay_text(scene: Scene) -> None:
    """Names are carried as JSON has it, whatever is in them."""
    name = '</script><img src=x onerror="alert(1)">\u2028'
    console = Console(quiet=True, log_format="text", no_color=True)
    console.show_also(scene.board.work)
    with console.task("fetching", name, 10):
        assert scene.shown()["work"]["tasks"][0]["name"] == name


def test_health_follows_the_signs_of_life(tmp_path: Path) -> None:
    """While signs come as they are due it is well; long after one that did not come it is not."""
    clock = FakeClock()
    pulse = Pulse(monotonic=clock.monotonic)
    settings = replace(
        load_settings(build_parser().parse_args([]), {"HOME": str(tmp_path)}),
        listen=Address("127.0.0.1", 0),
    )
    with (
        Console(quiet=True, log_format="text", no_color=True) as console,
        WatchWeb(console, pulse) as web,
    ):
        web.take(settings)
        pages = web.pages
        assert pages is not None
        pulse.rests(600, None)
        clock.sleep(680)
        assert pages.health() == (True, "ok")
        clock.sleep(20)
        healthy, words = pages.health()
        assert not healthy
        assert "no sign of life" in words
        pulse.beat()
        assert pages.health()[0]
