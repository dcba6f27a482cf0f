"""Damage of the disk: found wherever it is, told with its place, and mended with little."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.core.damage import SEGMENT_BYTES
from reconciler.core.extents import Extents
from reconciler.demo.gguf_bytes import tiny_model
from tests.support.fuse import opened
from tests.support.rot import flip
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
NAME = "chat-Q4_K_M.gguf"
PATH = f"acme/chat-GGUF/{NAME}"
# Three segments and a part of a fourth.
DATA = tiny_model("chat", payload_bytes=3 * SEGMENT_BYTES + 1_000_000, seed=1)
LAST = len(DATA) - 1


@pytest.fixture
def applied(host: Sandbox) -> Sandbox:
    """A host that serves one model of four segments; nothing of it is in the hub's log."""
    host.hub.add_commit("acme/chat-GGUF", {NAME: DATA})
    host.write_manifest(CHAT)
    host.apply()
    host.hub.forget_requests()
    return host


def model(host: Sandbox) -> Path:
    """Give the model's path."""
    return host.models / PATH


def asked_bytes(host: Sandbox) -> int:
    """Give how many different bytes of files the hub was asked for.

    What it sent may be more, for a connection that is slow is helped by others.
    """
    asked = defaultdict[str, Extents](Extents)
    for item in host.hub.requests:
        if item.origin == "cdn":
            first, _, last = item.headers.get("range", "").removeprefix("bytes=").partition("-")
            start = int(first or 0)
            asked[item.path].add(start, int(last) + 1 if last else start + item.sent_bytes)
    return sum(extents.total_bytes for extents in asked.values())


@pytest.mark.parametrize(
    "place",
    [0, SEGMENT_BYTES - 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 12_345, 3 * SEGMENT_BYTES, LAST],
)
def test_any_flipped_byte_is_found_and_mended_by_its_segment_alone(
    applied: Sandbox, place: int
) -> None:
    """`verify` names the segment of a byte that changed with size and time as before; `repair`
    fetches that one segment, puts a new file in place, and everything is intact again.
    """
    before = model(applied).stat().st_ino
    flip(model(applied), place)
    found = applied.run("verify", "--json")
    start = place // SEGMENT_BYTES * SEGMENT_BYTES
    end = min(start + SEGMENT_BYTES, len(DATA))
    (file,) = found.json["files"]
    assert (found.code, file["finding"]) == (3, "damaged")
    assert file["damage"] == {"damaged": 1, "segments": 4, "extents": [[start, end]]}
    repaired = applied.run("repair", "--yes")
    assert repaired.code == 0, f"{repaired.out}\n{repaired.err}"
    assert model(applied).read_bytes() == DATA
    assert asked_bytes(applied) == end - start
    # What has the old one mapped keeps the old bytes, and is not changed under its feet.
    assert model(applied).stat().st_ino != before
    assert applied.run("verify").code == 0
    assert applied.plan()["actions"] == []


def test_the_next_run_mends_what_verify_found_in_the_same_way(applied: Sandbox) -> None:
    """A plain run after `verify` fetches the damaged segments alone too."""
    flip(model(applied), 5, LAST)
    said = applied.run("verify")
    assert f"2 of 4 segments, bytes 0-{SEGMENT_BYTES - 1}, {3 * SEGMENT_BYTES}-{LAST}" in said.out
    assert "repair" in said.err
    applied.apply()
    assert model(applied).read_bytes() == DATA
    assert asked_bytes(applied) == len(DATA) - 2 * SEGMENT_BYTES


def test_a_file_cut_short_is_continued_from_what_is_left(applied: Sandbox) -> None:
    """Whole segments before the cut are kept; `verify --quick` sees it without reading."""
    os.truncate(model(applied), SEGMENT_BYTES + 7)
    quick = applied.run("verify", "--quick")
    assert (quick.code, "damaged" in quick.out, "cut short" in quick.out) == (3, True, True)
    assert applied.run("repair", "--yes").code == 0
    assert model(applied).read_bytes() == DATA
    assert asked_bytes(applied) == len(DATA) - SEGMENT_BYTES


def test_a_repair_that_is_cut_short_keeps_what_it_took_over(applied: Sandbox) -> None:
    """Where a partial file holds a beginning already, the intact rest is still not fetched."""
    flip(model(applied), 5)
    assert applied.run("verify").code == 3
    partial = applied.models / ".reconciler" / "partial" / applied.plan()["actions"][0]["sha256"]
    partial.write_bytes(DATA[:1_000_000])
    assert applied.run("repair", "--yes").code == 0
    assert model(applied).read_bytes() == DATA
    assert asked_bytes(applied) == SEGMENT_BYTES - 1_000_000


