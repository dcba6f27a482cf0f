"""What is read off a container's inspection, a Docker context, and a runtime that is not ours."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.runtime.docker import find_container
from reconciler.adapters.runtime.endpoint import Endpoint, find_endpoints
from reconciler.adapters.runtime.inspection import read_inspection
from reconciler.adapters.runtime.selection import labels_of
from reconciler.adapters.runtime.told import ToldRuntime
from reconciler.adapters.runtime.unmanaged import UnmanagedRuntime
from reconciler.core.observed import PathMapping, RuntimeState, RuntimeStatus
from reconciler.core.ports.serving import Runtime
from reconciler.errors import RuntimeFailed, RuntimeUnavailable, UsageError
from tests.support.users import ordinary_folder


def first_endpoint(option: str | None, *, environ: dict[str, str]) -> Endpoint:
    """Give the engine that is asked first."""
    return find_endpoints(option, environ=environ)[0]


def inspect(
    command: str = "/app/llama-swap -config /app/config.yaml",
    *,
    mounts: dict[str, str] | None = None,
    ports: dict[str, Any] | None = None,
    host: str = "127.0.0.1",
    top: dict[str, Any] | None = None,
    problems: tuple[str, ...] = (),
    **more: Any,
) -> RuntimeState:
    """Read an inspection with this command, these mounts (inside to here) and ports."""
    path, *arguments = command.split(" ")
    attrs = {
        "Id": "0123456789abcdef",
        "Name": "/llama-swap",
        "State": {"Status": "running"},
        "Path": path,
        "Args": arguments,
        "Config": {"WorkingDir": "/app"},
        "Mounts": [
            {"Type": "bind", "Source": source, "Destination": inside, "RW": True}
            for inside, source in (mounts or {}).items()
        ],
        "NetworkSettings": {"Ports": ports},
        **more,
    }
    return read_inspection(attrs, endpoint="unix:///x", host=host, top=top, problems=problems)


def published(port: str, address: str = "127.0.0.1") -> list[dict[str, str]]:
    """Give one published port as Docker writes it."""
    return [{"HostIp": address, "HostPort": port}]


@pytest.mark.parametrize(
    "command",
    [
        "/app/llama-swap -config /conf/c.yaml",
        "/app/llama-swap --config /conf/c.yaml -watch-config",
        "/app/llama-swap --config=/conf/c.yaml",
        "/app/llama-swap -listen :8080 -config=/conf/./c.yaml",
        "/app/llama-swap -config ../conf/c.yaml",
    ],
)
def test_the_config_is_found_however_its_flag_is_spelled(command: str) -> None:
    """One dash or two, with `=` or without, absolute or from the working folder."""
    assert inspect(command, mounts={"/conf": "/srv/conf"}).config_path == "/srv/conf/c.yaml"


def test_the_config_is_found_in_a_shell_line() -> None:
    """A command handed to a shell as one argument is read word by word."""
    state = inspect(
        Path="sh", Args=["-c", "exec llama-swap --config '/conf/c.yaml'"], mounts={"/conf": "/srv"}
    )
    assert state.config_path == "/srv/c.yaml"


def test_without_a_flag_the_usual_places_are_tried() -> None:
    """The working folder, `/app` and `/`, the first that a mount holds."""
    swap = "/app/llama-swap"
    assert inspect(swap, mounts={"/app/config.yaml": "/srv/a.yaml"}).config_path == "/srv/a.yaml"
    assert inspect(swap, mounts={"/config.yaml": "/srv/b.yaml"}).config_path == "/srv/b.yaml"
    assert inspect(swap, mounts={"/models": "/srv/models"}).config_path is None


def test_a_config_that_is_no_mount_has_no_path_here() -> None:
    """A config baked into the image is not ours to write, with other mounts or none at all."""
    assert inspect(mounts={"/models": "/srv/models"}).config_path is None
    assert inspect().config_path is None
    assert not inspect().config_is_mount


def test_only_the_file_itself_counts_as_a_file_mount() -> None:
    """A mounted folder sees renames; the file mounted alone does not, even inside such a folder."""
    assert not inspect(mounts={"/app": "/srv"}).config_is_mount
    state = inspect(mounts={"/app": "/srv", "/app/config.yaml": "/etc/swap.yaml"})
    assert state.config_is_mount
    assert state.config_path == "/etc/swap.yaml"


def test_mounts_without_a_folder_here_are_left_out() -> None:
    """A memory filesystem has no place on the host."""
    mounts = [
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp"},  # noqa: S108 - not opened
        {"Type": "volume", "Name": "v", "Source": "/var/v/_data", "Destination": "/v", "RW": False},
    ]
    assert inspect(Mounts=mounts).mappings == (
        PathMapping(host="/var/v/_data", container="/v", writable=False),
    )


def test_two_looks_at_one_container_are_equal() -> None:
    """Docker shuffles the mounts; a plan must not change with that."""
    mounts = {"/b": "/srv/b", "/a": "/srv/a", "/c": "/srv/c"}
    shuffled = {key: mounts[key] for key in ("/c", "/a", "/b")}
    assert inspect(mounts=mounts) == inspect(mounts=shuffled)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("running", RuntimeStatus.RUNNING),
        ("paused", RuntimeStatus.RUNNING),
        ("restarting", RuntimeStatus.RUNNING),
        ("created", RuntimeStatus.STOPPED),
        ("exited", RuntimeStatus.STOPPED),
        ("dead", RuntimeStatus.STOPPED),
        ("removing", RuntimeStatus.STOPPED),
    ],
)
def test_docker_s_seven_states_become_two(status: str, expected: RuntimeStatus) -> None:
    """What lives or is about to counts as running, everything else as stopped."""
    assert inspect(State={"Status": status}).status is expected


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:9292"),  # noqa: S104 - not bound
        ("::", "http://127.0.0.1:9292"),
        ("", "http://127.0.0.1:9292"),
        ("192.168.1.5", "http://192.168.1.5:9292"),
        ("::1", "http://[::1]:9292"),
    ],
)
def test_the_url_is_where_the_port_is_published(address: str, url: str) -> None:
    """All addresses means ours too; one address means that one."""
    assert inspect(ports={"8080/tcp": published("9292", address)}).url == url


def test_with_several_ports_the_listening_one_is_taken() -> None:
    """The port of `-listen` counts, 8080 without it; a guess among others is not made."""
    ports = {"8080/tcp": published("1"), "9000/tcp": published("2"), "53/udp": published("3")}
    assert inspect(ports=ports).url == "http://127.0.0.1:1"
    assert inspect("llama-swap --listen 0.0.0.0:9000", ports=ports).url == "http://127.0.0.1:2"
    assert inspect("llama-swap --listen=:7000", ports=ports).url is None


def test_without_a_published_port_there_is_no_url() -> None:
    """Nothing published, nothing known; a bound port that Docker has yet to choose is no port."""
    assert inspect(ports=None).url is None
    assert inspect(ports={"8080/tcp": None}).url is None
    assert inspect(ports={}, HostConfig={"PortBindings": {"8080/tcp": published("")}}).url is None


def test_a_stopped_container_keeps_the_url_it_was_made_with() -> None:
    """Docker publishes nothing for it, but says what it will."""
    state = inspect(ports={}, HostConfig={"PortBindings": {"8080/tcp": published("9292", "")}})
    assert state.url == "http://127.0.0.1:9292"


def test_on_the_host_s_network_the_listening_port_is_the_url() -> None:
    """Nothing is published there because nothing has to be."""
    state = inspect("llama-swap -listen :9292", HostConfig={"NetworkMode": "host"})
    assert state.url == "http://127.0.0.1:9292"


def test_an_inspection_with_nothing_in_it_is_read_all_the_same() -> None:
    """Other engines leave fields out; that makes things unknown, not a crash."""
    state = read_inspection({}, endpoint="tcp://engine:2375", host="engine")
    assert (state.status, state.url, state.config_path) == (RuntimeStatus.STOPPED, None, None)


def docker_home(tmp_path: Path, host: str) -> dict[str, str]:
    """Make a home whose current Docker context points at `host`; give its environment."""
    meta = tmp_path / ".docker/contexts/meta" / sha256(b"lab").hexdigest()
    meta.mkdir(parents=True)
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "lab"}')
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    return {"HOME": str(tmp_path)}


def test_the_engine_is_chosen_as_the_docker_command_chooses(tmp_path: Path) -> None:
    """Option before DOCKER_HOST before context before the default socket."""
    home = docker_home(tmp_path, "unix:///run/lab.sock")
    both = {**home, "DOCKER_HOST": "unix:///run/host.sock"}
    assert first_endpoint("unix:///run/o.sock", environ=both).url == "unix:///run/o.sock"
    assert first_endpoint(None, environ=both).url == "unix:///run/host.sock"
    chosen = first_endpoint(None, environ=home)
    assert (chosen.url, chosen.source) == ("unix:///run/lab.sock", "the Docker context 'lab'")
    default = first_endpoint(None, environ={**home, "DOCKER_CONTEXT": "default"})
    assert default.url == "unix:///var/run/docker.sock"
    assert first_endpoint(None, environ={}).url == "unix:///var/run/docker.sock"


def test_an_engine_that_nobody_named_is_found_by_its_socket(tmp_path: Path) -> None:
    """The user's own engines come before the system's; those that are not there are left out."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    sources = [item.source for item in find_endpoints(None, environ=environ)]
    assert sources[0] == "the user's Podman socket"
    (tmp_path / "docker.sock").touch()
    found = find_endpoints(None, environ=environ)
    assert [item.source for item in found[:2]] == [
        "the rootless engine's socket",
        "the user's Podman socket",
    ]
    assert found[0].url == f"unix://{tmp_path}/docker.sock"
    # That one of them comes or goes is noticed by what remembers a plan.
    assert {tmp_path / "docker.sock", tmp_path / "podman" / "podman.sock"} < set(found[0].found_by)
    (only,) = find_endpoints(None, environ={**environ, "DOCKER_HOST": "unix:///x.sock"})
    assert only.source == "DOCKER_HOST"


