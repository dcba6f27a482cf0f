"""`reconcile doctor` on a real engine: what is wrong is found, and its advice mends it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.hub import running_hub
from tests.support.patient import Patient
from tests.support.sandbox import Sandbox
from tests.support.users import ordinary_folder
from tests.support.waiting import wait_for

pytestmark = pytest.mark.docker

CONFIG = """\
models:
  "mine":
    cmd: /app/llama-server --port ${PORT} -m /models/mine.gguf
"""
FETCHING = 'models:\n  "chat":\n    cmd: /app/llama-server --port ${PORT} -hf acme/chat\n'
KEYED = CONFIG + 'apiKeys: ["${env.SWAP_KEY}"]\n'
Found = dict[str, dict[str, Any]]


class Practice:
    """A host with a container on it; `examine` gives what `doctor` finds, by its rule."""

    def __init__(self, host: Sandbox, patient: Patient) -> None:
        self.host = host
        self.patient = patient
        host.settings = {
            "DOCKER_HOST": patient.engine.url,
            "RECONCILER_CONTAINER": patient.name,
            "RECONCILER_RUNTIME": "docker",
            "RECONCILER_CONFIG": "",
        }

    def examine(self) -> tuple[Found, int]:
        """Run `doctor`; give its findings and its exit code."""
        result = self.host.run("doctor", "--json")
        assert result.out, result.err
        findings = json.loads(result.out)["findings"]
        return {item["rule"]: item for item in findings}, result.code


@pytest.fixture
def practice(tmp_path: Path, engine: Engine) -> Iterator[Practice]:
    """A host with nothing wrong; the container is not started yet."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest("  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    serve: {args: {}}\n")
        host.config.write_text(CONFIG)
        (host.models / "mine.gguf").write_bytes(b"GGUF")
        patient = Patient(
            engine=engine,
            command=["--config", "/config/config.yaml", "-watch-config"],
            volumes=[f"{host.models}:/models:ro", f"{host.config.parent}:/config"],
        )
        yield Practice(host, patient)


def test_nothing_wrong_is_exit_0(practice: Practice) -> None:
    """A container as it should be has no finding; what was looked at is said."""
    practice.patient.start()
    result = practice.host.run("doctor")
    assert (result.code, "Nothing wrong was found." in result.out) == (0, True), result.out
    container = practice.patient.container
    assert container is not None
    assert f"{practice.patient.name} ({str(container.id)[:12]})" in result.out
    assert practice.patient.engine.url in result.out


def no_restart_policy(it: Practice) -> None:
    """Plant it."""
    it.patient.restart = ""


def short_grace(it: Practice) -> None:
    """Plant it."""
    it.patient.stop_grace_period = "10s"


def no_health_check(it: Practice) -> None:
    """Plant it."""
    it.patient.healthcheck = None


def file_mount(it: Practice) -> None:
    """Plant it."""
    it.patient.volumes[1] = f"{it.host.config}:/app/config.yaml"
    it.patient.command[1] = "/app/config.yaml"


def models_not_mounted(it: Practice) -> None:
    """Plant it."""
    del it.patient.volumes[0]


def models_elsewhere(it: Practice) -> None:
    """Plant it."""
    other = it.host.home / "other"
    other.mkdir()
    it.patient.volumes[0] = f"{other}:/models:ro"


def port_not_published(it: Practice) -> None:
    """Plant it: llama-swap listens on a port, and others are published."""
    it.patient.command += ["--listen", f":{it.patient.port}"]
    # Neither is the right one, and of two none can be guessed.
    it.patient.ports = ["127.0.0.1:0:9001", "127.0.0.1:0:9002"]


def not_watching(it: Practice) -> None:
    """Plant it: a version that a signal kills."""
    it.patient.command = ["--config", "/config/config.yaml", "--behave", "2025"]


def unreadable_models(it: Practice) -> None:
    """Plant it: the container's user may not read a file."""
    it.patient.user = "10001:10001"
    (it.host.models / "mine.gguf").chmod(0o600)


def closed_models_folder(it: Practice) -> None:
    """Plant it: the container's user may not even look into the folder."""
    it.patient.user = "10001:10001"
    it.host.models.chmod(0o700)


@pytest.mark.parametrize(
    ("plant", "rule", "code"),
    [
        (no_restart_policy, "restart-policy", 0),
        (short_grace, "stop-grace", 0),
        (no_health_check, "no-health-check", 0),
        (file_mount, "config-file-mount", 0),
        (models_not_mounted, "models-not-mounted", 1),
        (models_elsewhere, "models-not-mounted", 1),
        (port_not_published, "port-not-published", 1),
        (not_watching, "not-watching", 0),
        (unreadable_models, "file-unreadable", 1),
        (closed_models_folder, "models-unreadable", 1),
    ],
)
def test_advice_mends_it(
    practice: Practice, plant: Callable[[Practice], None], rule: str, code: int
) -> None:
    """What was planted is found, and is gone once its commands and compose lines are followed."""
    plant(practice)
    practice.patient.start(wait=rule != "port-not-published")
    found, exit_code = practice.examine()
    assert (rule in found, exit_code) == (True, code), found
    practice.patient.follow(found[rule])
    found, exit_code = practice.examine()
    assert (rule in found, exit_code) == (False, 0), found


