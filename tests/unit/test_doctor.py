"""Findings of `doctor`, from facts alone: what a real engine cannot be made to show, and words."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.diagnosis import Access, Complaint, Facts, Finding, Severity
from reconciler.core.doctor import examine
from reconciler.core.filesystems import Mount, Room
from reconciler.core.llamaswap.named_files import fetched_at_start, named_files
from reconciler.core.observed import PathMapping, RuntimeState, RuntimeStatus, Sight

MOUNTED = (
    PathMapping(host="/srv/models", container="/models", writable=False),
    PathMapping(host="/srv/swap", container="/config"),
)


def container(**more: Any) -> RuntimeState:
    """Give a container with nothing wrong."""
    values: dict[str, Any] = {
        "kind": "docker",
        "status": RuntimeStatus.RUNNING,
        "name": "swap",
        "mappings": MOUNTED,
        "config_path": "/srv/swap/config.yaml",
        "config_inside": "/config/config.yaml",
        "url": "http://127.0.0.1:8080",
        "watches": True,
        "restart_policy": "always",
        "stop_grace_seconds": 45,
        "has_health_check": True,
        "listen_port": "8080",
    }
    return RuntimeState(**(values | more))


def facts(state: RuntimeState | None = None, **more: Any) -> Facts:
    """Give the facts of a host with nothing wrong."""
    values: dict[str, Any] = {
        "models_dir": "/srv/models",
        "room": Room(device=1, free_bytes=10),
        "config_path": "/srv/swap/config.yaml",
        "config_here": b"models:\n",
        "config_inside": b"models:\n",
        "access": Access.OPEN,
        "version": 250,
    }
    return Facts(runtime=state or container(), **(values | more))


def only(found: Facts) -> Finding:
    """Give the one finding that there is."""
    (finding,) = examine(found)
    return finding


def config(cmd: str, model: str = "chat") -> dict[str, Any]:
    """Give a config with one model."""
    return {"models": {model: {"cmd": cmd}}}


def test_nothing_wrong_is_no_finding() -> None:
    """A container as it should be, and llama-swap outside of one, have nothing to mend."""
    assert examine(facts()) == ()
    outside = RuntimeState(kind="none", status=RuntimeStatus.UNMANAGED)
    assert examine(facts(outside, access=Access.NOT_ASKED)) == ()


def test_every_finding_says_what_why_and_how() -> None:
    """None of the three is left out, and errors come before warnings."""
    broken = facts(
        container(
            status=RuntimeStatus.STOPPED,
            is_restarting=True,
            restart_policy="no",
            stop_grace_seconds=10,
            has_health_check=False,
            watches=False,
            url=None,
            config_is_mount=True,
            problems=("its list of processes cannot be had",),
        ),
        models_dir="/other",
        models_problem=Complaint(message="the models folder is not known"),
        config_problem=Complaint(message="it cannot be read"),
        mount=Mount(id=1, parent=0, point="/other", kind="nfs4", source="nas:/m"),
        room=Room(device=1, free_bytes=1),
        reserve_bytes=2,
        config_inside=b"",
        sights={"/config/config.yaml": Sight.UNREADABLE, "/models/a.gguf": Sight.ABSENT},
        data={"models": {"a": {"cmd": "x -m /models/a.gguf"}, "b": {"cmd": "x -hf o/r"}}},
        config_faults=("config.yaml:1: wrong",),
        access=Access.KEY_REFUSED,
        version=173,
    )
    found = examine(broken)
    assert len({item.rule for item in found}) == 20
    assert all(item.what and item.why and item.mend for item in found)
    assert all(line for item in found for line in (*item.commands, *item.compose))
    severities = [item.severity for item in found]
    assert severities == sorted(severities, key=[Severity.ERROR, Severity.WARNING].index)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_models_on_a_filesystem_that_others_serve(kind: str) -> None:
    """It is told, with what that means, and is no error."""
    mount = Mount(id=1, parent=0, point="/srv/models", kind=kind, source="nas:/m")
    finding = only(facts(mount=mount))
    assert (finding.rule, finding.severity) == ("filesystem", Severity.WARNING)
    assert f"({kind}), which another system serves" in finding.what


def test_compose_lines_name_the_service() -> None:
    """A container that compose made is called as its file calls it, another by its own name."""
    labels = {"com.docker.compose.service": "llama-swap"}
    lines = only(facts(container(restart_policy="no", labels=labels))).compose
    assert lines == ("services:", "  llama-swap:", "    restart: unless-stopped")
    assert only(facts(container(restart_policy="no"))).compose[1] == "  swap:"


@pytest.mark.parametrize(
    ("version", "watches", "told"),
    [
        (173, False, True),
        (204, False, True),
        (205, False, False),
        (None, False, True),
        (173, True, False),
        (173, None, False),
    ],
)
def test_a_restart_for_each_change_is_told_where_it_is_needed(
    version: int | None, watches: bool | None, told: bool
) -> None:
    """A version that takes a signal needs none, and what is not known is not claimed."""
    found = examine(facts(container(watches=watches, command=("-config", "c")), version=version))
    assert bool(found) is told
    if told:
        assert found[0].compose[-1] == '    command: ["-config", "c", "-watch-config"]'


@pytest.mark.parametrize(
    ("command", "advised"),
    [
        (("-config", "/app/c.yaml", "-x"), '["-config", "/config/c.yaml", "-x"]'),
        (("--config=/app/c.yaml",), '["--config=/config/c.yaml"]'),
        ((), '["-config", "/config/c.yaml"]'),
    ],
)
def test_a_single_file_mount_becomes_a_folder_s(command: tuple[str, ...], advised: str) -> None:
    """The advice mounts the folder and names the config there, however its flag was spelled."""
    mappings = (*MOUNTED[:1], PathMapping(host="/srv/a b/c.yaml", container="/app/c.yaml"))
    state = container(
        mappings=mappings,
        config_path="/srv/a b/c.yaml",
        config_inside="/app/c.yaml",
        config_is_mount=True,
        command=command,
    )
    lines = only(facts(state)).compose
    assert lines[2] == f"    command: {advised}"
    assert lines[-1] == '      - "/srv/a b:/config"'


@pytest.mark.parametrize(
    ("user", "commands"),
    [
        ("10001:10001", ("chgrp 10001 '/srv/a b.yaml'", "chmod g+r '/srv/a b.yaml'")),
        ("swap", ("chmod o+r '/srv/a b.yaml'",)),
        ("", ("chmod o+r '/srv/a b.yaml'",)),
    ],
)
def test_a_config_is_opened_to_as_few_as_can_be(user: str, commands: tuple[str, ...]) -> None:
    """A config may hold keys: only the container's group may read it, where that is known."""
    state = container(user=user, config_path="/srv/a b.yaml")
    sights = {"/config/config.yaml": Sight.UNREADABLE}
    assert only(facts(state, sights=sights)).commands == commands


