"""What goes wrong for people: a clear error, the right exit code, and nothing lost."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess

import pytest

from reconciler.demo.hub_faults import Cut, Fault, FlipByte, Reply, Stall
from tests.support.rot import flip
from tests.support.sandbox import CONFIG, Sandbox
from tests.support.waiting import wait_for

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
CODE_PATH = "acme/code-GGUF/code-Q4_K_M.gguf"


def test_wrong_manifest_names_every_fault_and_touches_nothing(host: Sandbox) -> None:
    """A manifest wrong in three places exits 2, names all three with their lines, and nothing on
    the host is touched, nor the network asked.
    """
    host.manifest.write_text(
        "version: 1\nmodels:\n  chat:\n    sorce: acme/chat-GGUF:Q4_K_M\n"
        "  code:\n    source: 'no source'\n    enabled: maybe\n"
    )
    before = host.snapshot()
    result = host.run("--yes")
    assert result.code == 2
    for place in ("home.yaml:4:", "home.yaml:6:", "home.yaml:7:"):
        assert place in result.err
    assert "source" in result.err
    assert "Traceback" not in result.err
    assert host.snapshot() == before
    assert host.hub.requests == ()


def test_missing_manifest_is_never_an_empty_one(host: Sandbox) -> None:
    """A manifest that is not there, or a folder without one, is an error, and removes nothing."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    before = host.snapshot()
    host.manifest.rename(host.home / "elsewhere.yaml")
    assert host.run("--yes", "--allow-prune").code == 2
    assert host.run("--yes", "--allow-prune", "-m", str(host.manifest.parent)).code == 2
    (host.home / "elsewhere.yaml").rename(host.manifest)
    assert host.snapshot() == before


def test_models_folder_that_is_gone_stops_the_run(host: Sandbox) -> None:
    """A models folder that is not there (an unplugged disk) stops the run; it is not made."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.models.rmdir()
    result = host.run("--yes")
    assert (result.code, "is not there" in result.err) == (1, True)
    assert not host.models.exists()


def test_one_failing_model_does_not_stop_the_others(host: Sandbox) -> None:
    """A repository that does not exist stalls its model alone: exit 4, the other one is served."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT + "  ghost:\n    source: acme/ghost-GGUF:Q4_K_M\n")
    plan = host.run("--plan", "--json")
    assert plan.code == 1
    assert list(plan.json["stalled"]) == ["ghost"]
    result = host.run("--yes")
    assert result.code == 4
    assert CHAT_PATH in host.model_files()
    assert "ghost" not in host.config.read_text()


def test_failing_update_keeps_the_old_bytes_and_entry(host: Sandbox) -> None:
    """When an update cannot be fetched, the model stays as it was, and the others go on."""
    old = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.add_repo("acme/code-GGUF", seed=7)
    host.write_manifest(CHAT)
    host.apply()
    config = host.config.read_text()
    host.add_repo("acme/chat-GGUF", seed=2)
    host.run("update", "--all")
    host.hub.faults.add(
        Fault(effect=FlipByte(at_byte=5000), path="*chat-Q4_K_M*", origin="cdn", times=99)
    )
    host.write_manifest(CHAT + CODE)
    result = host.run("--yes")
    assert result.code == 4, result.err
    assert "chat" in result.err
    assert host.model_files()[CHAT_PATH] == old
    assert CODE_PATH in host.model_files()
    assert host.config.read_text().startswith(config)


