"""GGUF files that no model declares: let alone, listed, or served, and never taken away."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.yamltext.config import read_config
from reconciler.demo.gguf_bytes import tiny_model
from tests.support.hub import sharded_model
from tests.support.sandbox import CONFIG, Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"


def put(host: Sandbox, path: str, data: bytes | None = None, *, seed: int = 9) -> Path:
    """Put a file that nobody declares into the models folder: a small model, if not told."""
    file = host.models / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(tiny_model("old", payload_bytes=4000, seed=seed) if data is None else data)
    return file


def listed(host: Sandbox) -> dict[str, Any]:
    """Give what a plan tells of undeclared models, by path."""
    return {item["path"]: item for item in host.plan()["discovered"]}


def keys(host: Sandbox) -> list[str]:
    """Give the keys of all models in the config but the one that was always there."""
    models = read_config(host.config.read_bytes(), "config").models
    return [key for key in models if key != "mine"]


def test_off_looks_at_nothing(host: Sandbox) -> None:
    """Without the policy an undeclared file is told of nowhere, and nothing is done to it."""
    put(host, "old/old-Q4_K_M.gguf")
    host.write_manifest("")
    assert (listed(host), host.plan()["actions"]) == ({}, [])


def test_report_lists_models_and_no_sidecars(host: Sandbox) -> None:
    """A plan lists each undeclared model once, with what its header says; what is no model, not
    whole, hidden or ours is told as such or left out, and nothing is done.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT, policy="{discover: report}")
    host.apply()
    put(host, "old/old-Q4_K_M.gguf")
    for name, data in sharded_model("big", shards=3, payload_bytes=9000, seed=4).items():
        put(host, f"shards/{name}", data)
        if "00003-of" not in name:
            put(host, f"half/{name}", data)
    put(host, "old/mmproj-F16.gguf")
    put(host, "old/old.imatrix.gguf")
    put(host, "old/mtp-old.gguf")
    put(host, "old/empty.gguf", b"")
    put(host, "old/words.gguf", b"these are no weights")
    put(host, ".hidden/secret.gguf")
    put(host, "old/torn-Q8_0.gguf", b"GGUF\x03\0\0\0torn")
    found = listed(host)
    assert sorted(found) == [
        "half/big-00001-of-00003.gguf",
        "old/old-Q4_K_M.gguf",
        "old/torn-Q8_0.gguf",
        "shards/big-00001-of-00003.gguf",
    ]
    old = found["old/old-Q4_K_M.gguf"]
    assert (old["architecture"], old["quant"], old["problem"]) == ("llama", "Q4_K_M", "")
    assert found["shards/big-00001-of-00003.gguf"]["files"] == 3
    assert "1 of its 3 shards are missing" in found["half/big-00001-of-00003.gguf"]["problem"]
    assert "header cannot be read" in found["old/torn-Q8_0.gguf"]["problem"]
    text = host.run("--plan")
    assert (text.code, "declared by no model" in text.out) == (0, True)
    assert "old/old-Q4_K_M.gguf  llama  Q4_K_M" in text.out
    assert host.plan()["actions"] == []


def test_serve_makes_an_entry_and_takes_it_back_with_the_file(host: Sandbox) -> None:
    """Each undeclared model gets an entry of its own, once; when its file goes so does the entry,
    to the last byte, and no file is ever touched or stamped.
    """
    host.write_manifest("", policy="{discover: serve}")
    one = put(host, "old/old-Q4_K_M.gguf")
    put(host, "old/mmproj-F16.gguf")
    for name, data in sharded_model("big", shards=2, payload_bytes=9000, seed=4).items():
        put(host, f"shards/{name}", data)
    before = host.model_files()
    host.apply()
    assert host.model_files() == before
    config = host.config.read_text()
    assert keys(host) == ["old/old-Q4_K_M", "shards/big"]
    assert f"-m {one} --mmproj {one.parent}/mmproj-F16.gguf" in " ".join(config.split())
    assert f"-m {host.models}/shards/big-00001-of-00002.gguf" in " ".join(config.split())
    again = host.plan()
    assert (again["actions"], again["unchanged"]) == ([], ["old/old-Q4_K_M", "shards/big"])
    one.unlink()
    host.apply()
    assert keys(host) == ["shards/big"]
    for file in (host.models / "shards").iterdir():
        file.unlink()
    host.apply()
    assert host.config.read_text() == CONFIG