def test_config_that_its_user_may_not_read(practice: Practice) -> None:
    """A config that became unreadable is found before llama-swap must start with it again, and
    only its group gets the right to read it.
    """
    practice.patient.user = "10001:10001"
    practice.patient.start()
    practice.host.config.chmod(0o600)
    found, code = practice.examine()
    assert (found["config-unreadable"]["severity"], code) == ("error", 1)
    practice.patient.follow(found["config-unreadable"])
    assert practice.examine() == ({}, 0)
    assert practice.host.config.stat().st_mode & 0o777 == 0o640


def test_config_that_was_replaced_behind_its_mount(practice: Practice) -> None:
    """A single-file mount that still holds the old file is seen from inside; a restart helps."""
    file_mount(practice)
    practice.patient.start()
    new = practice.host.config.with_suffix(".new")
    new.write_text(CONFIG + "# changed\n")
    new.replace(practice.host.config)
    found, code = practice.examine()
    assert ("config-stale" in found, code) == (True, 1)
    practice.patient.follow(found["config-stale"])
    found, code = practice.examine()
    assert ("config-stale" in found, code) == (False, 0)


def test_models_that_are_fetched_at_start(practice: Practice) -> None:
    """`-hf` in the command of a declared model is found, and gone once it is ours to write."""
    practice.host.config.write_text(FETCHING)
    practice.patient.start()
    found, code = practice.examine()
    assert ("-hf" in found["fetches-at-start"]["what"], code) == (True, 1)
    practice.host.apply()
    assert practice.examine() == ({}, 0)


def test_entry_whose_file_is_not_there(practice: Practice) -> None:
    """An entry that names a file in vain is found; a path of this host is told as it is inside."""
    host = practice.host
    host.config.write_text(CONFIG.replace("/models/mine", f"{host.models}/mine"))
    practice.patient.start()
    found, code = practice.examine()
    assert ("file-absent" in found, code) == (True, 1)
    assert found["file-absent"]["mend"].endswith(": /models/mine.gguf")
    host.config.write_text(CONFIG.replace("mine.gguf", "none.gguf"))
    found, code = practice.examine()
    assert ("none.gguf" in found["file-absent"]["what"], code) == (True, 1)
    host.config.write_text(CONFIG)
    assert practice.examine() == ({}, 0)


def test_key_that_is_missing_or_wrong(practice: Practice) -> None:
    """A key that the config does not say is asked for, a wrong one is told apart."""
    practice.host.config.write_text(KEYED)
    practice.patient.environment["SWAP_KEY"] = "sesame"
    practice.patient.start()
    found, code = practice.examine()
    assert ("key-missing" in found, code) == (True, 1)
    assert "RECONCILER_LLAMA_SWAP_API_KEY" in found["key-missing"]["mend"]
    practice.host.settings["RECONCILER_LLAMA_SWAP_API_KEY"] = "wrong"
    found, code = practice.examine()
    assert ("key-refused" in found, code) == (True, 1)
    practice.host.settings["RECONCILER_LLAMA_SWAP_API_KEY"] = "sesame"
    assert practice.examine() == ({}, 0)


def test_config_that_is_refused(practice: Practice) -> None:
    """A crash loop is told with its last words, and the line of the config that makes it."""
    config = practice.host.config
    config.write_text("models:\n  mine:\n    name: without a command\n")
    practice.patient.start(wait=False)
    wait_for(lambda: "crash-loop" in practice.examine()[0], "the crash loop")
    found, code = practice.examine()
    assert code == 1
    assert found["config-refused"]["what"].startswith(f"{config}:2:")
    config.write_text(CONFIG)
    practice.patient.start()
    assert practice.examine() == ({}, 0)


def test_disk_without_room(practice: Practice) -> None:
    """Less free room than is to stay free is found, and named with the option that sets it."""
    practice.patient.start()
    practice.host.settings["RECONCILER_DISK_RESERVE"] = "100000TB"
    found, code = practice.examine()
    assert ("--disk-reserve" in found["disk-full"]["mend"], code) == (True, 1)
    del practice.host.settings["RECONCILER_DISK_RESERVE"]
    assert practice.examine() == ({}, 0)


def test_container_that_is_stopped(practice: Practice) -> None:
    """A stopped container is no error, for somebody stopped it; the command starts it."""
    practice.patient.start()
    assert practice.patient.container is not None
    practice.patient.container.stop(timeout=10)
    found, code = practice.examine()
    assert (list(found), code) == (["stopped"], 0)
    practice.patient.follow(found["stopped"])
    assert practice.examine() == ({}, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_socket_that_is_not_for_us(practice: Practice, engine: Engine) -> None:
    """Who may not talk to the engine is told which group may, and it answers those in it."""
    practice.patient.start()
    socket = Path(engine.url.removeprefix("unix://"))
    groups = os.getgroups()
    with ordinary_folder() as home:
        ordinary = Sandbox(home=home / "host", hub=practice.host.hub)
        ordinary.settings = {**practice.host.settings, "RECONCILER_RUNTIME": ""}

        def engine_answers() -> bool:
            result = ordinary.run("doctor", "--json")
            found = {item["rule"]: item for item in json.loads(result.out)["findings"]}
            assert result.code == 1
            if "engine" in found:
                assert "usermod -aG" in found["engine"]["mend"]
                assert str(socket) in found["engine"]["mend"]
            return "engine" not in found

        try:
            os.seteuid(0)
            os.setgroups([])
            os.seteuid(65534)
            assert not engine_answers()
            os.seteuid(0)
            os.setgroups([socket.stat().st_gid])
            os.seteuid(65534)
            assert engine_answers()
        finally:
            os.seteuid(0)
            os.setgroups(groups)