def test_a_missing_file_is_told_and_brought(applied: Sandbox) -> None:
    """What is gone is missing for both ways of looking, and `repair` brings it."""
    model(applied).unlink()
    for arguments in (("verify",), ("verify", "--quick")):
        result = applied.run(*arguments)
        assert (result.code, "missing" in result.out) == (3, True)
    assert applied.run("repair", "chat", "--yes").code == 0
    assert model(applied).read_bytes() == DATA


def test_intact_files_are_left_alone(applied: Sandbox) -> None:
    """With nothing damaged `repair` is `verify`: no plan, no question, nothing pending applied."""
    applied.add_repo("acme/code-GGUF")
    applied.write_manifest(CHAT + "  code:\n    source: acme/code-GGUF:Q4_K_M\n")
    before = applied.model_files()
    result = applied.run("repair", "--json")
    assert (result.code, result.json["run"]) == (0, None)
    assert applied.model_files() == before


def test_quick_reads_nothing_and_says_what_was_touched(applied: Sandbox) -> None:
    """An unchanged file passes unread; one whose time is another is told, not called damaged."""
    assert applied.run("verify", "--quick").code == 0
    flip(model(applied), 5)
    assert applied.run("verify", "--quick").code == 0
    os.utime(model(applied), ns=(1, 1))
    (file,) = applied.run("verify", "--quick", "--json").json["files"]
    assert (file["finding"], file["damage"]) == ("changed", None)
    assert "run `reconcile verify`" in applied.run("verify", "--quick").err


def test_known_damage_is_placed_without_reading(applied: Sandbox) -> None:
    """What `verify` found is what `--quick` tells afterwards."""
    flip(model(applied), SEGMENT_BYTES)
    full = applied.run("verify", "--json").json
    assert applied.run("verify", "--quick", "--json").json == full


def test_a_note_that_disagrees_is_said_and_is_no_damage(applied: Sandbox) -> None:
    """A `.sha256` of somebody, with another digest, is a hint for people."""
    model(applied).with_name(f"{NAME}.sha256").write_text(f"{'0' * 64} *{NAME}\n")
    result = applied.run("verify")
    assert (result.code, "notes another digest" in result.out) == (0, True)


def test_shards_that_no_model_wants_are_told(host: Sandbox) -> None:
    """A shard of an older upload beside a set of ours is named, and is no damage."""
    shards = {
        f"big-Q4_K_M-0000{number}-of-00002.gguf": tiny_model(
            "big", payload_bytes=5000, seed=number, shard=(number, 2)
        )
        for number in (1, 2)
    }
    host.hub.add_commit("acme/big-GGUF", shards)
    host.write_manifest("  big:\n    source: acme/big-GGUF:Q4_K_M\n")
    host.apply()
    extra = "acme/big-GGUF/big-Q4_K_M-00003-of-00003.gguf"
    (host.models / extra).write_bytes(b"GGUF of before")
    (host.models / "acme/big-GGUF" / "other-00001-of-00001.gguf").write_bytes(b"GGUF")
    result = host.run("verify", "--json")
    assert (result.code, result.json["extra_shards"]) == (0, [extra])
    assert extra in host.run("verify").out


def test_a_damaged_local_source_is_replaced_from_its_source(host: Sandbox, tmp_path: Path) -> None:
    """A model that came from this machine is mended from there."""
    source = tmp_path / "local.gguf"
    source.write_bytes(DATA)
    host.write_manifest(f"  chat:\n    source: file://{source}\n")
    host.apply()
    (path,) = (host.models / name for name in host.model_files() if name.endswith(".gguf"))
    # A link to somebody's file would be theirs to damage.
    assert path.stat().st_ino != source.stat().st_ino
    flip(path, 5)
    assert host.run("repair", "--yes").code == 0
    assert path.read_bytes() == DATA


def test_a_found_file_that_rots_is_told_and_never_replaced(host: Sandbox) -> None:
    """Somebody else's file is theirs: `repair` says what is wrong with it, and leaves it."""
    host.hub.add_commit("acme/chat-GGUF", {NAME: DATA})
    model(host).parent.mkdir(parents=True)
    model(host).write_bytes(DATA)
    host.write_manifest(CHAT)
    host.apply()
    flip(model(host), 5)
    rotten = model(host).read_bytes()
    result = host.run("repair", "--yes")
    assert (result.code, "not ours" in result.out + result.err) == (4, True)
    assert model(host).read_bytes() == rotten