def test_a_context_s_certificates_are_used(tmp_path: Path) -> None:
    """A context with TLS files brings them along, and DOCKER_TLS_VERIFY its own."""
    home = docker_home(tmp_path, "tcp://engine:2376")
    assert first_endpoint(None, environ=home).tls_dir is None
    folder = tmp_path / ".docker/contexts/tls" / sha256(b"lab").hexdigest() / "docker"
    folder.mkdir(parents=True)
    assert first_endpoint(None, environ=home).tls_dir == str(folder)
    assert first_endpoint(None, environ=home).host == "engine"
    environ = {"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"}
    assert first_endpoint(None, environ=environ).tls_dir == "/c"


def test_a_context_that_is_gone_is_named(tmp_path: Path) -> None:
    """A context without its file is an error that says which, never a silent other engine."""
    with pytest.raises(RuntimeUnavailable, match="context 'gone'"):
        first_endpoint(None, environ={"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{not json")
    chosen = first_endpoint(None, environ={"HOME": str(tmp_path)})
    assert chosen.source == "the default"


def test_an_engine_behind_ssh_is_refused(tmp_path: Path) -> None:
    """Its containers see another machine's files, so what we write they would never serve."""
    with pytest.raises(RuntimeUnavailable, match="ssh://me@far") as caught:
        first_endpoint(None, environ=docker_home(tmp_path, "ssh://me@far"))
    assert "own machine" in caught.value.hint


def test_a_runtime_that_is_not_ours_is_never_touched() -> None:
    """With `--runtime none` we know what we were told; a restart is refused with ways out."""
    mapping = PathMapping(host="/srv/models", container="/models")
    runtime: Runtime = ToldRuntime(
        UnmanagedRuntime(), url="http://127.0.0.1:9292", mappings=(mapping,)
    )
    state = runtime.observe()
    assert (state.kind, state.status) == ("none", RuntimeStatus.UNMANAGED)
    assert (state.url, state.mappings) == ("http://127.0.0.1:9292", (mapping,))
    assert runtime.last_log_lines(5) == ()
    with pytest.raises(RuntimeFailed) as caught:
        runtime.restart()
    assert "-watch-config" in caught.value.hint


def listed(*commands: str, title: str = "COMMAND") -> dict[str, Any]:
    """Give a list of processes as an engine gives it."""
    rows = [["1", command] for command in commands]
    return {"Titles": ["PID", title], "Processes": rows}


@pytest.mark.parametrize(
    ("command", "watches"),
    [
        ("/app/llama-swap -config c.yaml", False),
        ("/app/llama-swap -config c.yaml -watch-config", True),
        ("/app/llama-swap --watch-config=true", True),
        ("/app/llama-swap -watch-config=false", False),
        ("/app/llama-swap -watch-config -watch-config=0", False),
        ("llama-swap-linux-amd64 -config c.yaml", False),
        ("/entrypoint.sh -config c.yaml", None),
        ("/llama-swap-entrypoint.sh -config c.yaml", None),
        ("sh -c llama-swap", None),
        ("/entrypoint.sh -watch-config", True),
    ],
)
def test_watching_is_never_assumed_from_silence(command: str, watches: bool | None) -> None:
    """Without a list of processes the entrypoint tells, and only llama-swap's own tells all."""
    assert inspect(command).watches is watches


@pytest.mark.parametrize("title", ["COMMAND", "CMD", "args"])
def test_the_process_says_more_than_the_entrypoint(title: str) -> None:
    """What a script adds shows in the process alone, whatever the engine calls the column."""
    top = listed(
        "/bin/sh /usr/local/bin/llama-swap-start -config /no/c.yaml",
        "/usr/local/bin/llama-swap -config /conf/c.yaml -listen :9000 -watch-config",
        "/app/llama-server --port 5800 -m /models/llama-swap-7b.gguf",
        title=title,
    )
    state = inspect("/llama-swap-entrypoint.sh", mounts={"/conf": "/srv"}, top=top)
    assert (state.watches, state.config_path, state.listen_port) == (True, "/srv/c.yaml", "9000")


def test_a_process_that_is_not_llama_swap_tells_nothing() -> None:
    """Where llama-swap is not among the processes, a missing flag is not taken for no."""
    top = listed("sleep 100", "llama-server -m /models/llama-swap-7b.gguf")
    assert inspect("/app/llama-swap -config c.yaml", top=top).watches is None
    assert inspect("/app/llama-swap -watch-config", top=top).watches is True
    assert (
        inspect("/app/llama-swap", top={"Titles": ["PID"], "Processes": [["1"]]}).watches is False
    )


def test_blanks_in_a_path_are_known_from_the_entrypoint() -> None:
    """The list of processes joins words with blanks; the same words as the entrypoint's are it."""
    args = ["-config", "/my conf/c.yaml"]
    top = listed("/app/llama-swap -config /my conf/c.yaml")
    state = inspect("/app/llama-swap", Args=args, mounts={"/my conf": "/srv"}, top=top)
    assert state.config_path == "/srv/c.yaml"


def test_how_a_container_was_made_is_read() -> None:
    """User, restart policy, grace, health check, labels and command, with Docker's defaults."""
    bare = inspect()
    assert (bare.restart_policy, bare.stop_grace_seconds, bare.user) == ("no", 10, "")
    assert (bare.has_health_check, bare.is_restarting, bare.labels) == (False, False, {})
    made = inspect(
        State={"Status": "restarting"},
        HostConfig={"RestartPolicy": {"Name": "unless-stopped"}},
        Config={
            "User": "10001:10001",
            "StopTimeout": 45,
            "Healthcheck": {"Test": ["CMD", "true"]},
            "Labels": {"b": "2", "a": "1"},
            "Cmd": ["-config", "c"],
        },
        problems=("not asked",),
    )
    assert (made.restart_policy, made.stop_grace_seconds, made.user) == (
        "unless-stopped",
        45,
        "10001:10001",
    )
    assert (made.has_health_check, made.is_restarting) == (True, True)
    assert (made.labels, made.command) == ({"a": "1", "b": "2"}, ("-config", "c"))
    assert made.problems == ("not asked",)
    assert not inspect(Config={"Healthcheck": {"Test": ["NONE"]}}).has_health_check


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ("llama-swap", None),
        ("label:role=swap", ["role=swap"]),
        ("label:role", ["role"]),
        (
            "compose:home/swap",
            ["com.docker.compose.project=home", "com.docker.compose.service=swap"],
        ),
    ],
)
def test_selectors_are_read(selector: str, labels: list[str] | None) -> None:
    """A name has no colon; all else must be a label, or a project with its service."""
    assert labels_of(selector) == labels


