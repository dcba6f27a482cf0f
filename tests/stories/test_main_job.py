"""The main job from end to end: a manifest, a hub, a config, and what becomes of them."""

from __future__ import annotations

import hashlib
import json
import subprocess

from tests.support.hub import sharded_model
from tests.support.sandbox import CONFIG, Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
CODE_PATH = "acme/code-GGUF/code-Q4_K_M.gguf"


def test_apply_brings_verified_files_and_only_adds_to_the_config(host: Sandbox) -> None:
    """A first run brings the locked bytes, stamps them, and adds to the config, nothing else."""
    files = host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    data = files["chat-Q4_K_M.gguf"]
    digest = hashlib.sha256(data).hexdigest()
    assert host.model_files() == {
        CHAT_PATH: data,
        f"{CHAT_PATH}.sha256": f"{digest}  chat-Q4_K_M.gguf\n".encode(),
    }
    config = host.config.read_text()
    assert config.startswith(CONFIG)
    assert f"-m {host.models}/{CHAT_PATH}" in config
    pinned = json.loads(host.lock.read_text())["models"]["chat"]["parts"][0]["files"][0]
    assert (pinned["sha256"], pinned["size"]) == (digest, len(data))


def test_stamps_are_what_sha256sum_checks(host: Sandbox) -> None:
    """`sha256sum -c` accepts the `.sha256` file beside a model."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    folder = (host.models / CHAT_PATH).parent
    checked = subprocess.run(
        ["sha256sum", "-c", "chat-Q4_K_M.gguf.sha256"], cwd=folder, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_second_run_changes_nothing_but_its_own_record(host: Sandbox) -> None:
    """With nothing to do no file outside our state changes, not even a time, and no request is
    made; the run itself is recorded.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    before = host.snapshot(with_state=False)
    host.hub.forget_requests()
    result = host.apply()
    assert "nothing to do" in result.out
    assert host.snapshot(with_state=False) == before
    assert host.hub.requests == ()
    assert host.plan()["actions"] == []


def test_dry_run_writes_only_the_digest_cache(host: Sandbox) -> None:
    """`--plan` writes neither lock nor inventory nor anything else on the host, whatever it finds,
    and with `--detailed-exitcode` says by 3 that changes are pending.
    """
    files = host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    found = host.models / CHAT_PATH
    found.parent.mkdir(parents=True)
    found.write_bytes(files["chat-Q4_K_M.gguf"])
    before = host.snapshot()
    assert host.run("--plan").code == 0
    assert host.run("--plan", "--detailed-exitcode").code == 3
    assert host.snapshot() == before
    assert (host.home / "cache" / "reconciler" / "digests.db").exists()


def test_dry_run_leaves_no_trace_in_an_applied_host(host: Sandbox) -> None:
    """Reading the inventory for a plan leaves its folder as it was, to the last file."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    before = host.snapshot()
    assert host.run("--plan").code == 0
    assert host.run("status").code == 0
    assert host.snapshot() == before


def test_unchanged_file_is_not_hashed_twice(host: Sandbox) -> None:
    """What was hashed while it was fetched is never read again; the log would tell."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    assert "hashing" not in host.apply().err
    (host.models / CHAT_PATH).touch()
    assert "hashing chat-Q4_K_M.gguf" in host.apply().err
    assert "hashing" not in host.apply().err


def test_upstream_moving_changes_nothing_until_update(host: Sandbox) -> None:
    """A plan never moves a pin; `update` does, and only then are the new bytes brought, while the
    old ones go to the trash.
    """
    old = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    host.apply()
    lock = host.lock.read_bytes()
    new = host.add_repo("acme/chat-GGUF", seed=2)["chat-Q4_K_M.gguf"]
    assert host.plan()["actions"] == []
    host.apply()
    assert host.lock.read_bytes() == lock
    assert host.run("update", "chat").code == 0
    assert host.lock.read_bytes() != lock
    assert [item["action"] for item in host.plan()["actions"]] == ["download", "replace"]
    host.apply()
    assert host.model_files()[CHAT_PATH] == new
    trashed = list((host.models / ".reconciler" / "trash").rglob("*.gguf"))
    assert [path.read_bytes() for path in trashed] == [old]


def test_update_without_a_choice_is_a_usage_error(host: Sandbox) -> None:
    """`update` alone changes nothing and exits 2; a wrong name is told with the nearest one."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    lock = host.lock.read_bytes()
    assert host.run("update").code == 2
    wrong = host.run("update", "caht")
    assert (wrong.code, "did you mean 'chat'" in wrong.err) == (2, True)
    assert host.lock.read_bytes() == lock


def test_commit_that_changes_no_digest_moves_no_pin(host: Sandbox) -> None:
    """A new README upstream is no new model: `update --all` leaves the lock as it is."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    lock = host.lock.read_bytes()
    host.hub.add_commit("acme/chat-GGUF", {"README.md": b"better words"})
    result = host.run("update", "--all")
    assert (result.code, "nothing to change" in result.out) == (0, True)
    assert host.lock.read_bytes() == lock


