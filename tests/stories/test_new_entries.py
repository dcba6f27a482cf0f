"""What a model can do, read from its own file; and which llama-swap decides what may be written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.yamltext.config import read_config
from reconciler.demo.gguf_bytes import tiny_mmproj, tiny_model
from reconciler.engine.prepared import Options
from reconciler.engine.reconcile import prepare
from tests.support.fuse import opened
from tests.support.llama_swap_process import local_llama_swap
from tests.support.sandbox import CONFIG, Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
SERVED = CHAT + "    serve: {%s}\n"
PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
TEMPLATE = "{% for tool in tools %}{{ tool }}{% endfor %}"
LATER = "capabilities follow with the file"


def add(
    host: Sandbox, *, seed: int = 1, template: str | None = TEMPLATE, eyes: bool = False
) -> Any:
    """Give the hub a model whose template knows tools; gives its files."""
    data = tiny_model("chat", payload_bytes=9_000, seed=seed, chat_template=template)
    files = {"chat-Q4_K_M.gguf": data}
    if eyes:
        files["mmproj-F16.gguf"] = tiny_mmproj("chat", payload_bytes=900, seed=seed)
    host.hub.add_commit("acme/chat-GGUF", files)
    return files


def told(host: Sandbox) -> Any:
    """Give the entry's capabilities as they stand in the config; None without."""
    fields = read_config(host.config.read_bytes(), "config").models["chat"].fields
    return fields["capabilities"].value if "capabilities" in fields else None


def test_new_model_says_what_it_can(host: Sandbox) -> None:
    """The first plan says that the file will be read; the run reads it before it writes the config,
    once; the next run finds nothing to do; and the entry goes whole.
    """
    add(host)
    host.write_manifest(CHAT)
    (action,) = [each for each in host.plan()["actions"] if each["action"] == "set_entry"]
    assert action["reason"] == f"no entry yet; {LATER}"
    host.apply()
    assert told(host) == {"in": ["text"], "out": ["text"], "tools": True, "context": 4096}
    before = host.snapshot(with_state=False)
    host.apply()
    assert host.snapshot(with_state=False) == before
    assert host.plan()["drift"] == []
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == CONFIG


def test_what_lies_here_already_is_read_for_the_first_plan(host: Sandbox) -> None:
    """A file at its place is read at once, so the plan shows the whole entry."""
    files = add(host)
    host.write_manifest(CHAT)
    (host.models / PATH).parent.mkdir(parents=True)
    (host.models / PATH).write_bytes(files["chat-Q4_K_M.gguf"])
    (action,) = [each for each in host.plan()["actions"] if each["action"] == "set_entry"]
    assert [change["key"] for change in action["changes"]] == ["cmd", "capabilities"]
    assert action["reason"] == "no entry yet"


def test_projector_lets_it_see(host: Sandbox) -> None:
    """With its projector a model sees, and the config says so."""
    add(host, eyes=True)
    host.write_manifest(CHAT + "    mmproj: auto\n")
    host.apply()
    assert told(host)["in"] == ["text", "image"]


def test_new_bytes_bring_them_up_to_date(host: Sandbox) -> None:
    """An update whose template knows tools no more changes the entry with the file."""
    add(host)
    host.write_manifest(CHAT)
    host.apply()
    add(host, seed=2, template=None)
    assert host.run("update", "chat").code == 0
    host.apply()
    assert told(host) == {"in": ["text"], "out": ["text"], "context": 4096}
    assert host.plan()["actions"] == []


def test_header_that_cannot_be_read_is_no_obstacle(host: Sandbox) -> None:
    """Bytes that match the lock are served whatever their header says; nothing is said of them."""
    host.hub.add_commit("acme/chat-GGUF", {"chat-Q4_K_M.gguf": b"GGUF" + bytes(4000)})
    host.write_manifest(CHAT)
    result = host.apply()
    assert "header cannot be read" in result.err
    assert told(host) is None
    assert host.plan()["actions"] == []


def test_edit_of_what_nobody_declared_is_told_once_and_left(host: Sandbox) -> None:
    """Both values are told, with the line and where ours came from; after a run it is theirs."""
    add(host)
    host.write_manifest(CHAT)
    host.apply()
    text = host.config.read_text()
    host.config.write_text(text.replace("context: 4096", "context: 2048"))
    plan = host.plan()
    (drift,) = plan["drift"]
    assert plan["actions"] == []
    assert drift["key"] == "capabilities"
    assert (drift["found"]["context"], drift["wrote"]["context"]) == (2048, 4096)
    assert (drift["origin"], drift["kept"]) == ("file", True)
    host.apply()
    assert host.plan()["drift"] == []
    assert told(host)["context"] == 2048


