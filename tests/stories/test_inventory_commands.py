"""What is here, told to people and machines: `list`, `search`, `history` and `status`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.store.run_lock import RunLock
from reconciler.adapters.system_clock import SystemClock
from reconciler.core.runs import RunReport, report_to_json
from reconciler.demo.gguf_bytes import tiny_model
from tests.support.fakes import Heard
from tests.support.sandbox import Sandbox
from tests.support.terminal import at_terminal

CHAT = """\
  chat:
    source: acme/chat-GGUF:Q4_K_M
    serve:
      aliases: [gpt-4o, "Été"]
"""
CODE = "  code:\n    source: acme/code-GGUF:Q8_0\n"
VERBS = (["list"], ["list", "--unowned"], ["search", "chat"], ["history"], ["status"])


@pytest.fixture
def two_models(host: Sandbox) -> Sandbox:
    """A host on which two models were applied."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    return host


def found(host: Sandbox, *words: str) -> list[str]:
    """Give the models that a search finds, best first; it always ends well."""
    result = host.run("search", "--json", *words)
    assert result.code == 0, result.err
    return [item["model"] for item in result.json["models"]]


def state_file(host: Sandbox, name: str) -> Path:
    """Give a file or folder of the state folder."""
    return host.models / ".reconciler" / name


def rest_after(host: Sandbox, *, runs: int) -> None:
    """Have so many runs recorded that found nothing to do, ten minutes apart."""
    began = (datetime.now(UTC) + number * timedelta(minutes=10) for number in range(runs))
    reports = [
        RunReport(run=f"{number} of {runs}", started_at=moment.isoformat())
        for number, moment in enumerate(began)
    ]
    # As the inventory keeps them, but all in one transaction.
    with closing(sqlite3.connect(state_file(host, "inventory.db"))) as database, database:
        database.executemany(
            "INSERT INTO run (run, started_at, outcome, report) VALUES (?, ?, ?, ?)",
            [(it.run, it.started_at, it.outcome, json.dumps(report_to_json(it))) for it in reports],
        )


# list


def test_list_tells_what_the_files_say(two_models: Sandbox) -> None:
    """Each model has a line with what its GGUF header says, its size and where it comes from."""
    result = two_models.run("list")
    assert result.code == 0
    head, chat, code, _, totals = result.out.splitlines()
    assert head.split() == ["MODEL", "ARCH", "QUANT", "CONTEXT", "SIZE", "FILES", "SOURCE"]
    assert chat.split()[:4] == ["chat", "llama", "Q4_K_M", "4096"]
    assert chat.endswith("acme/chat-GGUF:Q4_K_M")
    assert code.split()[:3] == ["code", "llama", "Q8_0"]
    assert totals.startswith("2 models, 2 files, ")


def test_list_in_json_has_every_fact(two_models: Sandbox) -> None:
    """Machines get what people see, and the rest of what is known."""
    chat, _ = two_models.run("list", "--json").json["models"]
    assert chat == {
        "model": "chat",
        "name": "chat",
        "architecture": "llama",
        "quant": "Q4_K_M",
        "size_label": None,
        "context_length": 4096,
        "layers": 1,
        "experts": None,
        "pooling": None,
        "vision": False,
        "audio": False,
        "chat_template": False,
        "tools": False,
        "size_bytes": (two_models.models / "acme/chat-GGUF/chat-Q4_K_M.gguf").stat().st_size,
        "files": 1,
        "source": "acme/chat-GGUF:Q4_K_M",
        "tags": [],
        "aliases": ["gpt-4o", "Été"],
    }


