"""The Docker runtime against a real engine: what it sees, what it restarts, what it says."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from reconciler.adapters.llamaswap.api import LlamaSwapServer
from reconciler.adapters.runtime.docker import DockerRuntime, find_container
from reconciler.core.observed import PathMapping, RuntimeStatus, Sight
from reconciler.core.ports.serving import Runtime
from reconciler.errors import (
    ReconcilerError,
    Refused,
    RuntimeFailed,
    RuntimeUnavailable,
    UsageError,
)
from tests.support.engine import (
    NO_PROXY,
    Engine,
    SwapContainer,
    start_llama_swap,
    wait_for,
)
from tests.support.patient import Patient

pytestmark = pytest.mark.docker


def runtime_for(engine: Engine, swap: SwapContainer) -> Runtime:
    """Give the product's view of a container."""
    return DockerRuntime(container=swap.name, endpoint=engine.url)


def test_a_running_container_is_seen_with_its_paths_and_url(
    engine: Engine, config: Path, models: Path
) -> None:
    """A look tells status, names, mounts, where the config is here, and a URL that works."""
    swap = start_llama_swap(engine, config=config, models=models)

    state = runtime_for(engine, swap).observe()

    assert (state.kind, state.status) == ("docker", RuntimeStatus.RUNNING)
    assert (state.name, state.id) == (swap.name, str(swap.container.id)[:12])
    assert state.endpoint == engine.url
    assert PathMapping(host=str(models), container="/models", writable=False) in state.mappings
    assert PathMapping(host=str(config.parent), container="/config") in state.mappings
    assert state.config_path == str(config)
    assert not state.config_is_mount
    assert state.url == swap.url
    assert LlamaSwapServer(state.url).model_ids() == {"first", "second"}


def test_a_config_mounted_as_a_single_file_is_told_apart(
    engine: Engine, config: Path, models: Path
) -> None:
    """The mount that does not see a rename is known, so that the config is written in place."""
    swap = start_llama_swap(engine, config=config, models=models, single_file_mount=True)

    state = runtime_for(engine, swap).observe()

    assert state.config_path == str(config)
    assert state.config_is_mount


def test_a_stopped_container_is_seen_and_a_restart_starts_it(
    engine: Engine, config: Path, models: Path
) -> None:
    """A stopped container keeps its URL and mounts; a restart brings it up with the new config."""
    swap = start_llama_swap(engine, config=config, models=models)
    runtime = runtime_for(engine, swap)
    before = runtime.observe()
    swap.container.stop(timeout=10)

    stopped = runtime.observe()
    assert stopped.status is RuntimeStatus.STOPPED
    assert (stopped.url, stopped.mappings) == (before.url, before.mappings)

    config.write_text(config.read_text().replace('"second"', '"renamed"'))
    runtime.restart()
    swap.wait_healthy()
    assert runtime.observe() == before
    assert swap.model_ids() == {"first", "renamed"}


def test_a_restart_lets_a_long_answer_end(engine: Engine, config: Path, models: Path) -> None:
    """An answer that takes longer than Docker's usual 10 s of grace still arrives whole."""
    swap = start_llama_swap(engine, config=config, models=models)
    body = json.dumps({"model": "first", "stream": True, "max_tokens": 115}).encode()
    with NO_PROXY.open(swap.url + "/v1/chat/completions", body, timeout=30) as answer:
        assert answer.readline().startswith(b"data:")
        restarting = threading.Thread(target=runtime_for(engine, swap).restart)
        restarting.start()
        assert answer.read().endswith(b"data: [DONE]\n\n")
    restarting.join()
    swap.wait_healthy()


def test_a_container_in_a_crash_loop_counts_as_running_and_its_log_is_read(
    engine: Engine, config: Path, models: Path
) -> None:
    """A config that llama-swap refuses makes a crash loop; its last lines say why."""
    config.write_text("models: [")
    swap = start_llama_swap(
        engine, config=config, models=models, restart_policy="always", wait=False
    )
    runtime = runtime_for(engine, swap)

    wait_for(lambda: swap.status() == "restarting", "the crash loop")

    assert runtime.observe().status is RuntimeStatus.RUNNING
    assert any("Error loading config" in line for line in runtime.last_log_lines(20))
    assert len(runtime.last_log_lines(1)) == 1