def test_hub_that_is_down_is_said_and_loses_nothing(host: Sandbox) -> None:
    """With the hub gone a plan that needs it says so, names the next step and changes nothing."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    before = host.snapshot(with_state=False)
    host.write_manifest(CHAT + CODE)
    host.settings["HF_ENDPOINT"] = "http://127.0.0.1:9"
    result = host.run("--yes", "--offline")
    assert result.code == 4
    assert "Traceback" not in result.err
    changed = {
        path for path, kept in host.snapshot(with_state=False).items() if before.get(path) != kept
    }
    assert changed == {"manifests/home.yaml"}


def test_interrupted_download_goes_on_where_it_stood(host: Sandbox) -> None:
    """A process killed outright in the middle of a download leaves no file under its final name;
    the next run asks only for the bytes that are missing.
    """
    data = host.add_repo("acme/chat-GGUF", size=3_000_000)["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    host.hub.faults.add(Fault(effect=Stall(after_bytes=2_000_000), origin="cdn"))
    process = host.start("--yes")
    wait_for(lambda: host.partial_bytes() >= 1_000_000, "a third of the file")
    process.kill()
    process.communicate()
    host.hub.release_stalled()
    assert host.model_files() == {}
    host.hub.forget_requests()
    host.apply()
    assert host.model_files()[CHAT_PATH] == data
    sent = sum(item.sent_bytes for item in host.hub.requests if item.origin == "cdn")
    assert 0 < sent <= len(data) - 1_000_000


def test_interrupt_by_a_person_exits_130_and_keeps_the_partial(host: Sandbox) -> None:
    """Ctrl-C while a file is fetched exits 130 without a traceback and keeps what arrived."""
    host.add_repo("acme/chat-GGUF", size=3_000_000)
    host.write_manifest(CHAT)
    host.hub.faults.add(Fault(effect=Stall(after_bytes=2_000_000), origin="cdn"))
    process = host.start("--yes")
    wait_for(lambda: host.partial_bytes() > 0, "the first bytes")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    host.hub.release_stalled()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert host.partial_bytes() > 0


def test_connection_that_breaks_is_continued_in_the_same_run(host: Sandbox) -> None:
    """A connection cut in the middle costs a retry, not the run."""
    data = host.add_repo("acme/chat-GGUF", size=1_000_000)["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    host.hub.faults.add(Fault(effect=Cut(after_bytes=500_000), origin="cdn"))
    host.apply()
    assert host.model_files()[CHAT_PATH] == data


def test_upstream_that_differs_from_the_lock_is_never_placed(host: Sandbox) -> None:
    """Bytes that are not the locked ones never appear under the final name; the message says that
    upstream differs.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.hub.faults.add(
        Fault(effect=FlipByte(at_byte=5000), path="*chat-Q4_K_M*", origin="cdn", times=99)
    )
    result = host.run("--yes")
    assert result.code == 4
    assert "differs from the lock" in result.err
    assert host.model_files() == {}
    assert host.config.read_text() == CONFIG


def test_gated_repository_says_where_to_accept_its_terms(host: Sandbox) -> None:
    """A gated repository stalls its model, and the message leads to its page."""
    host.add_repo("acme/chat-GGUF")
    host.hub.gate("acme/chat-GGUF")
    host.write_manifest(CHAT)
    result = host.run("--yes")
    assert result.code == 4
    assert f"{host.hub.url}/acme/chat-GGUF" in result.out + result.err


def test_other_bytes_at_a_wanted_path_are_never_overwritten(host: Sandbox) -> None:
    """A file that we did not bring, with other bytes, stays; its model is refused by name."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    foreign = host.models / CHAT_PATH
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody's own work")
    result = host.run("--yes")
    assert (result.code, CHAT_PATH in result.out) == (4, True)
    assert foreign.read_bytes() == b"somebody's own work"
    assert host.config.read_text() == CONFIG


def test_damaged_file_of_ours_is_found_and_brought_again(host: Sandbox) -> None:
    """`verify` finds a flipped byte even where size and time are as before (exit 3); the next run
    brings the right bytes back.
    """
    data = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    host.apply()
    path = host.models / CHAT_PATH
    flip(path, 20_000)
    assert host.run("verify").code == 3
    host.apply()
    assert path.read_bytes() == data
    assert host.run("verify").code == 0


def test_guard_stops_removals_that_are_too_many_to_be_meant(host: Sandbox) -> None:
    """Two of four models at once pass no guard of 25 %; one does; --allow-prune lifts it."""
    body = {}
    for number, name in enumerate(("a", "b", "c", "d")):
        host.add_repo(f"acme/{name}-GGUF", seed=number)
        body[name] = f"  {name}:\n    source: acme/{name}-GGUF:Q4_K_M\n"
    host.write_manifest("".join(body.values()))
    host.apply()
    before = host.snapshot(with_state=False)
    host.write_manifest(body["a"] + body["b"])
    refused = host.run("--yes")
    assert (refused.code, "max_prune" in refused.out + refused.err) == (1, True)
    assert host.run("--plan").code == 1
    after = host.snapshot(with_state=False)
    assert {k: v for k, v in after.items() if "manifests" not in k} == {
        k: v for k, v in before.items() if "manifests" not in k
    }
    host.write_manifest(body["a"] + body["b"] + body["c"])
    host.apply()
    host.write_manifest(body["a"])
    host.apply("--allow-prune")
    assert [p for p in host.model_files() if p.endswith(".gguf")] == ["acme/a-GGUF/a-Q4_K_M.gguf"]


def test_empty_manifest_needs_a_second_word(host: Sandbox) -> None:
    """Taking the last model out is refused without --allow-prune."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    host.write_manifest("")
    assert host.run("--yes").code == 1
    assert CHAT_PATH in host.model_files()