def test_unknown_files_are_hashed_with_a_total(host: Sandbox) -> None:
    """Files that nobody has hashed yet are one batch, and none of them is hashed twice."""
    for name in ("a", "b", "c"):
        data = host.add_repo(f"acme/{name}-GGUF", seed=ord(name))[f"{name}-Q4_K_M.gguf"]
        path = host.models / f"acme/{name}-GGUF/{name}-Q4_K_M.gguf"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    host.write_manifest(
        "".join(f"  {name}:\n    source: acme/{name}-GGUF:Q4_K_M\n" for name in ("a", "b", "c"))
    )
    events = [json.loads(line) for line in host.apply("--log-format", "json").err.splitlines()]
    (total,) = (item for item in events if item.get("event") == "total.start")
    assert total["files"] == 3
    hashed = [item for item in events if item.get("event") == "transfer.end"]
    assert [item["doing"] for item in hashed] == ["hashing"] * 3


SETS = """\
  sharded:
    source: acme/sharded-GGUF:Q4_K_M
    mmproj: auto
    draft: acme/draft-GGUF:Q4_K_M
    files:
      lora: hf://acme/lora-GGUF/lora.gguf
"""
SHARDS = {
    f"sharded-Q4_K_M-0000{number}-of-00002.gguf": tiny_model(
        "sharded", payload_bytes=SEGMENT_BYTES + 70_000, seed=number, shard=(number, 2)
    )
    for number in (1, 2)
}
OTHERS = {
    "mmproj-F16.gguf": tiny_model("eyes", payload_bytes=SEGMENT_BYTES + 5, seed=5),
    "draft-Q4_K_M.gguf": tiny_model("draft", payload_bytes=30_000, seed=6),
    "lora.gguf": tiny_model("lora", payload_bytes=2 * SEGMENT_BYTES, seed=7),
}


def test_a_flipped_byte_in_every_kind_of_file_is_mended_by_its_segment_alone(host: Sandbox) -> None:
    """Shards, projector, draft and further files alike: at the first byte, the last, and on both
    sides of a segment's border, the damage is found, and of each file one segment is fetched.
    """
    eyes, draft, lora = OTHERS
    host.hub.add_commit("acme/sharded-GGUF", {**SHARDS, eyes: OTHERS[eyes]})
    host.hub.add_commit("acme/draft-GGUF", {draft: OTHERS[draft]})
    host.hub.add_commit("acme/lora-GGUF", {lora: OTHERS[lora]})
    host.write_manifest(SETS)
    host.apply()
    good = host.model_files()
    models = {path: data for path, data in good.items() if path.endswith(".gguf")}
    assert {path.rpartition("/")[2] for path in models} == {*SHARDS, *OTHERS}
    for place in (0, SEGMENT_BYTES - 1, SEGMENT_BYTES, LAST):
        wanted_bytes = 0
        for path, data in models.items():
            at = min(place, len(data) - 1)
            flip(host.models / path, at)
            start = at // SEGMENT_BYTES * SEGMENT_BYTES
            wanted_bytes += min(SEGMENT_BYTES, len(data) - start)
        found = host.run("verify", "--json").json["files"]
        assert [item["damage"]["damaged"] for item in found] == [1] * len(models)
        host.hub.forget_requests()
        assert host.run("repair", "--yes").code == 0
        assert (host.model_files(), asked_bytes(host)) == (good, wanted_bytes)


def forget_segments(host: Sandbox) -> None:
    """Make the inventory one of an older version, which kept no segments."""
    inventory = host.models / ".reconciler" / "inventory.db"
    with closing(sqlite3.connect(inventory)) as database, database:
        database.execute("DELETE FROM segments")


def test_file_without_known_segments_is_fetched_whole_once(applied: Sandbox) -> None:
    """What an older version placed is checked by sha256, and mended by all of its bytes; from then
    on its segments are known.
    """
    forget_segments(applied)
    flip(model(applied), 5)
    (file,) = applied.run("verify", "--json").json["files"]
    assert (file["finding"], file["damage"]) == ("damaged", None)
    assert applied.run("repair", "--yes").code == 0
    assert (model(applied).read_bytes(), asked_bytes(applied)) == (DATA, len(DATA))
    flip(model(applied), 5)
    applied.hub.forget_requests()
    assert applied.run("repair", "--yes").code == 0
    assert (model(applied).read_bytes(), asked_bytes(applied)) == (DATA, SEGMENT_BYTES)