def test_taking_everything_out_gives_the_old_config_back(host: Sandbox) -> None:
    """With the last model gone the config is the old one byte for byte, our files are in the trash,
    and a file that was here before us stays where it was.
    """
    files = host.add_repo("acme/chat-GGUF") | host.add_repo("acme/code-GGUF", seed=2)
    found = host.models / CODE_PATH
    found.parent.mkdir(parents=True)
    found.write_bytes(files["code-Q4_K_M.gguf"])
    before = host.snapshot(with_state=False)
    host.write_manifest(CHAT + CODE)
    host.apply()
    assert len(host.model_files()) == 3
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == CONFIG
    assert host.model_files() == {CODE_PATH: files["code-Q4_K_M.gguf"]}
    after = host.snapshot(with_state=False)
    assert after[f"models/{CODE_PATH}"] == before[f"models/{CODE_PATH}"]
    assert host.plan()["actions"] == []


def test_entry_of_somebody_else_gets_its_bytes_back(host: Sandbox) -> None:
    """A model whose entry stood there before us: only declared fields and the path change, and the
    old bytes come back when it goes.
    """
    host.add_repo("acme/chat-GGUF")
    theirs = CONFIG + (
        '  "chat":\n    cmd: >\n      llama-server   --port ${PORT}\n'
        "      -m /old/chat.gguf -c 4096\n"
        "    ttl: 77   # seconds\n    name: My chat\n"
    )
    host.config.write_text(theirs)
    host.write_manifest(CHAT + "    serve:\n      ttl: 300\n")
    host.apply()
    changed = theirs.replace("/old/chat.gguf", f"{host.models}/{CHAT_PATH}").replace("77", "300")
    assert host.config.read_text() == changed
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == theirs


def test_one_file_for_two_models_is_fetched_once_and_kept_for_the_other(host: Sandbox) -> None:
    """A file two models want is fetched once, and pruned only when neither wants it."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT + CHAT.replace("chat:", "twin:", 1))
    host.hub.forget_requests()
    host.apply()
    bodies = [item for item in host.hub.requests if item.origin == "cdn"]
    assert len(bodies) == 1
    host.write_manifest(CHAT)
    host.apply()
    assert CHAT_PATH in host.model_files()


def test_split_model_and_mmproj_are_one_set(host: Sandbox) -> None:
    """All shards and the mmproj are placed under their own names; the command names shard 1."""
    shards = sharded_model("big-Q4_K_M", shards=3, payload_bytes=20_000, seed=5)
    host.hub.add_commit("acme/big-GGUF", {**shards, "mmproj-F16.gguf": b"GGUF mmproj"})
    host.write_manifest("  big:\n    source: acme/big-GGUF:Q4_K_M\n    mmproj: auto\n")
    host.apply()
    placed = {path for path in host.model_files() if path.endswith(".gguf")}
    assert placed == {f"acme/big-GGUF/{name}" for name in (*shards, "mmproj-F16.gguf")}
    config = host.config.read_text()
    assert "big-Q4_K_M-00001-of-00003.gguf" in config
    assert "-00002-of-" not in config
    assert "--mmproj" in config


def test_local_file_and_plain_url_are_sources_too(host: Sandbox) -> None:
    """A file of this machine is copied in, a plain URL is fetched, both proven by sha256."""
    data, other = b"GGUF local bytes" * 999, b"GGUF from a mirror" * 999
    local = host.home / "old-disk" / "phi.gguf"
    local.parent.mkdir()
    local.write_bytes(data)
    url = host.hub.add_plain("/files/mirrored.gguf", other)
    host.write_manifest(
        f"  phi:\n    source: file://{local}\n"
        f"  far:\n    source: {url}\n    sha256: {hashlib.sha256(other).hexdigest()}\n"
    )
    host.apply()
    bytes_there = [data for path, data in host.model_files().items() if path.endswith(".gguf")]
    assert sorted(bytes_there) == sorted([data, other])
    assert local.read_bytes() == data
    assert host.plan()["actions"] == []


def test_disabled_model_keeps_its_bytes_and_loses_its_entry(host: Sandbox) -> None:
    """`enabled: false` fetches nothing, drops the entry and keeps files and pin."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    lock = host.lock.read_bytes()
    host.write_manifest(CHAT + "    enabled: false\n")
    host.apply()
    assert host.config.read_text() == CONFIG
    assert CHAT_PATH in host.model_files()
    assert host.lock.read_bytes() == lock
    host.hub.forget_requests()
    host.write_manifest(CHAT)
    host.apply()
    assert CHAT_PATH in host.config.read_text()
    assert host.hub.requests == ()