def test_a_paused_container_counts_as_running(engine: Engine, config: Path, models: Path) -> None:
    """A paused container is not one that somebody stopped."""
    swap = start_llama_swap(engine, config=config, models=models)
    swap.container.pause()

    assert runtime_for(engine, swap).observe().status is RuntimeStatus.RUNNING
    swap.container.unpause()


def test_a_missing_container_is_named_with_those_that_may_be_meant(
    engine: Engine, config: Path, models: Path
) -> None:
    """A mistyped name is an error that lists close names and the ways out."""
    swap = start_llama_swap(engine, config=config, models=models)
    runtime = DockerRuntime(container=swap.name + "x", endpoint=engine.url)

    with pytest.raises(RuntimeUnavailable) as caught:
        runtime.observe()
    assert repr(swap.name + "x") in caught.value.message
    assert swap.name in caught.value.hint
    assert "--container" in caught.value.hint
    assert "--runtime none" in caught.value.hint
    with pytest.raises(RuntimeUnavailable):
        runtime.restart()
    assert runtime.last_log_lines(5) == ()


def test_a_container_that_cannot_start_again_is_a_failure_that_says_why(
    engine: Engine, config: Path, models: Path
) -> None:
    """Where the engine refuses the start, its own words are passed on."""
    swap = start_llama_swap(engine, config=config, models=models)
    swap.container.stop(timeout=10)
    config.unlink()
    config.parent.rmdir()

    with pytest.raises(RuntimeFailed, match=re.escape(str(config.parent))) as caught:
        runtime_for(engine, swap).restart()
    assert f"docker logs --tail 50 {swap.name}" in caught.value.hint


def test_an_engine_that_is_down_is_named(tmp_path: Path) -> None:
    """No engine: the error names the endpoint, and every call says it the same way."""
    url = f"unix://{tmp_path}/none.sock"
    runtime = DockerRuntime(container="llama-swap", environ={"DOCKER_HOST": url})

    with pytest.raises(RuntimeUnavailable, match=r"none\.sock \(from DOCKER_HOST\)") as caught:
        runtime.observe()
    assert "DOCKER_HOST" in caught.value.hint
    with pytest.raises(RuntimeUnavailable):
        runtime.restart()
    assert runtime.last_log_lines(5) == ()


@pytest.fixture
def context_home(engine: Engine, tmp_path: Path) -> Path:
    """Give a home folder whose current Docker context is the engine of these tests."""
    docker = tmp_path / "home" / ".docker"
    meta = docker / "contexts" / "meta" / sha256(b"lab").hexdigest()
    meta.mkdir(parents=True)
    (docker / "config.json").write_text('{"currentContext": "lab"}')
    body = {"Name": "lab", "Endpoints": {"docker": {"Host": engine.url}}}
    (meta / "meta.json").write_text(json.dumps(body))
    return docker.parent


def test_the_current_docker_context_is_used(
    engine: Engine, config: Path, models: Path, context_home: Path
) -> None:
    """Without option and DOCKER_HOST the engine is the one that `docker ps` would ask."""
    swap = start_llama_swap(engine, config=config, models=models)

    runtime = DockerRuntime(container=swap.name, environ={"HOME": str(context_home)})

    assert runtime.observe().endpoint == engine.url


