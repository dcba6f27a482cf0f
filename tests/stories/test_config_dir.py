"""A host whose llama-swap reads a folder of configs: ours go into a file of our own there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import command
from reconciler.core.runs import Outcome
from reconciler.demo.gguf_bytes import tiny_model
from tests.support.fakes import FakeLlamaSwap
from tests.support.fuse import run_pass
from tests.support.llama_swap_loader import load_sources
from tests.support.llama_swap_merge import files_of
from tests.support.llama_swap_process import local_llama_swap
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
GROUPED = CHAT + "    serve: {group: talk}\n"


@pytest.fixture
def host(host: Sandbox) -> Sandbox:
    """A host with a folder of configs, and in it one that somebody wrote."""
    host.settings |= {"RECONCILER_CONFIG": "", "RECONCILER_CONFIG_DIR": str(folder(host))}
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    folder(host).mkdir()
    host.config.rename(theirs(host))
    host.write_manifest(CHAT + CODE)
    return host


def folder(host: Sandbox) -> Path:
    """Give the folder of configs."""
    return host.home / "configs"


def ours(host: Sandbox) -> Path:
    """Give the file in it that is ours."""
    return folder(host) / "reconciler.yaml"


def theirs(host: Sandbox) -> Path:
    """Give the file in it that is not."""
    return folder(host) / "20-mine.yaml"


def add_to_theirs(host: Sandbox, text: str) -> None:
    """Write more into the file that is not ours."""
    theirs(host).write_text(theirs(host).read_text() + text)


def loaded(host: Sandbox, config: Path | None = None) -> set[str]:
    """Give the models that llama-swap has from all files; it must accept them."""
    files = files_of(config, folder(host))
    sources = [(str(path), path.read_bytes()) for path in files]
    return set(load_sources(sources, behave="2026", environ={}).models)


def refused(host: Sandbox, *words: str) -> str:
    """Plan what must be refused, and give what is said of it."""
    result = host.run("--plan", *words)
    assert result.code == 1, result.out
    return result.out + result.err


def line_of(path: Path, text: str) -> str:
    """Give file and line of the first line that has `text`."""
    lines = path.read_text().splitlines()
    return f"{path}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def test_entries_come_into_a_file_of_ours_and_go_with_it(host: Sandbox) -> None:
    """Nobody else's file changes; without models ours is empty, which llama-swap passes over."""
    before = theirs(host).read_bytes(), theirs(host).stat().st_mtime_ns
    host.apply()
    assert b"chat" in ours(host).read_bytes()
    assert loaded(host) == {"mine", "chat", "code"}
    host.write_manifest(CHAT)
    host.apply()
    assert loaded(host) == {"mine", "chat"}
    host.write_manifest("")
    host.apply("--allow-prune")
    assert ours(host).read_bytes() == b""
    assert loaded(host) == {"mine"}
    assert (theirs(host).read_bytes(), theirs(host).stat().st_mtime_ns) == before


def test_running_llama_swap_serves_what_was_written(host: Sandbox) -> None:
    """Started on the folder alone or beside a config of its own; one of 2025 knows no folder."""
    host.apply()
    main = host.home / "swap" / "main.yaml"
    main.write_text("logLevel: info\n")
    for config in (None, main):
        with local_llama_swap(config, config_dir=folder(host)) as url:
            host.settings["RECONCILER_LLAMA_SWAP_URL"] = url
            assert host.plan()["actions"] == []
    with (
        pytest.raises(AssertionError, match="did not start"),
        local_llama_swap(config_dir=folder(host), behave="2025"),
    ):
        pass


def test_version_that_reads_no_folder_is_told(host: Sandbox) -> None:
    """A file that the running build would never look at is not written."""
    with local_llama_swap(theirs(host), behave="2025") as url:
        host.settings["RECONCILER_LLAMA_SWAP_URL"] = url
        said = refused(host)
    assert "llama-swap 173 reads no folder of configs (since 230 it does)" in said
    assert not ours(host).exists()


def test_backups_and_what_is_half_written_are_no_configs(host: Sandbox) -> None:
    """llama-swap takes every `*.yaml` and `*.yml` there for a config; ours alone ends so."""
    host.apply()
    for number in range(3):
        host.write_manifest(CHAT + f"    serve: {{ttl: {number + 1}}}\n" + CODE)
        host.apply()
    made = {path.name for path in folder(host).iterdir()} - {theirs(host).name}
    assert len(made) == 4
    assert {name for name in made if name.endswith((".yaml", ".yml"))} == {"reconciler.yaml"}


def test_name_that_another_file_has_is_refused(host: Sandbox) -> None:
    """llama-swap takes a model from one file alone: the line of the other one is told."""
    add_to_theirs(host, '  "chat":\n    cmd: run ${PORT}\n')
    said = refused(host)
    assert f"{line_of(theirs(host), 'chat')}: models.chat stands in" in said
    assert "call it otherwise in the manifest" in said
    assert not ours(host).exists()