def test_hand_edit_of_an_enforced_field_is_drift_and_is_mended(host: Sandbox) -> None:
    """A declared field that somebody edited shows as drift and is enforced again; a key that we
    never wrote is left alone.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT + "    serve:\n      ttl: 300\n")
    host.apply()
    applied = host.config.read_text()
    host.config.write_text(applied.replace("ttl: 300", "ttl: 5\n    concurrencyLimit: 2"))
    plan = host.plan()
    assert "ttl" in plan["drift"][0]["message"]
    host.apply()
    assert host.config.read_text() == applied.replace(
        "ttl: 300", "ttl: 300\n    concurrencyLimit: 2"
    )


def test_locked_run_refuses_a_missing_pin(host: Sandbox) -> None:
    """`--locked` never adds a pin; `lock` adds it, `lock --check` tells by 3, and then it works."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    refused = host.run("--yes", "--locked")
    assert (refused.code, "reconcile lock" in refused.err) == (1, True)
    assert not host.lock.exists()
    assert host.run("lock", "--check").code == 3
    assert not host.lock.exists()
    assert host.run("lock").code == 0
    assert host.run("lock", "--check").code == 0
    host.apply("--locked")


def test_offline_works_from_lock_and_disk(host: Sandbox) -> None:
    """With a complete lock and the bytes on disk, `--offline` plans and applies."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    host.hub.forget_requests()
    host.write_manifest(CHAT + "    serve: {ttl: 9}\n")
    host.apply("--offline")
    assert "ttl: 9" in host.config.read_text()
    assert host.hub.requests == ()


def test_token_goes_to_the_hub_alone(host: Sandbox) -> None:
    """The token reaches the hub's own origin and never the CDN it redirects to, nor any output."""
    host.hub.add_token("hf_secretsecretsecret")
    host.add_repo("acme/chat-GGUF")
    host.settings["HF_TOKEN"] = "hf_secretsecretsecret"
    host.write_manifest(CHAT)
    result = host.apply("-v")
    sent = {
        item.origin
        for item in host.hub.requests
        if any("hf_secret" in value for value in item.headers.values())
    }
    assert sent == {"hub"}
    assert any(item.origin == "cdn" for item in host.hub.requests)
    assert "hf_secret" not in result.out + result.err + host.lock.read_text()


def test_plan_hints_at_a_projector_that_nobody_asked_for(host: Sandbox) -> None:
    """A repository with an mmproj that its model does not ask for is told once, when pinned."""
    host.add_repo("acme/chat-GGUF")
    host.hub.add_commit("acme/chat-GGUF", {"mmproj-F16.gguf": b"GGUF mmproj"})
    host.write_manifest(CHAT)
    assert "mmproj-F16.gguf too; `mmproj: auto`" in host.run("--plan").err
    host.apply()
    assert "mmproj" not in host.run("--plan").err


def test_one_digest_at_two_paths_is_fetched_once(host: Sandbox) -> None:
    """Two repositories with the same bytes: one download, two files of their own."""
    data = b"GGUF the same bytes" * 999
    for repo in ("acme/one-GGUF", "acme/two-GGUF"):
        host.hub.add_commit(repo, {"model-Q4_K_M.gguf": data})
    host.write_manifest(
        "  one:\n    source: acme/one-GGUF:Q4_K_M\n  two:\n    source: acme/two-GGUF:Q4_K_M\n"
    )
    assert host.plan()["summary"]["fetch_bytes"] == len(data)
    host.apply()
    assert len([item for item in host.hub.requests if item.origin == "cdn"]) == 1
    placed = [path for path in host.models.rglob("*.gguf") if ".reconciler" not in path.parts]
    assert [path.read_bytes() for path in placed] == [data, data]
    assert host.plan()["actions"] == []


def test_local_source_is_hashed_once(host: Sandbox) -> None:
    """Looking at an unpinned local source twice reads it once: the cache remembers its digest."""
    local = host.home / "phi.gguf"
    local.write_bytes(b"GGUF local bytes" * 999)
    host.write_manifest(f"  phi:\n    source: file://{local}\n")
    assert "hashing phi.gguf" in host.run("--plan").err
    assert "hashing" not in host.run("--plan").err
    local.touch()
    assert "hashing phi.gguf" in host.run("--plan").err


def test_models_folder_may_be_a_symlink(host: Sandbox) -> None:
    """A models folder named by a symlink, in settings and in --path-map, is the folder itself."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    link = host.home / "link"
    link.symlink_to(host.models)
    host.settings["RECONCILER_MODELS_DIR"] = str(link)
    host.apply("--path-map", f"{link}=/models")
    assert f"-m /models/{CHAT_PATH}" in host.config.read_text()
    assert CHAT_PATH in host.model_files()