def test_intact_file_without_known_segments_gets_them_by_verify(applied: Sandbox) -> None:
    """One pass over an intact file of an older version is enough to locate damage to come."""
    forget_segments(applied)
    assert applied.run("verify").code == 0
    flip(model(applied), LAST)
    (file,) = applied.run("verify", "--json").json["files"]
    assert file["damage"]["damaged"] == 1


def read_files(stderr: str) -> list[str]:
    """Give the names of the files that a command says it has read, from its log as JSON."""
    events = [json.loads(line) for line in stderr.splitlines()]
    return [item["file"] for item in events if item.get("event") == "transfer.start"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_check_that_was_cut_short_is_continued(applied: Sandbox, how: signal.Signals) -> None:
    """Whatever ended it, the next one reads only what is left or was touched, says so, and tells
    all files; `--fresh` reads everything, and so does the one after a check that was finished.
    """
    size_bytes = len(applied.add_repo("acme/code-GGUF")["code-Q4_K_M.gguf"])
    applied.write_manifest(CHAT + "  code:\n    source: acme/code-GGUF:Q4_K_M\n")
    applied.apply()
    code = applied.models / "acme/code-GGUF/code-Q4_K_M.gguf"
    flip(model(applied), 5)
    applied.settings["RECONCILER_HASH_JOBS"] = "1"
    # Sparse, so it costs no room; as large as a file that takes minutes.
    os.truncate(code, 64 * 1024**3)
    process = applied.start("verify", "--log-format", "json")
    try:
        assert process.stderr is not None
        begun = (json.loads(line) for line in process.stderr)
        names = (item["file"] for item in begun if item.get("event") == "transfer.start")
        assert any(name == code.name for name in names), "it never came to the second file"
        process.send_signal(how)
        process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    os.truncate(code, size_bytes)
    applied.settings["RECONCILER_LOG_FORMAT"] = "json"
    again = applied.run("verify", "--json")
    assert ("read 1 of 2 files" in again.err, read_files(again.err)) == (True, [code.name])
    findings = {item["path"]: item["finding"] for item in again.json["files"]}
    assert (again.code, findings[PATH]) == (3, "damaged")
    (chat,) = (item for item in again.json["files"] if item["path"] == PATH)
    assert chat["damage"]["extents"] == [[0, SEGMENT_BYTES]]
    after = applied.run("verify")
    assert ("continuing" in after.err, set(read_files(after.err))) == (False, {NAME, code.name})


def test_fresh_and_old_checks_start_over(applied: Sandbox) -> None:
    """Of a check that was begun before all of this was read, `--fresh` reads every file again; so
    does everybody after a day, who names models, and where nothing was read since it began.
    """
    applied.settings["RECONCILER_LOG_FORMAT"] = "json"

    def leave_unfinished(hours: float) -> None:
        begun_at = datetime.now(UTC) - timedelta(hours=hours)
        with opened(applied) as (host, _):
            host.inventory.save_check(begun_at)

    leave_unfinished(23)
    assert read_files(applied.run("verify").err) == []
    leave_unfinished(23)
    assert read_files(applied.run("verify", "--fresh").err) == [NAME]
    leave_unfinished(25)
    assert read_files(applied.run("verify").err) == [NAME]
    leave_unfinished(23)
    assert read_files(applied.run("verify", "chat").err) == [NAME]
    leave_unfinished(0)
    assert read_files(applied.run("verify").err) == [NAME]


def test_ctrl_c_ends_the_reading_of_a_large_file_soon(applied: Sandbox) -> None:
    """Interrupted in the middle of a large file it ends long before its end, with exit 130."""
    large = model(applied)
    # Sparse, so it costs no room; as large as a file that takes minutes.
    os.truncate(large, 64 * 1024**3)
    process = applied.start("verify", "--log-format", "json")
    try:
        assert process.stderr is not None
        assert any("transfer.start" in line for line in process.stderr), "it never began to read"
        process.send_signal(signal.SIGINT)
        # To read it all would take minutes.
        wait_for(lambda: process.poll() is not None, "its end", seconds=30)
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()
