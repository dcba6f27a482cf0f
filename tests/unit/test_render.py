"""What is written into llama-swap's config for a model is what the manifest means."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from reconciler.core.llamaswap.commandline import split_command
from reconciler.core.llamaswap.render import ServePaths, render_cmd, render_entry
from reconciler.core.manifest import Serve
from reconciler.core.values import Json
from reconciler.errors import Refused

_PATHS = ServePaths(model="/m/a.gguf")
_SERVER = "/app/llama-server"


def _render(args: Mapping[str, Json] | None = None, cmd: str | None = None) -> str:
    return render_cmd(Serve(args=args, cmd=cmd), _PATHS, _SERVER)


def test_the_default_command_is_one_short_line() -> None:
    """Without a template the command is server, port, model, and the arguments in their order."""
    cmd = _render({"jinja": True, "c": 4096})
    assert cmd == "/app/llama-server --port ${PORT} -m /m/a.gguf --jinja -c 4096"


def test_every_file_of_the_set_is_named() -> None:
    """The projector and the draft stand behind their flags, quoted where that is needed."""
    paths = ServePaths(model="/m/a b.gguf", mmproj="/m/p.gguf", draft="/m/d'.gguf")
    cmd = render_cmd(Serve(), paths, "llama-server")
    assert cmd == (
        "llama-server --port ${PORT} -m '/m/a b.gguf' --mmproj /m/p.gguf -md \"/m/d'.gguf\""
    )


def test_a_long_command_has_one_flag_a_line() -> None:
    """A command past 100 characters is written a flag a line, and means the same words."""
    args: dict[str, Json] = {f"argument-{each}": "x" * 20 for each in range(4)}
    cmd = _render(args)
    assert cmd.endswith("\n")
    assert cmd.splitlines()[:3] == ["/app/llama-server", "--port ${PORT}", "-m /m/a.gguf"]
    assert len(cmd.splitlines()) == 7
    assert split_command(cmd)[-2:] == ["--argument-3", "x" * 20]
    assert cmd == _render(args)


@pytest.mark.parametrize(
    ("args", "written"),
    [
        ({"jinja": True, "mlock": False, "x": None}, "--jinja"),
        ({"lora": ["/a", "/b c"]}, "--lora /a --lora '/b c'"),
        ({"verbose": [True, True]}, "--verbose --verbose"),
        ({"lora": [], "temp": 0.7, "c": 0}, "--temp 0.7 -c 0"),
        ({"-ngl": 99}, "-ngl 99"),
        ({"chat-template-kwargs": {"a": False}}, "--chat-template-kwargs '{\"a\":false}'"),
        ({"chat-template-kwargs": '{"a": "é"}'}, '--chat-template-kwargs \'{"a": "é"}\''),
        ({"flash-attn": "on", "alias": "${MODEL_ID}"}, "--flash-attn on --alias ${MODEL_ID}"),
        ({"api-key": ""}, "--api-key ''"),
    ],
)
def test_arguments(args: dict[str, Json], written: str) -> None:
    """True is a bare flag, false and null are nothing, a list repeats, the rest is quoted."""
    start = "/app/llama-server --port ${PORT} -m /m/a.gguf "
    assert render_cmd(Serve(args=args), _PATHS, _SERVER) == start + written


@pytest.mark.parametrize(
    "value",
    [
        {"enable_thinking": False, "n": [1, None]},
        {"text": 'it\'s "quoted" \\ and # more'},
        {"lines": "a\n# b\nc \\\n", "é": {"deep": {"er": []}}},
    ],
)
def test_mapping_reaches_the_server_as_json(value: dict[str, Json]) -> None:
    """A mapping is one word of JSON, whatever quotes are in it; a list of them repeats the flag."""
    words = split_command(_render({"kwargs": [value, value]}))
    assert words[-4] == words[-2] == "--kwargs"
    assert json.loads(words[-3]) == json.loads(words[-1]) == value


@pytest.mark.parametrize("args", [{"port": 1}, {"model": "/x"}, {"-m": "/x"}, {"mmproj": "/x"}])
def test_arguments_never_fight_with_our_flags(args: Mapping[str, Json]) -> None:
    """An argument that would name the model or the port a second time is refused, naming it."""
    paths = ServePaths(model="/m/a.gguf", mmproj="/m/p.gguf")
    with pytest.raises(Refused, match=next(iter(args))):
        render_cmd(Serve(args=args), paths, _SERVER)


def test_an_own_projector_may_be_an_argument() -> None:
    """Where the manifest brings no projector, people may name one of their own."""
    assert _render({"mmproj": "/x.gguf"}).endswith("--mmproj /x.gguf")


@pytest.mark.parametrize("bad", ["/m/${x}.gguf", "/m/\0"])
def test_paths_that_no_command_can_hold_are_refused(bad: str) -> None:
    """A path that llama-swap would change is refused rather than written."""
    with pytest.raises(Refused) as caught:
        render_cmd(Serve(), ServePaths(model=bad), _SERVER)
    assert caught.value.hint


def test_a_list_in_a_list_is_refused() -> None:
    """A value with no form on a command line is refused, naming its argument."""
    with pytest.raises(Refused, match=r"serve\.args\.x"):
        _render({"x": [["a"]]})


def test_a_template_is_filled_in_and_left_alone() -> None:
    """Our variables are replaced, and all the rest of the template stays as it was written."""
    paths = ServePaths(
        model="/m/a.gguf", mmproj="/m/p q.gguf", draft="/m/d.gguf", files={"style": "/m/l.gguf"}
    )
    template = "${server} --port ${PORT} \\\n  -m ${model}  --p=${mmproj} ${mine} ${env.X}\n"
    template += "  -md ${draft} --lora ${file.style} ${args}\n"
    cmd = render_cmd(Serve(cmd=template, args={"c": 1, "jinja": True}), paths, "srv")
    assert cmd == (
        "srv --port ${PORT} \\\n  -m /m/a.gguf  --p='/m/p q.gguf' ${mine} ${env.X}\n"
        "  -md /m/d.gguf --lora /m/l.gguf -c 1 --jinja\n"
    )


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_variable_between_quotes_stays_one_word(quote: str) -> None:
    """People quote variables; a path with a space inside those quotes is still that path."""
    template = f"srv -m {quote}${{model}}{quote} --port 1"
    cmd = render_cmd(Serve(cmd=template), ServePaths(model="/m/a b.gguf"), _SERVER)
    assert split_command(cmd) == ["srv", "-m", "/m/a b.gguf", "--port", "1"]


def test_comments_in_a_template_are_nobodys() -> None:
    """A variable in a comment line is neither filled in nor asked for, as llama-swap has it."""
    template = "srv -m ${model}\n  # --mmproj ${mmproj}\n"
    assert _render(cmd=template) == "srv -m /m/a.gguf\n  # --mmproj ${mmproj}\n"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("srv ${file.style}", r"\$\{file\.style\}"),
        ("srv ${mmproj}", r"\$\{mmproj\}"),
        ("srv ${draft}", r"\$\{draft\}"),
    ],
)
def test_a_variable_without_a_file_is_refused(template: str, named: str) -> None:
    """A template that asks for a file the model does not have is refused, naming the variable."""
    with pytest.raises(Refused, match=named):
        _render(cmd=template)


@pytest.mark.parametrize("template", ["srv -m ${model}", "srv\n# ${args}\n", "srv '${args}'"])
def test_arguments_are_never_lost(template: str) -> None:
    """Arguments beside a template that has no use for them are refused, not dropped."""
    with pytest.raises(Refused, match="args"):
        _render({"jinja": True}, template)
    assert _render({"jinja": False}, template) == _render(cmd=template)


def test_a_new_entry_has_all_that_is_declared() -> None:
    """A new entry is its command and the declared fields, in order; a null one is left out."""
    serve = Serve(fields={"ttl": 600, "aliases": ["a"], "name": None, "unlisted": False})
    entry = render_entry(serve, _PATHS, _SERVER)
    assert list(entry.items()) == [
        ("cmd", "/app/llama-server --port ${PORT} -m /m/a.gguf"),
        ("ttl", 600),
        ("aliases", ["a"]),
        ("unlisted", False),
    ]