def test_unowned_files_are_listed_with_what_they_say(two_models: Sandbox) -> None:
    """GGUF files that nobody declares are listed, shards as one, whatever else lies about."""
    mine = two_models.models / "mine"
    mine.mkdir()
    for number in (1, 2):
        shard = tiny_model("big", payload_bytes=2000, seed=number, shard=(number, 2))
        (mine / f"big-Q5_K_M-0000{number}-of-00002.gguf").write_bytes(shard)
    (mine / "broken-Q4_0.GGUF").write_bytes(b"not at all")
    (mine / "empty.gguf").touch()
    (mine / "notes.txt").write_text("no model")
    (two_models.models / ".cache").mkdir()
    (two_models.models / ".cache" / "hidden.gguf").write_bytes(b"GGUF")
    (mine / "loop").symlink_to(two_models.models)
    big, broken = two_models.run("list", "--unowned", "--json").json["files"]
    assert (big["model"], big["files"]) == ("mine/big-Q5_K_M-00001-of-00002.gguf", 2)
    assert (big["architecture"], big["context_length"]) == ("llama", 4096)
    assert (broken["model"], broken["architecture"]) == ("mine/broken-Q4_0.GGUF", None)
    assert broken["quant"] == "Q4_0"
    text = two_models.run("list", "--unowned").out
    assert text.splitlines()[0].split() == ["FILE", "ARCH", "QUANT", "CONTEXT", "SIZE", "FILES"]
    assert text.splitlines()[-1].startswith("3 files, ")


@pytest.fixture
def served_as_found(two_models: Sandbox) -> Sandbox:
    """A host that also serves a file nobody declared, with another one that has no entry yet."""
    (two_models.models / "mine").mkdir()
    (two_models.models / "mine" / "phi.gguf").write_bytes(
        tiny_model("phi", payload_bytes=900, seed=9, architecture="phi3")
    )
    two_models.write_manifest(CHAT + CODE, policy="{discover: serve}")
    two_models.apply()
    (two_models.models / "mine" / "new.gguf").write_bytes(
        tiny_model("new", payload_bytes=900, seed=10)
    )
    return two_models


def test_list_looks_at_the_files_that_are_served_as_found(served_as_found: Sandbox) -> None:
    """Nothing is kept of them, so size and facts are those of the file as it lies there now."""
    size = (served_as_found.models / "mine" / "phi.gguf").stat().st_size
    models = {item["model"]: item for item in served_as_found.run("list", "--json").json["models"]}
    phi = models["mine/phi"]
    assert (phi["architecture"], phi["size_bytes"], phi["files"]) == ("phi3", size, 1)
    assert "3 models, 3 files, " in served_as_found.run("list").out
    assert found(served_as_found, "phi") == ["mine/phi"]
    (served_as_found.models / "mine" / "phi.gguf").unlink()
    models = {item["model"]: item for item in served_as_found.run("list", "--json").json["models"]}
    assert (models["mine/phi"]["architecture"], models["mine/phi"]["files"]) == (None, 0)


def test_a_file_that_two_models_use_counts_once(two_models: Sandbox) -> None:
    """Each model has its size, and the total is what lies on the disk."""
    two_models.write_manifest(CHAT + "  same:\n    source: acme/chat-GGUF:Q4_K_M\n")
    two_models.apply("--allow-prune")
    lines = two_models.run("list").out.splitlines()
    assert lines[-1].startswith("2 models, 1 file, ")
    assert lines[-1].removeprefix("2 models, 1 file, ") in lines[1]


def test_declared_but_not_applied_is_not_unowned(two_models: Sandbox) -> None:
    """A file that the lock names is declared, also before the first run that uses it."""
    state_file(two_models, "inventory.db").rename(two_models.home / "aside.db")
    assert two_models.run("list", "--unowned", "--json").json == {"files": []}


# search


@pytest.mark.parametrize(
    ("words", "models"),
    [
        (["chat"], ["chat"]),
        (["CHA"], ["chat"]),
        (["gpt-4"], ["chat"]),
        (["ete"], ["chat"]),
        (["q8_0"], ["code"]),
        (["Q4_K"], ["chat"]),
        (["llama", "code"], ["code"]),
        (["llama code"], ["code"]),
        (["acme/code"], ["code"]),
        (['"code'], ["code"]),
        (['acme"code'], ["code"]),
        (["\udcffcode"], ["code"]),
        (["\udcff"], []),
        (["nowhere"], []),
        (["chat", "code"], []),
    ],
)
def test_search_finds_by_beginnings_of_words(
    two_models: Sandbox, words: list[str], models: list[str]
) -> None:
    """Every word must be found, whole or as a beginning, in any of what is known."""
    assert found(two_models, *words) == models