def test_the_default_runtime_is_chosen_by_what_is_there(
    engine: Engine, config: Path, models: Path, tmp_path: Path
) -> None:
    """A container is found where it is, and is not where its name is wrong or no engine is; an
    engine that is there and does not answer is an error, not an absence.
    """
    swap = start_llama_swap(engine, config=config, models=models)

    assert find_container(swap.name, engine.url)
    assert find_container(swap.name, environ={"DOCKER_HOST": engine.url})
    assert not find_container(swap.name + "x", engine.url)
    assert not find_container("", engine.url)
    assert not find_container(swap.name, f"unix://{tmp_path}/none.sock")
    (tmp_path / "file.sock").touch()
    for silent in (f"unix://{tmp_path}/file.sock", "tcp://127.0.0.1:1", "ssh://elsewhere"):
        with pytest.raises(ReconcilerError):
            find_container(swap.name, silent)


@pytest.fixture
def patient(engine: Engine, config: Path, models: Path) -> Patient:
    """Give a container that can be made in any way, not started yet."""
    return Patient(
        engine=engine,
        command=["--config", "/config/config.yaml"],
        volumes=[f"{models}:/models:ro", f"{config.parent}:/config"],
    )


def runtime_of(patient: Patient, selector: str = "") -> Runtime:
    """Give the product's view of a container, by its name or as it is selected."""
    return DockerRuntime(container=selector or patient.name, endpoint=patient.engine.url)


def test_how_it_was_made_is_seen(patient: Patient) -> None:
    """User, restart policy, grace, where it listens and its config's path inside are told."""
    patient.user, patient.stop_grace_period = "10001:10001", "45s"
    patient.start()

    state = runtime_of(patient).observe()

    assert (state.user, state.restart_policy) == ("10001:10001", "unless-stopped")
    assert (state.stop_grace_seconds, state.has_health_check) == (45, True)
    assert (state.config_inside, state.listen_port) == ("/config/config.yaml", "8080")
    assert (state.problems, state.is_restarting) == ((), False)


def test_watching_is_read_off_the_process(patient: Patient, tmp_path: Path) -> None:
    """A flag that only the entrypoint's script knows is seen while it runs, and not assumed to be
    missing while it does not.
    """
    patient.start()
    assert runtime_of(patient).observe().watches is False

    script = tmp_path / "start.sh"
    script.write_text('#!/bin/sh\nexec /app/llama-swap "$@" -watch-config\n')
    script.chmod(0o755)
    patient.volumes.append(f"{script}:/start.sh:ro")
    patient.entrypoint = ["/start.sh"]
    patient.start()
    assert runtime_of(patient).observe().watches is True

    assert patient.container is not None
    patient.container.stop(timeout=10)
    assert runtime_of(patient).observe().watches is None


def test_the_bytes_that_it_sees_are_told(engine: Engine, config: Path, models: Path) -> None:
    """Behind a single-file mount the replaced file is what it still sees, and what is read."""
    swap = start_llama_swap(engine, config=config, models=models, single_file_mount=True)
    runtime = runtime_for(engine, swap)
    before = config.read_bytes()
    new = config.with_name("new.yaml")
    new.write_bytes(before + b"# replaced\n")
    new.replace(config)

    assert runtime.read_inside("/app/config.yaml") == before
    assert runtime.read_inside("/app/none.yaml") is None
    assert runtime.read_inside("/app") is None
    runtime.restart()
    assert runtime.read_inside("/app/config.yaml") == before + b"# replaced\n"

    swap.container.stop(timeout=10)
    # No process sees anything now, and what the next one would see is not what was asked.
    assert runtime.read_inside("/app/config.yaml") is None
    assert runtime.sights(["/app/config.yaml"]) == {}


def test_a_stopped_container_s_folder_is_read_all_the_same(patient: Patient, config: Path) -> None:
    """A file in a mounted folder is the same for the engine and for any process to come."""
    patient.start()
    assert patient.container is not None
    patient.container.stop(timeout=10)

    assert runtime_of(patient).read_inside("/config/config.yaml") == config.read_bytes()
    assert runtime_of(patient).read_inside("/config") is None


