"""The watch loop as a real process over real files: save the manifest, and the host follows."""

from __future__ import annotations

from tests.support.sandbox import CONFIG, Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import serves, wait_for_line, watching

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"


def test_watch_applies_what_is_there_and_then_every_save(host: Sandbox) -> None:
    """The first pass applies the manifest as it is; an edit in place, an atomic save by rename and
    a removal are each followed.
    """
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT)
    with watching(host) as process:
        wait_for_line(process.stdout, "Applied")
        assert CHAT_PATH in host.config.read_text()
        host.write_manifest(CHAT + "    serve: {ttl: 11}\n")
        serves(host, "ttl: 11")
        atomic = host.manifest.with_name(".home.yaml.swp")
        code = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
        atomic.write_text("version: 1\nmodels:\n" + CHAT + code)
        atomic.replace(host.manifest)
        serves(host, "code-Q4_K_M.gguf")
        host.write_manifest(CHAT)
        wait_for(lambda: "code-Q4_K_M.gguf" not in host.config.read_text(), "code to go")


def test_watch_follows_a_manifest_that_is_a_link(host: Sandbox) -> None:
    """An edit of the file that the manifest links to is an edit of the manifest."""
    host.add_repo("acme/chat-GGUF")
    real = host.home / "checkout" / "home.yaml"
    real.parent.mkdir()
    real.write_text("version: 1\nmodels:\n" + CHAT)
    host.manifest.symlink_to(real)
    with watching(host) as process:
        wait_for_line(process.stdout, "Applied")
        real.write_text("version: 1\nmodels:\n" + CHAT + "    serve: {ttl: 21}\n")
        serves(host, "ttl: 21")


def test_watch_keeps_the_last_good_state_while_the_manifest_is_wrong(host: Sandbox) -> None:
    """A manifest that does not parse is told once and changes nothing; the next good one counts."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with watching(host) as process:
        wait_for_line(process.stdout, "Applied")
        good = host.config.read_text()
        host.manifest.write_text("version: 1\nmodels: [\n")
        wait_for_line(process.stderr, "last good state")
        assert host.config.read_text() == good
        host.write_manifest(CHAT + "    serve: {ttl: 12}\n")
        serves(host, "ttl: 12")


def test_watch_is_not_woken_by_its_own_lock(host: Sandbox) -> None:
    """Writing the lock beside the manifest starts no second pass: one run is recorded."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with watching(host, "--json") as process:
        wait_for_line(process.stdout, '"applied"')
        host.write_manifest(CHAT + "    serve: {ttl: 13}\n")
        assert '"applied"' in wait_for_line(process.stdout, "outcome")


def test_watch_resyncs_and_mends_drift(host: Sandbox) -> None:
    """Between events it looks by itself: a field of ours edited by hand is set right again."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT + "    serve: {ttl: 14}\n")
    host.settings["RECONCILER_RESYNC"] = "0.3"
    with watching(host) as process:
        wait_for_line(process.stdout, "Applied")
        host.config.write_text(host.config.read_text().replace("ttl: 14", "ttl: 999"))
        serves(host, "ttl: 14")


def test_watch_asks_nobody_and_still_heeds_the_guards(host: Sandbox) -> None:
    """An emptied manifest removes nothing while it is watched: the guard refuses it."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with watching(host) as process:
        wait_for_line(process.stdout, "Applied")
        host.write_manifest("")
        wait_for_line(process.stderr, "every model")
        assert host.config.read_text() != CONFIG
        assert CHAT_PATH in host.model_files()
