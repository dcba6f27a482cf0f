"""`reconcile doctor` where llama-swap runs outside Docker, or nobody can tell where it runs."""

from __future__ import annotations

from unittest import mock

from tests.support.sandbox import Sandbox
from tests.support.terminal import at_terminal

SOUND = 'models:\n  "mine":\n    cmd: llama-server --port ${{PORT}} -m {path}\n'


def rules(host: Sandbox) -> tuple[list[str], int]:
    """Give the rules of what is found, and the exit code; what the disk is like does not count."""
    result = host.run("doctor", "--json")
    found = [item["rule"] for item in result.json["findings"] if item["rule"] != "filesystem"]
    return found, result.code


def test_sound_host_has_nothing_to_mend(host: Sandbox) -> None:
    """An entry whose file is there is fine; nothing is written anywhere."""
    (host.models / "mine.gguf").write_bytes(b"GGUF")
    host.config.write_text(SOUND.format(path=host.models / "mine.gguf"))
    before = host.snapshot()
    assert rules(host) == ([], 0)
    assert host.snapshot() == before


def test_finding_says_what_why_and_mend(host: Sandbox) -> None:
    """A file that is not there is named with its entry; the last line counts."""
    host.config.write_text(SOUND.format(path="/nowhere/mine.gguf"))
    result = host.run("doctor")
    assert result.code == 1
    assert "error: mine names /nowhere/mine.gguf, which llama-swap does not see" in result.out
    assert "  why:  llama-server ends with an error" in result.out
    assert "  mend: bring it there" in result.out
    assert result.out.splitlines()[-1].startswith("1 error, ")


def test_findings_fit_the_terminal(host: Sandbox) -> None:
    """At a terminal no line is longer than it, and no word is cut; what follows is indented."""
    host.config.write_text(SOUND.format(path="/nowhere/mine.gguf"))
    host.settings["RECONCILER_LLAMA_SWAP_URL"] = "http://127.0.0.1:9"
    with at_terminal(host, "doctor", columns=60) as terminal:
        assert terminal.end() == 1
    told = terminal.lines()
    begin = next(number for number, line in enumerate(told) if "does not answer" in line)
    finding = told[begin : begin + 8]
    assert max(map(len, finding)) <= 60
    assert any(line.startswith("        ") for line in finding)
    assert "RECONCILER_LLAMA_SWAP_URL" in " ".join(finding).split()


def test_command_without_a_runtime_is_what_is_told(host: Sandbox) -> None:
    """A restart command alone, as a reload command, says what was meant; no engine is asked."""
    socket = host.home / "docker.sock"
    socket.touch()
    host.settings |= {"RECONCILER_RUNTIME": "", "RECONCILER_DOCKER_HOST": f"unix://{socket}"}
    for name in ("RELOAD", "RESTART"):
        command = {f"RECONCILER_{name}_COMMAND": "true"}
        with mock.patch.dict(host.settings, command):
            found = host.run("doctor", "--json").json["findings"]
        assert any("and no runtime" in item["what"] for item in found), found


def test_one_fault_does_not_hide_another(host: Sandbox) -> None:
    """A missing models folder, a config that is no YAML and a silent server are told at once."""
    host.settings["RECONCILER_LLAMA_SWAP_URL"] = "http://127.0.0.1:9"
    host.config.write_text("models: [\n")
    host.models.rmdir()
    found, code = rules(host)
    assert (set(found), code) == ({"models-folder", "no-answer", "config-refused"}, 1)


def test_engine_that_does_not_answer_is_an_error(host: Sandbox) -> None:
    """A run only warns of it, so that it can go on without Docker; here it is what is wrong."""
    socket = host.home / "docker.sock"
    socket.touch()
    host.settings |= {"RECONCILER_RUNTIME": "", "RECONCILER_DOCKER_HOST": f"unix://{socket}"}
    result = host.run("doctor", "--json")
    (found,) = [item for item in result.json["findings"] if item["rule"] == "engine"]
    assert (str(socket) in found["what"], "start Docker" in found["mend"]) == (True, True)
    assert (result.json["runtime"], result.code) == (None, 1)


def test_container_that_no_engine_has_is_a_warning(host: Sandbox) -> None:
    """Where nobody said what runs llama-swap and no engine is there, that is told."""
    host.settings |= {
        "RECONCILER_RUNTIME": "",
        "RECONCILER_DOCKER_HOST": f"unix://{host.home}/none.sock",
    }
    (host.models / "mine.gguf").write_bytes(b"GGUF")
    host.config.write_text(SOUND.format(path=host.models / "mine.gguf"))
    assert rules(host) == (["no-container"], 0)


def test_manifest_that_is_wrong_is_not_the_doctor_s_matter(host: Sandbox) -> None:
    """Whoever wants the manifest checked says `validate`; all else is looked at without it."""
    host.manifest.write_text("version: 9\n")
    (host.models / "mine.gguf").write_bytes(b"GGUF")
    host.config.write_text(SOUND.format(path=host.models / "mine.gguf"))
    assert rules(host) == ([], 0)