def test_edit_of_a_generated_entry_stays(host: Sandbox) -> None:
    """What somebody edits or adds in a generated entry is never set back; the edit is told until a
    run has seen it, and what they add is theirs. A field that is taken out is filled in again.
    """
    host.write_manifest("", policy="{discover: serve}")
    old = put(host, "old.gguf")
    host.apply()
    edited = host.config.read_text().replace(f"-m {old}", f"-m {old} -c 4096\n    ttl: 7")
    assert "ttl: 7" in edited
    host.config.write_text(edited)
    plan = host.plan()
    assert plan["actions"] == []
    (drift,) = plan["drift"]
    assert (drift["key"], drift["origin"], drift["kept"]) == ("cmd", "discovered", True)
    host.apply()
    assert host.config.read_text() == edited
    assert host.plan()["drift"] == []
    head, _, rest = edited.partition("  old:\n    cmd:")
    host.config.write_text(f"{head}  old:\n    ttl: 7\n")
    assert "ttl: 7" in rest
    host.apply()
    assert f"-m {old}" in host.config.read_text()
    assert "ttl: 7" in host.config.read_text()


def test_entry_that_serves_something_else_by_now_stays(host: Sandbox) -> None:
    """A generated entry whose command somebody pointed elsewhere is theirs when the file goes."""
    host.write_manifest("", policy="{discover: serve}")
    old = put(host, "old.gguf")
    host.apply()
    host.config.write_text(host.config.read_text().replace(str(old), "/srv/better.gguf"))
    edited = host.config.read_text()
    old.unlink()
    result = host.apply()
    assert "serves something else by now" in result.out
    assert host.config.read_text() == edited
    assert host.plan()["actions"] == []


def test_entry_of_somebody_else_is_enough(host: Sandbox) -> None:
    """A file that a hand-made entry serves, macros and all, gets no second entry."""
    file = put(host, "old.gguf")
    macro = f"macros:\n  store: {host.models}\n"
    entry = "  by-hand:\n    cmd: llama-server --port ${PORT} --model=${store}/old.gguf\n"
    host.config.write_text(macro + CONFIG + entry)
    host.write_manifest("", policy="{discover: serve}")
    assert host.plan()["actions"] == []
    assert listed(host)["old.gguf"]["served_by"] == "by-hand"
    assert file.exists()


def test_name_that_is_taken_is_refused(host: Sandbox) -> None:
    """A key that a declared model, an alias or a hand-made entry bears is never given again: that
    file alone is refused, by name.
    """
    host.add_repo("acme/chat-GGUF")
    put(host, "chat.gguf")
    put(host, "mine.gguf")
    put(host, "other.gguf")
    put(host, "fine.gguf")
    host.write_manifest(f"{CHAT}    serve:\n      aliases: [other]\n", policy="{discover: serve}")
    result = host.run("--yes")
    assert result.code == 4
    assert keys(host) == ["chat", "fine"]
    assert set(host.plan()["stalled"]) == {"chat.gguf", "mine.gguf", "other.gguf"}
    assert "called mine, as line 5 of the config is" in result.out


def test_long_paths_make_short_keys_that_differ(host: Sandbox) -> None:
    """A key past the limit is cut, and a digest tells two that begin alike apart."""
    host.settings["LLAMA_SWAP_MAX_KEY_LENGTH"] = "30"
    host.write_manifest("", policy="{discover: serve}")
    put(host, f"{'deep/' * 8}one.gguf")
    put(host, f"{'deep/' * 8}two.gguf")
    host.apply()
    found = keys(host)
    assert [len(key) for key in found] == [30, 30]
    assert len({*found}) == 2
    assert host.plan()["actions"] == []


def test_declaring_a_served_file_hands_it_over(host: Sandbox) -> None:
    """A file that a model declares from now on loses its generated entry in the same run, and the
    guard on removals has nothing to say to that.
    """
    files = [put(host, f"old-{number}.gguf", seed=number) for number in range(3)]
    host.write_manifest("", policy="{discover: serve}")
    host.apply()
    declared = "".join(
        f"  own-{number}:\n    source: file://{file}\n" for number, file in enumerate(files)
    )
    host.write_manifest(declared, policy="{discover: serve}")
    host.apply()
    assert keys(host) == ["own-0", "own-1", "own-2"]
    assert all(file.exists() for file in files)