def test_search_puts_names_before_the_rest(host: Sandbox) -> None:
    """A model that is called so comes before those that merely come from there."""
    model = tiny_model("other", payload_bytes=900, seed=1)
    for repo in ("acme/other-GGUF", "chat/chat-chat-GGUF"):
        host.hub.add_commit(repo, {"other-Q4_K_M.gguf": model})
    host.write_manifest(
        "  a-first:\n    source: chat/chat-chat-GGUF:Q4_K_M\n"
        "  zebra:\n    source: acme/other-GGUF:Q4_K_M\n    serve: {aliases: [chat]}\n"
        "  a-good-model-to-chat-with:\n    source: acme/other-GGUF:Q4_K_M\n"
    )
    host.apply()
    assert found(host, "chat") == ["a-good-model-to-chat-with", "zebra", "a-first"]


@pytest.mark.parametrize(
    "word", ['"', "'", "(", "*", "chat*", "AND", "NOT", "a OR", "names:", "^x", "{", ":", "…", " "]
)
def test_no_word_is_bad_syntax(two_models: Sandbox, word: str) -> None:
    """Whatever is searched for is taken as words: nothing of it is an error."""
    result = two_models.run("search", word)
    assert result.code == 0
    assert result.err == ""


def test_nothing_found_is_no_error(two_models: Sandbox) -> None:
    """It says so and exits 0; machines get an empty list."""
    assert two_models.run("search", "nowhere").out == "Nothing found.\n"
    assert two_models.run("search", "nowhere", "--json").json == {"models": [], "count": 0}


def test_search_shows_the_best_and_counts_the_rest(two_models: Sandbox) -> None:
    """`--limit` bounds what is shown; that there is more is said."""
    result = two_models.run("search", "llama", "--limit", "1")
    assert len(result.out.splitlines()) == 2
    assert "1 model more" in result.err
    assert two_models.run("search", "llama", "--limit", "1", "--json").json["count"] == 2
    assert two_models.run("search", "llama", "--limit", "0").code == 2


def test_search_before_the_first_run_says_what_to_do(host: Sandbox) -> None:
    """Where there is nothing to be found in, that is said, not that nothing was found."""
    assert "see `reconcile --plan`" in host.run("search", "chat").out


def test_search_follows_what_is_applied(two_models: Sandbox) -> None:
    """What goes is not found any more, and what comes is, at once."""
    two_models.write_manifest(CHAT)
    two_models.apply("--allow-prune")
    assert found(two_models, "code") == []
    two_models.write_manifest(CHAT + CODE.replace("code:\n", "coder:\n"))
    two_models.apply()
    assert found(two_models, "code") == ["coder"]


# What the files say is read once.


def test_headers_are_read_once_for_each_content(two_models: Sandbox) -> None:
    """What was read is kept by digest: another run, or another name, does not read it again."""

    def contents() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(state_file(two_models, "inventory.db"))) as database:
            return database.execute("SELECT rowid_of, facts FROM marked").fetchall()

    with closing(sqlite3.connect(state_file(two_models, "inventory.db"))) as database:
        database.execute("CREATE TABLE marked (rowid_of TEXT, facts TEXT)")
        database.execute(
            "CREATE TRIGGER mark AFTER INSERT ON content BEGIN"
            " INSERT INTO marked VALUES (new.sha256, new.facts); END"
        )
        database.commit()
    two_models.write_manifest(CHAT + CODE + "  same:\n    source: acme/chat-GGUF:Q4_K_M\n")
    two_models.apply()
    assert contents() == []
    assert found(two_models, "same", "llama") == ["same"]


def test_what_no_header_tells_is_used_all_the_same(host: Sandbox) -> None:
    """Bytes that match the lock are applied whatever their header says; it is said, once."""
    host.hub.add_commit("acme/odd-GGUF", {"odd-Q4_K_M.gguf": b"GGUF, but no more than that" * 9})
    host.write_manifest("  odd:\n    source: acme/odd-GGUF:Q4_K_M\n")
    result = host.apply()
    assert "its GGUF header cannot be read" in result.err
    (odd,) = host.run("list", "--json").json["models"]
    assert (odd["architecture"], odd["quant"]) == (None, "Q4_K_M")
    assert "header" not in host.apply().err


def test_shards_that_disagree_are_said(host: Sandbox) -> None:
    """A set whose headers do not fit together is applied, with a warning."""
    host.hub.add_commit(
        "acme/big-GGUF",
        {
            f"big-Q4_K_M-0000{number}-of-00002.gguf": tiny_model(
                "big", payload_bytes=2000, seed=number, shard=(1, 2)
            )
            for number in (1, 2)
        },
    )
    host.write_manifest("  big:\n    source: acme/big-GGUF:Q4_K_M\n")
    assert "shard 2 of 2 says it is number 1" in host.apply().err
    (big,) = host.run("list", "--json").json["models"]
    assert big["files"] == 2
    assert "split" in big["tags"]