@pytest.mark.parametrize("selector", ["label:", "label:=x", "compose:home", "compose:/x", "id:1"])
def test_selectors_that_select_nothing_are_refused(selector: str) -> None:
    """The error names it, and how it may be written."""
    with pytest.raises(UsageError, match=selector) as caught:
        labels_of(selector)
    assert "compose:PROJECT/SERVICE" in caught.value.hint


@pytest.mark.parametrize(
    ("command", "config", "folder"),
    [
        ("/app/llama-swap -config-dir /conf/d", None, "/srv/d"),
        ("/app/llama-swap --config-dir=/conf/d -watch-config", None, "/srv/d"),
        ("/app/llama-swap -config-dir ../conf/./d", None, "/srv/d"),
        ("/app/llama-swap -config /conf/c.yaml -config-dir /conf/d", "/srv/c.yaml", "/srv/d"),
        ("/app/llama-swap -config /app/config.yaml -config-dir /conf/d", None, "/srv/d"),
        ("/app/llama-swap -config /conf/c.yaml", "/srv/c.yaml", None),
        ("/app/llama-swap -config-dir /elsewhere", None, None),
    ],
)
def test_a_folder_of_configs_is_found(command: str, config: str | None, folder: str | None) -> None:
    """With it alone there is no config of its own; the one in the image has no path here."""
    state = inspect(command, mounts={"/conf": "/srv"})
    assert (state.config_path, state.config_dir) == (config, folder)
    assert not state.config_is_mount


def test_engine_in_a_folder_we_may_not_enter_is_told_of() -> None:
    """It is no missing engine: who was pointed to it hears that it is not for this user."""
    # An ordinary user may not even be able to read the libraries that root has installed.
    for library in ("docker", "docker.errors", "requests", "urllib3.exceptions"):
        import_module(library)
    with ordinary_folder() as folder:
        closed = folder / "closed"
        closed.mkdir(mode=0)
        with pytest.raises(RuntimeUnavailable, match="Permission denied"):
            find_container("llama-swap", environ={"DOCKER_HOST": f"unix://{closed}/docker.sock"})