def test_alias_that_another_file_has_is_refused(host: Sandbox) -> None:
    """llama-swap's rules are checked on all files together."""
    add_to_theirs(host, "    aliases: [talk]\n")
    host.write_manifest(CHAT + "    serve: {aliases: [talk]}\n")
    assert "llama-swap would refuse the config" in refused(host)


def test_clash_that_stood_there_before_is_a_warning(host: Sandbox) -> None:
    """A name that somebody added to their file later does not keep us from taking ours out."""
    host.apply()
    add_to_theirs(host, '  "chat":\n    cmd: run ${PORT}\n')
    plan = host.plan()
    assert plan["refusals"] == []
    assert line_of(theirs(host), "chat") in "\n".join(plan["warnings"])
    host.write_manifest(CODE)
    host.apply()
    assert loaded(host) == {"mine", "chat", "code"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hooks:\n  on_startup:\n    preload: [mine, chat]\n", "preload"),
        ("groups:\n  g:\n    members: [mine, chat]\n", "members"),
        ("selectors:\n  fast:\n    targets: [chat, mine]\n", "targets"),
    ],
)
def test_reference_in_another_file_is_not_edited(host: Sandbox, text: str, named: str) -> None:
    """A model that others name does not go, nor is it renamed: their file and line are told."""
    host.apply()
    add_to_theirs(host, text)
    before = theirs(host).read_bytes()
    for models in (
        CODE,
        CODE + "  talk:\n    source: acme/chat-GGUF:Q4_K_M\n    renamed_from: chat\n",
    ):
        host.write_manifest(models)
        said = refused(host)
        assert line_of(theirs(host), named) in said
        assert f"this run writes {ours(host)} alone" in said
    assert theirs(host).read_bytes() == before


def test_reference_in_our_file_follows_in_the_merged_list(host: Sandbox) -> None:
    """Lists are joined from all files; what stands in ours is edited at its own place."""
    host.apply()
    ours(host).write_text(
        ours(host).read_text() + "hooks:\n  on_startup:\n    preload: [code, chat]\n"
    )
    add_to_theirs(host, "hooks:\n  on_startup:\n    preload: [mine]\n")
    host.write_manifest(CODE)
    host.apply()
    assert "preload: [code]" in ours(host).read_text()
    assert "preload: [mine]" in theirs(host).read_text()


def test_reference_that_both_files_have_is_not_edited(host: Sandbox) -> None:
    """What stands in ours and, with the same value, in theirs would go on in theirs."""
    host.apply()
    text = "routing: {scheduler: {settings: {fifo: {priority: {chat: 1}}}}}\n"
    ours(host).write_text(ours(host).read_text() + text)
    add_to_theirs(host, text)
    assert host.plan()["warnings"] == []
    host.write_manifest(CODE)
    assert f"{line_of(theirs(host), 'routing')}: " in refused(host)
    theirs(host).write_text(theirs(host).read_text().replace(text, ""))
    host.apply()
    assert "priority: {}" in ours(host).read_text()


def test_group_is_made_in_our_file_or_found_in_theirs(host: Sandbox) -> None:
    """A membership in their file is left as it is, and a group there is not joined by us."""
    host.write_manifest(GROUPED)
    host.apply()
    assert "talk" in ours(host).read_text()
    host.write_manifest(CHAT)
    host.apply()
    assert "talk" not in ours(host).read_text()
    add_to_theirs(host, "groups:\n  talk:\n    members: [mine]\n")
    host.write_manifest(GROUPED)
    said = refused(host)
    assert f"{line_of(theirs(host), 'talk')}: group talk stands here" in said
    theirs(host).write_text(theirs(host).read_text().replace("[mine]", "[mine, chat]"))
    host.apply()
    assert host.plan()["actions"] == []
    assert "talk" not in ours(host).read_text()
    ledger = json.loads((host.models / ".reconciler" / "ledger.json").read_text())
    groups = {item["id"]: item["group"] for item in ledger["models"]}
    assert groups["chat"] == {"name": "talk", "found": True}


def test_file_that_another_config_serves_is_not_served_twice(host: Sandbox) -> None:
    """Of files that no model declares, one that an entry of theirs names is left to it."""
    for name in ("one", "two"):
        path = host.models / "mine" / f"{name}-Q4_K_M.gguf"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tiny_model(name, payload_bytes=1000, seed=9))
    add_to_theirs(host, f'  "by hand":\n    cmd: run --port ${{PORT}} -m {path}\n')
    host.write_manifest(CHAT, policy="{discover: serve}")
    host.apply()
    assert "one-Q4_K_M.gguf" in ours(host).read_text()
    assert "two-Q4_K_M.gguf" not in ours(host).read_text()