def test_a_plan_reads_no_header_and_keeps_nothing(host: Sandbox) -> None:
    """A dry run leaves what the files say to the run that places them."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.plan()
    assert host.run("list", "--json").json == {"models": []}
    assert not state_file(host, "inventory.db").exists()


# history


def test_history_tells_runs_newest_first(two_models: Sandbox) -> None:
    """Each run has a line: when, its outcome, what it changed, what it fetched."""
    two_models.write_manifest(CHAT)
    two_models.apply("--allow-prune")
    two_models.apply()
    runs = two_models.run("history", "--json").json["runs"]
    assert [run["outcome"] for run in runs] == ["in sync", "applied", "applied"]
    assert [run["removed"] for run in runs] == [[], ["code"], []]
    lines = two_models.run("history").out.splitlines()
    assert len(lines) == 4
    assert "+2" in lines[3]
    assert "-1" in lines[2]
    assert len(two_models.run("history", "--limit", "1").out.splitlines()) == 2
    two_models.apply()
    assert "2 in sync  within a minute" in two_models.run("history").out


def test_history_of_a_week_at_rest_shows_what_was_applied(two_models: Sandbox) -> None:
    """What a watch did in vain is a line that says how often, and over what time; a limit counts
    lines. `--all` shows each run, and machines are given each as ever.
    """
    rest_after(two_models, runs=1008)
    two_models.write_manifest(CHAT)
    two_models.apply("--allow-prune")
    rest_after(two_models, runs=3)
    lines = [line.split("  ") for line in two_models.run("history").out.splitlines()[1:]]
    told = [[cell.strip() for cell in line if cell][1:4] for line in lines]
    assert told == [
        ["3 in sync", "over 20 min", "-"],
        ["applied", "-1", "2, now"],
        ["1008 in sync", "over 7 days", "-"],
        ["applied", "+2", "1"],
    ]
    assert len(two_models.run("history", "--limit", "2").out.splitlines()) == 3
    each = two_models.run("history", "--all", "--limit", "2000").out.splitlines()
    assert len(each) == 1 + 3 + 1 + 1008 + 1
    assert len(two_models.run("history", "--all").out.splitlines()) == 21
    limited = two_models.run("history", "--limit", "500", "--json")
    runs = limited.json["runs"]
    assert [run["outcome"] for run in runs] == ["in sync"] * 3 + ["applied"] + ["in sync"] * 496
    assert two_models.run("history", "--all", "--limit", "500", "--json").out == limited.out


def test_history_of_a_week_fits_a_terminal(two_models: Sandbox) -> None:
    """At 80 columns, what can be gone back to is seen beside what was done in vain."""
    rest_after(two_models, runs=1008)
    two_models.write_manifest(CHAT)
    two_models.apply("--allow-prune")
    with at_terminal(two_models, "history") as terminal:
        assert terminal.end() == 0
        lines = terminal.lines()
    assert "GENERATION" in lines[0]
    assert [line.split("  ")[1].strip() for line in lines[1:4]] == [
        "applied",
        "1008 in sync",
        "applied",
    ]
    assert max(map(len, lines)) <= 80, lines


# status


def test_status_tells_what_else_lies_there(two_models: Sandbox) -> None:
    """Undeclared files, partial downloads with what they are of, and the trash are told."""
    (two_models.models / "mine.gguf").write_bytes(tiny_model("mine", payload_bytes=900, seed=9))
    (state_file(two_models, "partial") / ("ab" * 32)).write_bytes(b"1234")
    two_models.write_manifest(CHAT)
    two_models.apply("--allow-prune")
    status = two_models.run("status", "--json").json
    assert [item["path"] for item in status["unowned"]] == ["mine.gguf"]
    (partial,) = status["partials"]
    assert (partial["sha256"], partial["have_bytes"]) == ("ab" * 32, 4)
    assert (partial["size_bytes"], partial["path"]) == (None, None)
    assert status["trash"]["files"] == 1
    assert status["trash"]["oldest_at"].endswith("+00:00")
    assert status["runtime"] == {"kind": "none", "name": "", "status": "unmanaged"}
    two_models.write_manifest("")
    assert two_models.run("status", "--json").json["unowned"] == status["unowned"]
    two_models.write_manifest(CHAT)
    text = two_models.run("status").out
    assert "On disk: 1 model, 1 file, " in text
    assert "Not declared: 1 GGUF file, " in text
    assert f"Unfinished: 4 B, {'ab' * 32}" in text
    assert "Trash: 1 file, " in text


def test_status_shows_what_is_served_as_found(served_as_found: Sandbox) -> None:
    """Such a model has the size of its file, and one that the next run adds is shown as that; what
    is ours on the disk does not count them.
    """
    size = (served_as_found.models / "mine" / "phi.gguf").stat().st_size
    models = {
        item["model"]: (item["size_bytes"], item["files"], item["pending"])
        for item in served_as_found.run("status", "--json").json["models"]
    }
    assert models["mine/phi"] == (size, 1, "")
    assert models["mine/new"] == (0, 0, "add")
    out = served_as_found.run("status").out
    assert "On disk: 2 models, 2 files, " in out
    assert "Not declared: 2 GGUF files, " in out


def test_status_says_why_the_next_run_would_be_refused(two_models: Sandbox) -> None:
    """A pending removal that a guard stops is no promise: the refusal and its way out are told."""
    two_models.write_manifest("")
    out = two_models.run("status").out
    assert "Refused as it stands: this would remove every model" in out
    (refusal,) = two_models.run("status", "--json").json["refusals"]
    assert "--allow-prune" in refusal["hint"]
    with at_terminal(two_models, "status", columns=44) as terminal:
        assert terminal.end() == 0
        assert any("--allow-prune" in line for line in terminal.lines())
    two_models.write_manifest(CHAT + CODE)
    assert "Refused" not in two_models.run("status").out


def test_verify_of_nothing_is_not_intact(host: Sandbox) -> None:
    """Where there is no file of ours nobody calls it sound."""
    result = host.run("verify")
    assert (result.code, "Intact" in result.out) == (0, False)
    assert "no file of ours" in result.out


# All of them.


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_works_before_the_first_run(host: Sandbox, verb: list[str]) -> None:
    """With no inventory yet nothing is made, and nothing is an error."""
    host.write_manifest("")
    before = host.snapshot()
    result = host.run(*verb)
    assert (result.code, result.err) == (0, "")
    assert json.loads(host.run(*verb, "--json").out)
    assert host.snapshot() == before
    assert not (host.models / ".reconciler").exists()


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_works_while_a_run_holds_the_lock(two_models: Sandbox, verb: list[str]) -> None:
    """They only read, so they wait for nobody and change nothing."""
    state = state_file(two_models, "")
    with RunLock(state, timeout_seconds=0, clock=SystemClock(), reporter=Heard()):
        before = two_models.snapshot()
        result = two_models.run(*verb, "--lock-timeout", "0")
        assert (result.code, result.err) == (0, "")
        assert two_models.snapshot() == before


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_fits_forty_columns(two_models: Sandbox, verb: list[str]) -> None:
    """At a narrow terminal no line is longer than it, and the name of the model stays."""
    (two_models.models / f"{'long-' * 12}name.gguf").write_bytes(b"GGUF")
    two_models.write_manifest(CHAT + f"  {'x' * 40}:\n    source: acme/code-GGUF:Q8_0\n")
    two_models.apply("--allow-prune")
    with at_terminal(two_models, *verb, columns=40) as terminal:
        assert terminal.end() == 0
        lines = terminal.lines()
    assert max(map(len, lines)) <= 40, lines
    assert max(map(len, lines)) > 10, lines


def test_names_from_outside_cannot_act_on_the_terminal(host: Sandbox) -> None:
    """What a header says is shown on one line, its control characters harmless."""
    host.hub.add_commit(
        "acme/evil-GGUF",
        {
            "evil-Q4_K_M.gguf": tiny_model(
                "evil", payload_bytes=900, seed=1, architecture="ll\x1b[31m\nama"
            )
        },
    )
    host.write_manifest("  evil:\n    source: acme/evil-GGUF:Q4_K_M\n")
    host.apply()
    out = host.run("list").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 4
