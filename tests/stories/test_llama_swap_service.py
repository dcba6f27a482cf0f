"""The main job where llama-swap is a service that commands reload, restart and look at."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.engine import NO_PROXY, free_port
from tests.support.hub import running_hub
from tests.support.llama_swap_service import running
from tests.support.sandbox import CONFIG, Sandbox
from tests.support.waiting import wait_for

PROJECT = Path(__file__).parents[2]
SERVICE = PROJECT / "tests" / "support" / "llama_swap_service.py"
CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"


@dataclass
class Served:
    """A host, and the service on it that runs llama-swap."""

    host: Sandbox
    folder: Path
    url: str

    @property
    def pid(self) -> int | None:
        """The service's process; None where it does not run."""
        return running(self.folder)

    def manage(self, verb: str) -> None:
        """Have the service started or stopped."""
        subprocess.run([sys.executable, SERVICE, self.folder, verb], check=True)

    def model_ids(self) -> set[str]:
        """Give what llama-swap lists now."""
        with NO_PROXY.open(f"{self.url}/v1/models", timeout=5) as answer:
            return {item["id"] for item in json.load(answer)["data"]}


@pytest.fixture(params=["2026"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    """Run the stand-in, of the version that the test is for, as a service of this host."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/code-GGUF", seed=2)
        folder, port = tmp_path / "service", free_port()
        folder.mkdir()
        words = ["env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "tests.support.llama_swap"]
        words += ["-config", str(host.config), "-listen", f"127.0.0.1:{port}"]
        (folder / "command").write_text("\n".join([*words, "-behave", request.param]))
        ask = shlex.join([sys.executable, str(SERVICE), str(folder)])
        served = Served(host=host, folder=folder, url=f"http://127.0.0.1:{port}")
        host.settings = {
            "RECONCILER_RUNTIME": "command",
            "RECONCILER_LLAMA_SWAP_URL": served.url,
            "RECONCILER_RELOAD_COMMAND": f"{ask} reload" if request.param == "2026" else "",
            "RECONCILER_RESTART_COMMAND": f"{ask} restart",
            "RECONCILER_HEALTH_COMMAND": f"{ask} status",
            "RECONCILER_LOG_COMMAND": f"{ask} log",
            "RECONCILER_HEALTH_TIMEOUT": "10",
        }
        served.manage("start")
        try:
            wait_for(lambda: _answers(served.url), "the service")
            yield served
        finally:
            served.manage("stop")


def _answers(url: str) -> bool:
    try:
        with NO_PROXY.open(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_service_is_reloaded_and_never_ended(served: Served) -> None:
    """Models are added and taken out by the reload command alone: the process stays the same, and
    paths in commands are this host's.
    """
    host, pid = served.host, served.pid
    host.write_manifest(CHAT)
    plan = host.run("--plan")
    assert plan.code == 0
    assert "container" not in plan.out
    host.apply()
    assert (served.model_ids(), served.pid) == ({"mine", "chat"}, pid)
    model = host.models / "acme/chat-GGUF/chat-Q4_K_M.gguf"
    assert f"llama-server --port ${{PORT}} -m {model}" in " ".join(host.config.read_text().split())
    host.write_manifest("")
    host.apply("--allow-prune")
    assert (served.model_ids(), served.pid) == ({"mine"}, pid)
    assert host.config.read_text() == CONFIG


@pytest.mark.parametrize("served", ["2025"], indirect=True)
def test_service_without_a_reload_command_is_restarted(served: Served) -> None:
    """A version that ends at SIGHUP has no reload command, and gets what restarts it."""
    pid = served.pid
    served.host.write_manifest(CHAT)
    served.host.apply()
    assert served.model_ids() == {"mine", "chat"}
    assert served.pid not in (None, pid)


def test_refused_config_is_taken_back(served: Served) -> None:
    """A config that llama-swap refuses: all is as before, exit 5, and its log is told."""
    host = served.host
    host.write_manifest(CHAT)
    host.apply()
    config = host.config.read_bytes()
    host.write_manifest(CHAT + CODE + "    serve: {macros: {test-fault: crash_at_start}}\n")
    result = host.run("--yes")
    assert result.code == 5, result.out + result.err
    assert host.config.read_bytes() == config
    assert served.model_ids() == {"mine", "chat"}
    assert "log: llama-swap listening on" in result.err


def test_stopped_service_stays_stopped(served: Served) -> None:
    """One that does not run gets its config, and nobody starts it."""
    served.manage("stop")
    served.host.write_manifest(CHAT)
    result = served.host.apply()
    assert served.pid is None
    assert "chat" in served.host.config.read_text()
    assert "container" not in result.out


def test_command_that_fails_is_told_and_all_is_taken_back(served: Served) -> None:
    """A restart that cannot be done: files and config are as before, and the command's words say
    why.
    """
    host = served.host
    before = host.config.read_bytes()
    host.settings["RECONCILER_RELOAD_COMMAND"] = ""
    host.settings["RECONCILER_RESTART_COMMAND"] = "sh -c 'echo no such unit; exit 5'"
    host.write_manifest(CHAT)
    result = host.run("--yes")
    assert result.code != 0
    assert "the restart command ended with 5: no such unit" in result.out + result.err
    assert host.config.read_bytes() == before
    assert served.model_ids() == {"mine"}


def test_reload_that_is_refused_is_read_off_the_log(served: Served) -> None:
    """The reload command ends well, and llama-swap goes on with what it had: where its log can be
    read from a moment on, that is no success.
    """
    host = served.host
    host.write_manifest(CHAT)
    host.apply()
    before, pid = host.config.read_bytes(), served.pid
    host.settings["RECONCILER_LOG_COMMAND"] += " {since}"
    host.write_manifest(CHAT + "    serve: {macros: {test-fault: refused}}\n")
    result = host.run("--yes")
    assert (result.code, "did not take the config" in result.err) == (5, True), result.err
    assert (host.config.read_bytes(), served.pid) == (before, pid)


def test_reload_command_that_fails_is_no_success(served: Served) -> None:
    """A changed field shows in no list of models: where the command that tells of it fails, and
    there is no other, all is taken back; where there is one that restarts, it is taken.
    """
    host = served.host
    host.write_manifest(CHAT)
    host.apply()
    before, pid = host.config.read_bytes(), served.pid
    restart = host.settings["RECONCILER_RESTART_COMMAND"]
    host.settings |= {
        "RECONCILER_RELOAD_COMMAND": "sh -c 'echo not allowed; exit 4'",
        "RECONCILER_RESTART_COMMAND": "",
    }
    host.write_manifest(CHAT + "    serve: {ttl: 42}\n")
    result = host.run("--yes")
    assert result.code != 0
    assert "the reload command ended with 4: not allowed" in result.err
    assert (host.config.read_bytes(), served.pid) == (before, pid)
    host.settings["RECONCILER_RESTART_COMMAND"] = restart
    host.apply()
    assert served.pid not in (None, pid)


def test_reload_that_does_not_show_is_followed_by_a_restart(served: Served) -> None:
    """A reload command that ends well and does nothing is not believed where the log can tell."""
    host = served.host
    host.write_manifest(CHAT)
    host.apply()
    pid = served.pid
    host.settings["RECONCILER_LOG_COMMAND"] += " {since}"
    host.settings["RECONCILER_RELOAD_COMMAND"] = "true"
    host.write_manifest(CHAT + "    serve: {ttl: 42}\n")
    assert "llama-swap: signal shows no effect" in host.apply().err
    assert served.pid not in (None, pid)
