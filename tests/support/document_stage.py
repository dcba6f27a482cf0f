"""A host on which a document is played: its files are written, its commands are run, in order."""

from __future__ import annotations

import json
import shlex
import subprocess

from tests.support.documents import PROJECT, Block, Meanwhile, commands, is_shown, json_difference
from tests.support.rot import flip
from tests.support.sandbox import Result, Sandbox

# Where a reader's host has everything.
SHOWN_HOME = "/srv/llama"
CONFIG = """\
# edited by hand
healthCheckTimeout: 120

models:
  "my-own":   # nobody touches this one
    cmd: llama-server --port ${PORT} -m /srv/old/model.gguf
"""
# What the first manifest names: as large as the real one, and a hole on this disk.
QWEN_BYTES = 639_446_688


class Stage:
    """Plays the parts of one document, in order, on one host."""

    def __init__(self, host: Sandbox, document: str) -> None:
        self._host = host
        self._document = document
        self._last = Result(code=0, out="", err="")
        host.config.unlink()
        config = host.home / "config" / "config.yaml"
        config.parent.mkdir()
        config.write_text(CONFIG)
        host.settings |= {
            "RECONCILER_MANIFEST": "",
            "RECONCILER_CONFIG": str(config),
            # Long commands are wrapped, so the length of a path must not depend on this machine.
            "RECONCILER_PATH_MAP": f"{host.models}={SHOWN_HOME}/models",
        }
        host.add_repo("acme/chat-GGUF", size=4_000_000)
        host.add_repo("acme/code-GGUF", seed=2, size=2_000_000)

    def play(self, part: Block | Meanwhile) -> None:
        """Play one part; an AssertionError says what is not as the document shows it."""
        where = f"{self._document}:{part.line}"
        match part:
            case Meanwhile(what=what):
                self._happen(what)
            case Block(language="console"):
                self._run(part)
            case Block(language="yaml", words=name) if name:
                self._write(name, part.text)
            case Block(language="json", words="printed"):
                difference = json_difference(json.loads(part.text), json.loads(self._shown_out()))
                assert not difference, f"{where}: {difference}"
            case _:
                return

    def _run(self, block: Block) -> None:
        told = True
        for command in commands(block):
            where = f"{self._document}:{command.line}: {command.text}"
            program, *arguments = shlex.split(command.text.partition("#")[0])
            if command.text == "echo $?":
                assert command.shown == f"{self._last.code}\n", where
                told = True
                continue
            assert told, f"{where}: the command before ended with {self._last.code}, unshown"
            if program == "make":
                assert arguments[0] in make_targets(), where
                continue
            self._last = self._execute(program, arguments)
            told = self._last.code == 0
            out, err = self._shown_out(), self._shown(self._last.err)
            if command.shown:
                seen = is_shown(command.shown, out) if out else False
                assert seen or is_shown(command.shown, out + err), f"{where} printed:\n{out}{err}"
        assert told, f"{self._document}:{block.line}: ended with {self._last.code}, unshown"

    def _execute(self, program: str, arguments: list[str]) -> Result:
        if program == "reconcile":
            return self._host.run(*arguments)
        assert program in ("cat", "sha256sum"), f"{program} is not run in documents"
        found = subprocess.run(
            [program, *arguments],
            cwd=self._host.home,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(code=found.returncode, out=found.stdout, err=found.stderr)

    def _write(self, name: str, text: str) -> None:
        path = self._host.home / name
        assert path.parent.is_dir(), name
        path.write_text(text)
        repo = "unsloth/Qwen3-0.6B-GGUF"
        if repo in text:
            hole = self._host.home / "hole.gguf"
            with hole.open("wb") as file:
                file.truncate(QWEN_BYTES)
            self._host.hub.add_commit(repo, {"Qwen3-0.6B-Q8_0.gguf": hole})

    def _happen(self, what: str) -> None:
        config = self._host.home / "config" / "config.yaml"
        match what:
            case "acme/chat-GGUF is uploaded again":
                self._host.add_repo("acme/chat-GGUF", seed=3, size=4_000_000)
            case "somebody edits the ttl of chat":
                text = config.read_text()
                assert "ttl: 300" in text
                config.write_text(text.replace("ttl: 300", "ttl: 5"))
            case "a byte of chat flips":
                flip(self._host.models / "acme" / "chat-GGUF" / "chat-Q4_K_M.gguf", 20_000)
            case _:
                raise AssertionError(f"{self._document}: {what!r} is nothing that can happen")

    def _shown_out(self) -> str:
        return self._shown(self._last.out)

    def _shown(self, text: str) -> str:
        text = text.replace(str(self._host.home), SHOWN_HOME)
        return text.replace(self._host.hub.url, "https://huggingface.co")


def make_targets() -> frozenset[str]:
    """Give the targets of the Makefile that people call."""
    lines = (PROJECT / "Makefile").read_text().splitlines()
    phony = next(line for line in lines if line.startswith(".PHONY:"))
    return frozenset(phony.split()[1:])