def test_protected_model_stays_whatever_is_allowed(host: Sandbox) -> None:
    """`protect` outlives its own line in the manifest: only `protect: false`, applied, lifts it."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + "    protect: true\n" + CODE)
    host.apply()
    host.write_manifest(CODE)
    assert host.run("--yes", "--allow-prune").code == 1
    assert CHAT_PATH in host.model_files()
    host.write_manifest(CHAT + "    protect: false\n" + CODE)
    host.apply()
    host.write_manifest(CODE)
    host.apply()
    assert CHAT_PATH not in host.model_files()


def test_nobody_to_ask_means_no(host: Sandbox) -> None:
    """Without a terminal and without --yes, additions are applied, removals are not."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    assert host.run().code == 0
    host.write_manifest(CHAT)
    declined = host.run()
    assert (declined.code, "--yes" in declined.err) == (1, True)
    assert CODE_PATH in host.model_files()


def test_model_that_something_else_needs_is_not_taken_out(host: Sandbox) -> None:
    """A removal that would leave a selector without any target is refused, with the line."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    host.config.write_text(host.config.read_text() + "selectors:\n  s:\n    targets: [chat]\n")
    line = host.config.read_text().splitlines().index("    targets: [chat]") + 1
    host.write_manifest(CODE)
    refused = host.run("--yes")
    assert refused.code == 1
    assert f"config.yaml:{line}" in refused.out + refused.err
    assert "chat" in host.config.read_text()


def test_config_that_is_no_yaml_is_refused_with_its_line(host: Sandbox) -> None:
    """A config that cannot be read is told with its place and left as it is."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    broken = "models:\n  a: [\n"
    host.config.write_text(broken)
    result = host.run("--yes")
    assert (result.code, "config.yaml:" in result.err) == (1, True)
    assert host.config.read_text() == broken


def test_rate_limit_is_waited_out(host: Sandbox) -> None:
    """A 429 that says when to come back costs that time, not the run."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.hub.faults.add(
        Fault(effect=Reply(status=429, headers={"Retry-After": "0"}), origin="hub", times=1)
    )
    host.apply()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")
def test_full_disk_is_said_before_the_first_byte(host: Sandbox) -> None:
    """A plan that needs more room than there is is refused, saying how much is missing."""
    host.add_repo("acme/chat-GGUF", size=4_000_000)
    host.write_manifest(CHAT)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(host.models)], check=True)
    try:
        result = host.run("--yes")
        assert (result.code, "has no room" in result.err) == (1, True)
        assert host.model_files() == {}
    finally:
        subprocess.run(["umount", str(host.models)], check=True)


def test_second_run_waits_for_the_first_and_says_who_it_is(host: Sandbox) -> None:
    """While one run is at work another one waits, then exits 1 naming the holder; a plan never
    waits; and the lock ends with its process, however that ends.
    """
    host.add_repo("acme/chat-GGUF", size=3_000_000)
    host.write_manifest(CHAT)
    host.hub.faults.add(Fault(effect=Stall(after_bytes=100_000), origin="cdn"))
    process = host.start("--yes")
    host.hub.wait_until_stalled()
    waiting = host.run("--yes", "--lock-timeout", "0.2")
    assert (waiting.code, f"process {process.pid}" in waiting.err) == (1, True)
    assert host.run("--plan").code == 0
    process.kill()
    process.communicate()
    host.hub.release_stalled()
    host.apply()


def test_digest_of_an_unchanged_lock_is_stable(host: Sandbox) -> None:
    """The lock's bytes are the same wherever they are made."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.run("lock")
    first = hashlib.sha256(host.lock.read_bytes()).hexdigest()
    host.lock.unlink()
    host.run("lock")
    assert hashlib.sha256(host.lock.read_bytes()).hexdigest() == first


def test_engine_that_does_not_answer_is_told_and_not_passed_over(host: Sandbox) -> None:
    """Docker is there but does not talk to us (a user without the right to): said with the next
    step, before llama-swap is taken to run outside a container. No Docker at all is not worth a
    word.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.settings["RECONCILER_RUNTIME"] = ""
    socket = host.home / "docker.sock"
    host.settings["DOCKER_HOST"] = f"unix://{socket}"
    assert "Docker" not in host.run("--plan").err
    socket.touch()
    told = host.run("--plan").err
    assert "taken to run outside Docker" in told
    assert "--runtime none" in told