def test_file_that_a_plan_takes_away_is_not_discovered(host: Sandbox) -> None:
    """A model that leaves the manifest goes to the trash; it does not come back as found."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT, policy="{discover: serve}")
    host.apply()
    host.write_manifest("", policy="{discover: serve}")
    host.apply("--allow-prune")
    assert host.config.read_text() == CONFIG
    assert host.plan()["actions"] == []


def test_many_generated_entries_never_go_silently(host: Sandbox) -> None:
    """A folder that is not there takes no entries with it, unless that is meant; so does switching
    the policy off.
    """
    host.write_manifest("", policy="{discover: serve}")
    for number in range(4):
        put(host, f"disk/old-{number}.gguf", seed=number)
    put(host, "kept.gguf")
    host.apply()
    config = host.config.read_text()
    (host.models / "disk").rename(host.home / "unplugged")
    refused = host.run("--yes")
    assert (refused.code, "4 of 5 entries" in refused.err) == (1, True)
    assert host.config.read_text() == config
    (host.home / "unplugged").rename(host.models / "disk")
    assert host.plan()["actions"] == []
    host.write_manifest("")
    assert host.run("--yes").code == 1
    host.apply("--allow-prune")
    assert host.config.read_text() == CONFIG


def test_link_that_goes_is_a_file_that_goes(host: Sandbox) -> None:
    """A link to a model is served as the file it stands for, and goes when it leads nowhere."""
    target = put(host, ".store/blob")
    link = host.models / "linked.gguf"
    link.symlink_to(target)
    host.write_manifest("", policy="{discover: serve}")
    host.apply()
    assert keys(host) == ["linked"]
    target.unlink()
    host.apply()
    assert host.config.read_text() == CONFIG


def test_plan_that_was_remembered_sees_a_new_file(host: Sandbox) -> None:
    """A plan that found nothing to do is no reason to overlook a file that came since."""
    host.write_manifest("", policy="{discover: serve}")
    put(host, "deep/down/one.gguf")
    host.apply()
    for _ in range(3):
        assert host.run("--plan").out.startswith("In sync")
    put(host, "deep/down/two.gguf")
    assert "+ deep/down/two" in host.run("--plan").out


@pytest.mark.parametrize("policy", ["report", "serve"])
def test_headers_of_undeclared_files_are_read_once(host: Sandbox, policy: str) -> None:
    """After a run a plan reads no header that it has read: it tells the same without, and looks
    again at a file that changed, or that nobody could read.
    """
    host.write_manifest("", policy=f"{{discover: {policy}}}")
    old = put(host, "old.gguf")
    put(host, "torn.gguf", b"GGUF\x03\0\0\0torn")
    put(host, "words.gguf", b"these are no weights")
    host.apply()
    told, stamps = listed(host), {path: path.stat() for path in host.models.glob("*.gguf")}
    assert told["old.gguf"]["architecture"] == "llama"
    # As long as before and of the same time: what is told of them now was remembered.
    for path, stamp in stamps.items():
        path.write_bytes(bytes(stamp.st_size))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert listed(host) == told
    old.write_bytes(tiny_model("old", payload_bytes=5000, seed=1, quant_file_type=7))
    assert listed(host)["old.gguf"]["quant"] == "Q8_0"


def test_served_file_that_is_being_written_anew_keeps_its_entry(host: Sandbox) -> None:
    """A header that is torn for the moment takes no entry out that was there before."""
    host.write_manifest("", policy="{discover: serve}")
    old = put(host, "old.gguf")
    host.apply()
    old.write_bytes(b"GGUF\x03\0\0\0torn")
    for _ in range(2):
        assert host.plan()["actions"] == []
        host.apply()
    assert keys(host) == ["old"]


@pytest.mark.parametrize("with_copy", [True, False])
def test_generated_entry_is_ours_again_after_a_lost_inventory(
    host: Sandbox, with_copy: bool
) -> None:
    """An entry that reads word for word as the generated one is known, whether its file is still
    there or not, and goes with it; one that somebody edited is theirs.
    """
    host.write_manifest("", policy="{discover: serve}")
    gone = put(host, "deep/down/old-Q4_K_M.gguf")
    put(host, "deep/down/mmproj-F16.gguf")
    kept = put(host, "kept.gguf")
    put(host, "edited.gguf")
    host.apply()
    edited = host.config.read_text().replace("edited.gguf", "edited.gguf -ngl 9")
    host.config.write_text(edited)
    state = host.models / ".reconciler"
    if with_copy:
        (state / "inventory.db").unlink()
    else:
        shutil.rmtree(state)
    assert host.plan()["actions"] == []
    gone.unlink()
    host.apply()
    assert keys(host) == ["edited", "kept"]
    assert "edited.gguf -ngl 9" in host.config.read_text()
    kept.unlink()
    host.apply()
    assert keys(host) == ["edited"]


def test_entry_of_somebody_else_is_not_taken_for_a_generated_one(host: Sandbox) -> None:
    """Another name, another command or one more field: it was never generated, and stays."""
    host.write_manifest("", policy="{discover: serve}")
    put(host, "ours.gguf")
    host.apply()
    ours = read_config(host.config.read_bytes(), "config").models["ours"].fields["cmd"].value
    assert isinstance(ours, str)
    commands = {name: ours.replace("ours.gguf", f"{name}.gguf") for name in ("one", "two", "three")}
    for name in commands:
        put(host, f"{name}.gguf")
    host.config.write_text(
        f"{host.config.read_text()}"
        f"  uno:\n    cmd: {json.dumps(commands['one'])}\n"
        f"  two:\n    cmd: {json.dumps(commands['two'] + ' -c 4096')}\n"
        f"  three:\n    cmd: {json.dumps(commands['three'])}\n    ttl: 7\n"
    )
    host.apply()
    put(host, "words.txt", b"so the folder is not empty")
    (host.models / ".reconciler" / "inventory.db").unlink()
    for name in (*commands, "ours"):
        (host.models / f"{name}.gguf").unlink()
    host.apply()
    assert keys(host) == ["uno", "two", "three"]