def test_a_config_that_is_not_there_is_told() -> None:
    """Whether its folder is mounted or not, it is said where the config must come to lie."""
    sights = {"/config/config.yaml": Sight.ABSENT}
    assert "/srv/swap/config.yaml" in only(facts(sights=sights)).mend
    assert "mount the folder" in only(facts(container(config_path=None), sights=sights)).mend


def test_fetching_by_itself_is_an_error_where_the_model_is_declared() -> None:
    """An entry of ours must not fetch; of another it is worth a word."""
    data = config("llama-server -hf acme/chat")
    assert only(facts(data=data, declared=frozenset({"chat"}))).severity is Severity.ERROR
    assert only(facts(data=data)).severity is Severity.WARNING


def test_an_absent_file_is_mended_by_what_it_is() -> None:
    """A path of this host is told as it is inside; a declared model's file is brought by a run."""
    here = "/srv/models/a.gguf"
    seen = {here: Sight.ABSENT}
    data = config(f"llama-server -m {here}")
    found = only(facts(data=data, sights=seen, here=frozenset({here})))
    assert found.mend == "name it as the container sees it: /models/a.gguf"
    declared = only(facts(data=data, sights=seen, declared=frozenset({"chat"})))
    assert "run `reconcile`" in declared.mend
    assert "take the entry out" in only(facts(data=data, sights=seen)).mend


def test_what_could_not_be_looked_at_is_told_in_its_own_words() -> None:
    """An engine that does not answer is an error with its hint; the rest is still examined."""
    complaint = Complaint(message="no answer from the Docker engine", hint="start Docker")
    found = examine(
        Facts(runtime=None, runtime_problem=complaint, models_problem=Complaint(message="gone"))
    )
    assert [(item.what, item.mend) for item in found] == [
        ("no answer from the Docker engine", "start Docker"),
        ("gone", "mend what it says"),
    ]


def test_a_container_that_nobody_found_is_told() -> None:
    """Where nobody said what runs llama-swap, that it is taken to run outside Docker is said."""
    outside = RuntimeState(kind="none", status=RuntimeStatus.UNMANAGED)
    assert only(facts(outside, sought="llama-swap")).rule == "no-container"


def test_silence_is_told_with_the_last_words() -> None:
    """A server that does not answer is an error; of a crash loop it is not said twice."""
    found = only(facts(access=Access.SILENT, log=("starting", "panic")))
    assert (found.rule, "panic" in found.what) == ("no-answer", True)
    looping = only(facts(container(is_restarting=True), access=Access.SILENT, log=("panic",)))
    assert (looping.rule, "panic" in looping.what) == ("crash-loop", True)


def test_files_are_read_off_commands_as_llama_swap_reads_them() -> None:
    """Macros are expanded, comments dropped, quotes undone; what another container sees, what the
    environment completes and what is no command is left out.
    """
    data = {
        "macros": {"dir": "/models", "run": "llama-server -m ${dir}/macro.gguf"},
        "models": {
            "plain": {"cmd": "x -m /models/a.gguf --mmproj=/models/b.gguf -md '/models/c d.gguf'"},
            "macro": {"cmd": "# -m /models/no.gguf\n${run} --port ${PORT}"},
            "twice": {"cmd": "x -m /models/a.gguf -md /models/a.gguf"},
            "inside": {"cmd": "docker run image -m /models/a.gguf"},
            "env": {"cmd": "x -m /models/${env.NAME}.gguf"},
            "repository": {"cmd": "vllm --model org/name"},
            "open": {"cmd": "x -m '/models/a.gguf"},
            "none": {"proxy": "http://x"},
            "last": {"cmd": "x -m"},
        },
    }
    assert named_files(data) == {
        "plain": ("/models/a.gguf", "/models/b.gguf", "/models/c d.gguf"),
        "macro": ("/models/macro.gguf",),
        "twice": ("/models/a.gguf",),
    }
    assert named_files({"models": None}) == {}


@pytest.mark.parametrize("flag", ["-hf", "--hf-repo", "-hfd", "--model-url"])
def test_every_way_to_fetch_is_known(flag: str) -> None:
    """With the value after it or after `=`; a value that looks like the flag is none."""
    assert fetched_at_start(config(f"x {flag} o/r")) == {"chat": flag}
    assert fetched_at_start(config(f"x {flag}=o/r")) == {"chat": flag}
    assert fetched_at_start(config("x --hf-file a.gguf -m /a")) == {}
