"""The command line's grammar: where options may stand, and what a slip is told."""

from __future__ import annotations

import re

import pytest

from reconciler.cli.arguments import build_parser, parse_arguments, parse_how_shown
from reconciler.cli.report_text import _CODES
from reconciler.errors import UsageError

VERBS = ("lock", "update", "status", "verify", "repair", "validate", "schema", "demo")
COMMON = (
    (["-m", "x"], "manifest", "x"),
    (["--models-dir", "x"], "models_dir", "x"),
    (["--config=x"], "config", "x"),
    (["--runtime", "none"], "runtime", "none"),
    (["--path-map", "/a=/b", "--path-map", "/c=/d"], "path_map", ["/a=/b", "/c=/d"]),
    (["--yes"], "yes", True),
    (["--lock-timeout", "5"], "lock_timeout", "5"),
    (["-v"], "verbose", True),
    (["--log-format", "json"], "log_format", "json"),
)


@pytest.mark.parametrize("verb", VERBS)
def test_common_options_stand_before_or_after_the_command(verb: str) -> None:
    """Every common option means the same on either side of every command."""
    for words, name, value in COMMON:
        before, after = parse_arguments([*words, verb]), parse_arguments([verb, *words])
        assert getattr(before, name) == getattr(after, name) == value
        assert vars(before) == vars(after)


def test_last_of_two_wins_on_whichever_side() -> None:
    """An option given twice has its last value, also when a command stands between."""
    assert parse_arguments(["-m", "a", "status", "-m", "b"]).manifest == "b"
    assert parse_arguments(["-m", "a", "-m", "b", "status"]).manifest == "b"
    assert parse_arguments(["-m", "a", "-m", "b"]).manifest == "b"


def test_option_that_nobody_gave_is_absent() -> None:
    """Only what was given may win over the environment."""
    for arguments in ([], ["status"]):
        given = vars(parse_arguments(arguments))
        assert set(given) == {"plan", "watch", "verb"}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["staus"], "did you mean status?"),
        (["-q", "verfy"], "did you mean verify?"),
        (["--plann"], "did you mean --plan?"),
        (["--model-dir", "/x"], "did you mean --models-dir?"),
        (["--model-dir", "/x", "status"], "did you mean --models-dir?"),
        (["--zzz", "1"], "see `reconcile --help`"),
        (["lock", "--chek"], "did you mean --check?"),
        (["status", "--manfest=x"], "did you mean --manifest?"),
        (["--runtime", "dcoker"], "did you mean docker?"),
        (["status", "--plan"], "`reconcile --plan` stands without a command"),
        (["--watch", "lock"], "leave out one of them: `reconcile --watch`, or `reconcile lock`"),
        (["help"], "see `reconcile --help`"),
        (["status", "chat"], "see `reconcile --help`"),
        (["--plan", "--watch"], "see `reconcile --help`"),
        (["lock", "--lock-timeout"], "see `reconcile lock --help`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_slip_is_told_the_nearest_right_word(arguments: list[str], hint: str) -> None:
    """A wrong word is an error of usage with the way on: the word that was meant, or the help."""
    with pytest.raises(UsageError) as caught:
        parse_arguments(arguments)
    assert (caught.value.hint, caught.value.exit_code) == (hint, 2)


def test_options_are_not_guessed() -> None:
    """A shortened option is refused, so that a new one never changes what a script means."""
    with pytest.raises(UsageError):
        parse_arguments(["--mani", "x"])


def test_how_to_show_is_found_in_a_wrong_call() -> None:
    """What asks for JSON gets it, though the rest of the line is wrong."""
    shown = parse_how_shown(["staus", "--json", "--plann", "--log-format=json"])
    assert vars(shown) == {"json": True, "log_format": "json"}
    assert vars(parse_how_shown(["--json", "--log-format", "xml"])) == {}


def test_help_names_every_command_and_every_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--help` fits 80 columns, and tells each command and each code that a run may end with."""
    monkeypatch.setenv("COLUMNS", "80")
    text = build_parser().format_help()
    assert all(re.search(rf"^    {verb} ", text, re.MULTILINE) for verb in VERBS)
    epilog = text[text.index("exit codes:") :]
    told = {int(code) for code in re.findall(r"(?:: |· |^)(\d+) ", epilog, re.MULTILINE)}
    assert told == {*_CODES.values(), 2, 3}
    assert max(len(line) for line in text.splitlines()) <= 80