def test_macros_of_another_file_hold_in_ours(host: Sandbox) -> None:
    """A command of ours may use them; one that no file has is refused."""
    served = "    serve: {cmd: '${server} --port ${PORT} -m ${model}'}\n"
    host.write_manifest(CHAT + served.replace("${server}", "${run}"))
    assert "${run}" in refused(host)
    add_to_theirs(host, "macros: {run: llama-server}\n")
    host.apply()
    assert loaded(host) == {"mine", "chat"}


def test_own_config_beside_a_folder_is_judged_with_it(host: Sandbox) -> None:
    """With --config ours go into that file, and those in the folder are read for names."""
    main = host.home / "swap" / "main.yaml"
    main.write_text("# main\n")
    host.settings["RECONCILER_CONFIG"] = str(main)
    host.apply()
    assert not ours(host).exists()
    assert loaded(host, main) == {"mine", "chat", "code"}
    add_to_theirs(host, "hooks:\n  on_startup:\n    preload: [chat]\n")
    host.write_manifest(CODE)
    assert line_of(theirs(host), "preload") in refused(host)


@pytest.mark.parametrize("back", [False, True])
def test_entries_do_not_move_to_another_home_by_themselves(host: Sandbox, back: bool) -> None:
    """Both ways it is refused with the line where they stand; moved by hand, they stay ours."""
    main = host.home / "swap" / "main.yaml"
    homes = [main, ours(host)]
    old, new = reversed(homes) if back else homes
    host.apply("--config", str(old))
    said = refused(host, "--config", str(new))
    assert f"{line_of(old, 'chat')}: chat and 1 more stand there by us" in said
    assert f"--config {old}" in said
    assert host.run("--plan", "--config", str(old)).code == 0
    new.write_text(old.read_text())
    old.write_text("")
    host.apply("--config", str(new))
    host.write_manifest("")
    host.apply("--config", str(new), "--allow-prune")
    assert b"chat" not in new.read_bytes()


@dataclass
class FolderSwap(FakeLlamaSwap):
    """llama-swap that reads the config's whole folder, and loses `forgets` at its next start."""

    forgets: frozenset[str] = field(default_factory=frozenset)

    def _load(self) -> None:
        self.up = True
        files = files_of(None, self.config.parent)
        sources = [(str(path), path.read_bytes()) for path in files]
        self.listed = frozenset(load_sources(sources, behave="2026", environ={}).models)
        if self.restarts:
            self.listed -= self.forgets


@pytest.mark.parametrize("forgets", ["mine", "nothing"])
def test_health_gate_wants_the_models_of_all_files(host: Sandbox, forgets: str) -> None:
    """What llama-swap listed before, and another file still has, must be listed afterwards."""
    swap = FolderSwap(config=ours(host), models=host.models, forgets=frozenset({forgets}))
    assert swap.listed == {"mine"}
    report = run_pass(host, swap).report
    if forgets == "nothing":
        assert (report.outcome, swap.restarts) == (Outcome.APPLIED, 1)
        assert swap.listed == {"mine", "chat", "code"}
    else:
        assert (report.outcome, swap.restarts) == (Outcome.ROLLED_BACK, 2)
        assert "does not list mine" in report.message
        assert not ours(host).exists()


def test_file_that_cannot_be_read_is_named(host: Sandbox) -> None:
    """Nobody knows what it refers to, and llama-swap would not start with it."""
    (folder(host) / "broken.yml").write_text("models: [\n")
    result = host.run("--plan")
    assert result.code == 1
    assert f"{folder(host)}/broken.yml:" in result.err
    (folder(host) / "broken.yml").unlink()
    (folder(host) / "broken.yml").symlink_to("nowhere")
    assert "broken.yml: llama-swap would read this config" in host.run("--plan").err
    host.settings["RECONCILER_CONFIG_DIR"] = str(host.home / "elsewhere")
    result = host.run("--plan")
    assert (result.code, "elsewhere" in result.err) == (2, True)


def add_file(host: Sandbox) -> None:
    """Put one more config there."""
    (folder(host) / "99.yaml").write_text("hooks: {}\n")


def edit_file(host: Sandbox) -> None:
    """Change one that is there."""
    theirs(host).write_text(theirs(host).read_text().replace("60", "90"))


def remove_file(host: Sandbox) -> None:
    """Take one away."""
    theirs(host).unlink()


@pytest.mark.parametrize("change", [add_file, edit_file, remove_file])
def test_remembered_plan_knows_the_other_files(
    host: Sandbox, monkeypatch: pytest.MonkeyPatch, change: Callable[[Sandbox], None]
) -> None:
    """A plan with nothing to do is given from memory until any of them changes, comes or goes."""
    host.apply()
    made: list[object] = []
    real = command.run_command

    def counted(*given: Any) -> int:
        made.append(given)
        return real(*given)

    monkeypatch.setattr(command, "run_command", counted)

    def is_remembered() -> bool:
        before = len(made)
        assert host.run("--plan").code == 0
        return len(made) == before

    wait_for(is_remembered, "a plan from memory")
    change(host)
    assert not is_remembered()
