"""Full and incremental runs from end to end: what each looks at, and the report each leaves."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"


def applied(host: Sandbox) -> None:
    """Bring one model here."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()


def run(host: Sandbox) -> Any:
    """Run once more; gives its report."""
    return host.apply("--json").json


def flip_unseen(host: Sandbox) -> None:
    """Change one byte of the model so that its size and times stay as they were."""
    path = host.models / CHAT_PATH
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[20_000] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_first_run_is_full_and_the_next_incremental(host: Sandbox) -> None:
    """Each run says how it looked and why: on screen, as JSON, in what it keeps and in the file
    beside the inventory, which are one.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    first = host.apply()
    assert "Full sync in " in first.out
    assert ": no run before\n" in first.out
    report = run(host)
    assert (report["mode"], report["mode_reason"]) == (
        "incremental",
        "the last full run is 0 min old",
    )
    assert report["duration_seconds"] > 0
    del report["plan"]
    written = json.loads((host.models / ".reconciler" / "last_sync_metadata.json").read_text())
    assert written == {"format_version": 1, **report}
    assert host.run("status", "--json").json["last_run"] == report
    assert "Incremental sync in " in host.apply().out


def test_file_is_written_for_a_run_that_fails_too(host: Sandbox) -> None:
    """The file beside the inventory tells of the newest run, also where that was refused; and after
    one that failed everything is looked at.
    """
    applied(host)
    host.write_manifest("")
    assert host.run("--yes").code == 1
    path = host.models / ".reconciler" / "last_sync_metadata.json"
    written = json.loads(path.read_text())
    assert (written["outcome"], written["mode"]) == ("refused", "full")
    host.write_manifest(CHAT)
    assert run(host)["mode"] == "incremental"
    config = host.config.read_bytes()
    host.config.write_text("models: [")
    assert host.run("--yes").code == 1
    assert json.loads(path.read_text())["mode"] is None
    host.config.write_bytes(config)
    assert run(host)["mode_reason"] == "the last run: failed"


def test_new_models_call_for_a_full_run(host: Sandbox) -> None:
    """A second model beside one is more than a tenth: all is looked at."""
    applied(host)
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    assert run(host)["mode_reason"] == "1 of 2 models changed, more than 10 %"


def test_incremental_run_asks_and_reads_nothing(host: Sandbox) -> None:
    """Told to be incremental, a run trusts what it knows, also where auto would not."""
    applied(host)
    flip_unseen(host)
    host.settings |= {"SYNC_MODE": "incremental", "FULL_SYNC_THRESHOLD_HOURS": "0"}
    host.hub.forget_requests()
    report = run(host)
    assert (report["mode"], report["findings"], host.hub.requests) == ("incremental", [], ())


def test_plan_and_status_never_look_at_everything(host: Sandbox) -> None:
    """Whatever is asked for, looking costs no request and no reading."""
    applied(host)
    flip_unseen(host)
    host.settings |= {"FORCE_FULL_SYNC": "1", "FULL_SYNC_THRESHOLD_HOURS": "0"}
    host.hub.forget_requests()
    for looking in (("--plan",), ("status",)):
        result = host.run(*looking)
        assert (result.code, "verifying" in result.err) == (0, False)
    assert (host.hub.requests, host.plan()["actions"]) == ((), [])


def test_full_run_finds_what_changed_unseen(host: Sandbox) -> None:
    """A file not read within the threshold is read again after the rollout; what is found is told,
    kept in the report, and mended by the next run.
    """
    applied(host)
    flip_unseen(host)
    host.settings["FORCE_FULL_SYNC"] = "1"
    assert run(host)["findings"] == []
    host.settings["RECONCILER_FULL_SYNC_THRESHOLD_HOURS"] = "0"
    result = host.apply()
    assert f"warning: {CHAT_PATH} is damaged, or somebody changed it" in result.err
    assert "1 thing found, see the warnings" in result.out
    host.settings.clear()
    assert [item["action"] for item in host.plan()["actions"]] == ["download", "replace"]
    host.apply()
    assert host.run("verify").code == 0


def test_full_run_asks_upstream_for_each_pin_once(host: Sandbox) -> None:
    """The hub is asked for what is pinned, not only for what is remembered of it; pins that this
    run made itself are not asked for again, and nothing is fetched.
    """
    applied(host)
    assert len([item for item in host.hub.requests if "/tree/" in item.path]) == 1
    host.settings["SYNC_MODE"] = "full"
    host.hub.forget_requests()
    assert run(host)["findings"] == []
    assert ["/tree/" in item.path for item in host.hub.requests] == [True]


def test_commit_that_is_gone_is_told_and_changes_nothing(host: Sandbox) -> None:
    """Where upstream has no such commit any more the run says so, and the model stays as it is."""
    applied(host)
    lock, files = host.lock.read_bytes(), host.model_files()
    with running_hub() as other:
        host.hub = other
        host.add_repo("acme/chat-GGUF", seed=5)
        host.settings["FORCE_FULL_SYNC"] = "1"
        report = run(host)
    assert [finding.endswith("any more, and the lock pins it") for finding in report["findings"]]
    assert "acme/chat-GGUF has no commit" in report["findings"][0]
    assert (report["outcome"], host.lock.read_bytes()) == ("in sync", lock)
    assert host.model_files() == files


def test_hub_that_does_not_answer_is_a_warning(host: Sandbox) -> None:
    """A full run without network ends well and says what it could not check; so does one that may
    not ask.
    """
    applied(host)
    host.settings |= {"FORCE_FULL_SYNC": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    report = run(host)
    assert (report["outcome"], len(report["findings"])) == ("in sync", 1)
    assert "could not all be checked upstream" in report["findings"][0]
    report = host.apply("--json", "--offline").json
    assert report["findings"] == ["the pins were not checked upstream: --offline forbids it"]
