"""A command that somebody else wrote gets new paths, and keeps every other word."""

from __future__ import annotations

import pytest

from reconciler.core.llamaswap.render import ServePaths, render_patch
from reconciler.errors import Refused

_NEW = ServePaths(model="/n/new.gguf")


@pytest.mark.parametrize(
    ("cmd", "pair"),
    [
        ("srv -m /o/a.gguf -c 1", ("/o/a.gguf", "/n/new.gguf")),
        ("srv --model '/o/a b.gguf'", ("'/o/a b.gguf'", "/n/new.gguf")),
        ("srv \\\n  --model=/o/a.GGUF \\\n -c 1", ("--model=/o/a.GGUF", "--model=/n/new.gguf")),
        ("srv -m /root/.ollama/blobs/sha256-0a", ("/root/.ollama/blobs/sha256-0a", "/n/new.gguf")),
        ("${srv} --port ${PORT} -m a.gguf", ("a.gguf", "/n/new.gguf")),
        ("limits -m 16g srv --model a.gguf", ("a.gguf", "/n/new.gguf")),
    ],
)
def test_the_path_is_found_as_it_is_written(cmd: str, pair: tuple[str, str]) -> None:
    """Whatever form the flag and its quotes have, the pair is the very word in the text."""
    assert render_patch(cmd, _NEW) == (pair,)
    assert pair[0] in cmd


def test_every_file_is_looked_at() -> None:
    """Model, projector and draft change each on its own, under every name of their flags."""
    cmd = "srv -m /o/a.gguf --mmproj /n/p.gguf --spec-draft-model /o/d.gguf"
    paths = ServePaths(model="/n/a b.gguf", mmproj="/n/p.gguf", draft="/n/d.gguf")
    assert render_patch(cmd, paths) == (
        ("/o/a.gguf", "'/n/a b.gguf'"),
        ("/o/d.gguf", "/n/d.gguf"),
    )
    assert render_patch(cmd.replace("--spec-draft-model", "-md"), paths)[1][1] == "/n/d.gguf"
    assert render_patch(cmd.replace("--mmproj /n", "-mm /o"), paths)[1][1] == "/n/p.gguf"


def test_nothing_changes_where_nothing_must() -> None:
    """A command that names the wanted paths already, by whatever macros, is left as it is."""
    macros = {"dir": "/n", "args": "-m ${dir}/new.gguf"}
    assert render_patch("srv -m /n/new.gguf --mmproj /theirs.gguf", _NEW) == ()
    assert render_patch("srv -m ${dir}/new.gguf", _NEW, macros) == ()
    assert render_patch("srv ${args}", _NEW, macros) == ()
    macros["two-lines"] = "x\n-m /o/b.gguf"
    assert render_patch("srv -m /n/new.gguf\n# ${two-lines}", _NEW, macros) == ()
    assert render_patch("docker run x --model=/n/new.gguf", _NEW) == ()


@pytest.mark.parametrize(
    ("cmd", "named"),
    [
        ("srv -m ${dir}/a.gguf", r"\$\{dir\}"),
        ("srv -m ${env.HOME}/a.gguf", r"\$\{env\.HOME\}"),
        ("srv ${dir} ${args}", r"behind \$\{args\}"),
        ("srv --port 1", "has no -m/--model"),
        ("srv -hf org/repo", "has no -m/--model"),
        ("vllm serve --model org/repo", "has no -m/--model"),
        ("docker run -m 16g image", "has no -m/--model"),
        ("srv\n# -m /o/a.gguf\n", "has no -m/--model"),
        ("srv -m /o/a.gguf -m /o/b.gguf", "2 times"),
        ("/usr/bin/docker run image -m /o/a.gguf", "docker"),
        ("srv -m /o/a.gguf --log /o/a.gguf", "something else"),
        ("srv -m '/o/a.gguf", "cannot be read"),
    ],
)
def test_what_cannot_be_patched_is_refused(cmd: str, named: str) -> None:
    """Where the right words cannot be told for sure, the change is refused and says why."""
    with pytest.raises(Refused, match=named) as caught:
        render_patch(cmd, _NEW, {"dir": "/o", "args": "-m /o/a.gguf"})
    assert caught.value.hint


def test_a_declared_file_must_have_its_flag() -> None:
    """A projector that is declared but has no place in the command is refused, not forgotten."""
    paths = ServePaths(model="/n/new.gguf", mmproj="/n/p.gguf")
    with pytest.raises(Refused, match="--mmproj"):
        render_patch("srv -m /n/new.gguf", paths)


def test_one_word_for_two_files_is_never_half_right() -> None:
    """A file that is model and draft at once changes for both alike, or not at all."""
    cmd = "srv -m /o/a.gguf -md /o/a.gguf"
    both = ServePaths(model="/n/a.gguf", draft="/n/a.gguf")
    assert render_patch(cmd, both) == (("/o/a.gguf", "/n/a.gguf"),)
    for draft in ("/n/d.gguf", "/o/a.gguf"):
        with pytest.raises(Refused, match="something else"):
            render_patch(cmd, ServePaths(model="/n/a.gguf", draft=draft))


def test_a_path_that_no_command_can_hold_is_refused() -> None:
    """A wanted path with a macro in its name is refused, not written into the command."""
    with pytest.raises(Refused, match="macro"):
        render_patch("srv -m /o/a.gguf", ServePaths(model="/n/${x}.gguf"))