def test_what_its_user_may_read_is_told(patient: Patient, models: Path) -> None:
    """Readable, unreadable and absent are told apart as the container's user finds them."""
    patient.user = "10001:10001"
    (models / "second.gguf").chmod(0o600)
    (models / "with a blank $HOME.gguf").touch()
    patient.start()
    paths = [
        "/models/first.gguf",
        "/models/second.gguf",
        "/models/none.gguf",
        "/models/with a blank $HOME.gguf",
    ]

    sights = runtime_of(patient).sights(paths)

    expected = [Sight.READABLE, Sight.UNREADABLE, Sight.ABSENT, Sight.READABLE]
    assert sights == dict(zip(paths, expected, strict=True))
    many = [f"/models/{number}.gguf" for number in range(250)]
    assert runtime_of(patient).sights(many) == dict.fromkeys(many, Sight.ABSENT)


def test_a_signal_reloads_and_the_log_since_then_is_read(patient: Patient, config: Path) -> None:
    """SIGHUP reaches the main process; only lines from that moment on are given."""
    patient.start()
    runtime = runtime_of(patient)
    config.write_text(config.read_text().replace('"second"', '"renamed"'))
    # A line has the time at which the engine took it, which may be a little later.
    wait_for(lambda: any("listening" in line for line in runtime.last_log_lines(20)), "its log")
    moment = datetime.now(UTC)

    runtime.hang_up()

    wait_for(
        lambda: any("configuration reloaded" in line for line in runtime.log_since(moment)),
        "the reload",
    )
    assert not any("listening" in line for line in runtime.log_since(moment))


def test_a_stopped_container_is_started_and_told_nothing_else(patient: Patient) -> None:
    """A restart brings it up; a signal to a stopped one is refused."""
    patient.start()
    runtime = runtime_of(patient)
    assert patient.container is not None
    patient.container.stop(timeout=10)

    with pytest.raises(RuntimeFailed, match=f"could not send SIGHUP to .* {patient.name}"):
        runtime.hang_up()
    runtime.restart()
    patient.wait_healthy()
    assert runtime.observe().status is RuntimeStatus.RUNNING


def test_labels_and_compose_services_select_a_container(patient: Patient) -> None:
    """One that has the label is taken, several are refused with their names, none is named."""
    project = {"com.docker.compose.project": patient.name}
    patient.labels = {**project, "com.docker.compose.service": "swap", "role": patient.name}
    patient.start()
    assert patient.container is not None
    for selector in (f"label:role={patient.name}", f"compose:{patient.name}/swap"):
        assert runtime_of(patient, selector).observe().name == patient.name
        assert find_container(selector, patient.engine.url)
    other = f"{patient.name}-other"
    with pytest.raises(RuntimeUnavailable, match="there is no container"):
        runtime_of(patient, f"compose:{patient.name}/other").observe()
    assert not find_container(f"compose:{patient.name}/other", patient.engine.url)
    for wrong in ("label:", "compose:swap", "image:swap"):
        with pytest.raises(UsageError, match=wrong):
            runtime_of(patient, wrong).observe()

    twin = Patient(
        engine=patient.engine,
        command=patient.command,
        volumes=patient.volumes,
        name=other,
        labels=patient.labels,
    )
    twin.start(wait=False)
    with pytest.raises(Refused, match=f"means 2 containers: {patient.name}, {other}"):
        runtime_of(patient, f"compose:{patient.name}/swap").observe()


@pytest.mark.parametrize("there", ["docker.sock", "podman/podman.sock"])
def test_of_several_engines_the_one_with_the_container_is_meant(
    patient: Patient, tmp_path: Path, there: str
) -> None:
    """Where nobody chose, an engine that does not have it does not hide the one that does."""
    patient.start()
    (tmp_path / "podman").mkdir()
    for socket in ("docker.sock", "podman/podman.sock"):
        (tmp_path / socket).touch()
    (tmp_path / there).unlink()
    (tmp_path / there).symlink_to(patient.engine.url.removeprefix("unix://"))
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}

    state = DockerRuntime(container=patient.name, environ=environ).observe()

    assert (state.name, state.endpoint) == (patient.name, f"unix://{tmp_path}/{there}")
    assert find_container(patient.name, environ=environ)