def test_edit_of_what_is_declared_is_set_right_and_told(host: Sandbox) -> None:
    """The drift names the preset that the value comes from."""
    add(host)
    host.write_manifest(SERVED % "name: C")
    manifest = host.manifest.read_text().replace("    serve:", "    preset: brief\n    serve:")
    host.manifest.write_text(manifest + "presets: {brief: {serve: {ttl: 60}}}\n")
    host.apply()
    host.config.write_text(host.config.read_text().replace("ttl: 60", "ttl: 5"))
    (drift,) = host.plan()["drift"]
    line = host.config.read_text().split("ttl: 5")[0].count("\n") + 1
    assert drift == {
        "model": "chat",
        "message": f"ttl was edited by hand (line {line}): 5 instead of 60 (preset brief)",
        "key": "ttl",
        "found": 5,
        "wrote": 60,
        "line": line,
        "origin": "preset brief",
        "kept": False,
    }
    assert "5 instead of 60 (preset brief)" in host.run("status").out
    host.apply()
    assert "ttl: 60" in host.config.read_text()


@pytest.mark.parametrize(("behave", "refused"), [("2025", False), ("2026", True)])
def test_llama_swap_that_runs_decides(host: Sandbox, behave: str, refused: bool) -> None:
    """A value that only the 2026 builds refuse is refused where one runs, with the manifest's line,
    and written where an older one says that it runs; that one gets no capabilities.
    """
    add(host)
    host.write_manifest(SERVED % "ttl: -2")
    with local_llama_swap(host.config, behave=behave) as url:
        host.settings["RECONCILER_LLAMA_SWAP_URL"] = url
        result = host.run("--yes")
    assert result.code == int(refused)
    if refused:
        assert "home.yaml:3: llama-swap would refuse the config: models.chat.ttl" in result.err
        assert host.config.read_text() == CONFIG
    else:
        assert "ttl: -2" in host.config.read_text()
        assert told(host) is None


def test_version_that_nobody_tells_is_the_newest(host: Sandbox) -> None:
    """Without an answer what the newest build refuses is refused; a null takes nothing out."""
    add(host)
    host.write_manifest(SERVED % "ttl: -2")
    assert host.run("--yes").code == 1
    host.write_manifest(SERVED % "ttl: -1, capabilities: null")
    host.apply()
    assert told(host) is None


class _Counted:
    """A port that says what is asked of it."""

    def __init__(self, port: Any, asked: list[str]) -> None:
        self._port = port
        self._asked = asked

    def __getattr__(self, what: str) -> Any:
        self._asked.append(what)
        return getattr(self._port, what)


def test_plan_with_nothing_to_do_asks_nobody_and_reads_no_file(host: Sandbox) -> None:
    """llama-swap is asked for its version, and headers are read, only where an entry changes."""
    add(host)
    host.settings["RECONCILER_LLAMA_SWAP_URL"] = "http://127.0.0.1:9"
    host.write_manifest(CHAT)

    def asked() -> tuple[bool, bool, bool]:
        urls: list[str] = []
        folder: list[str] = []
        inventory: list[str] = []
        with opened(host) as (real, manifest):

            def server(url: str) -> Any:
                urls.append(url)
                return real.open_server(url)

            ports: dict[str, Any] = {
                "folder": _Counted(real.folder, folder),
                "inventory": _Counted(real.inventory, inventory),
            }
            watched = replace(real, open_server=server, **ports)
            prepare(watched, manifest, Options(runtime_named=True))
        read = bool({"reading", "reading_kept"} & set(folder))
        return bool(urls), read, "contents" in inventory

    assert asked() == (True, False, True)
    host.apply()
    assert asked() == (False, False, False)
    host.write_manifest(SERVED % "ttl: 5")
    assert asked() == (True, False, True)
    host.write_manifest(CHAT + "    enabled: false\n")
    host.apply()
    host.write_manifest("")
    assert asked() == (False, False, False), "its entry is gone already, and its file alone goes"
