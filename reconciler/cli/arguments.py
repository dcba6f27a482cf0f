"""The command line's grammar. Common options stand before or after the sub-command."""

from __future__ import annotations

import re
from argparse import (
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import NoReturn

from reconciler import __version__
from reconciler.errors import UsageError

_DESCRIPTION = """\
Make this llama-swap host serve what a manifest says: plan, fetch, verify, write
the config, reload, check health, and roll back if it is not healthy.

Without a command it plans, shows the plan, asks where something would be
removed or replaced, and applies it."""

_EXIT_CODES = """\
exit codes: 0 in sync or applied · 1 error or refused · 2 wrong usage or
manifest · 3 changes pending · 4 a model failed, the rest is applied ·
5 unhealthy, rolled back · 130 interrupted"""

_HELP_HINT = "see `reconcile --help`"
_MODES = ("--plan", "--watch")
# The commands that plan first, as the main job does.
_PLANNED = ("rollback", "prune")
_MOST_SHOWN = 1_000_000


class _Parser(ArgumentParser):
    """A parser whose complaints are errors of ours, with a next step."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`; where a word was misspelt, the hint gives the nearest right one."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong is None:
            raise UsageError(message, hint=f"see `{self.prog} --help`")
        choices = re.findall(r"[\w-]+", wrong[2])
        what = message.partition(":")[0].removeprefix("argument ")
        raise UsageError(
            f"{what}: {wrong[1]!r} is none of {', '.join(choices)}",
            hint=_nearest(wrong[1], choices) or f"see `{self.prog} --help`",
        )


def parse_arguments(arguments: Sequence[str]) -> Namespace:
    """Parse the command line; values that nobody gave are absent.

    Raises:
        UsageError: it is wrong; the hint gives the nearest right word.
    """
    parser = build_parser()
    # Seen first, for the value that was meant for such an option would be taken for a command.
    _refuse_unknown_options(parser, arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise _unknown(parser, options.verb, unknown)
    planned = options.plan and options.verb not in _PLANNED
    if options.verb and (planned or options.watch):
        mode = "--plan" if options.plan else "--watch"
        raise UsageError(
            f"{mode} is for the main job, and {options.verb} is a command of its own",
            hint=f"leave out one of them: `reconcile {mode}`, or `reconcile {options.verb}`",
        )
    return options


def parse_how_shown(arguments: Sequence[str]) -> Namespace:
    """Parse only the options on how results and errors are shown; never raises.

    They hold for the error that the rest of the command line may be.
    """
    parser = _Parser(add_help=False, argument_default=SUPPRESS, allow_abbrev=False)
    _add_shown(parser)
    try:
        return parser.parse_known_args(arguments)[0]
    except UsageError:
        return Namespace()


def build_parser() -> ArgumentParser:
    """Give the parser of the whole command line."""
    common = _common_options()
    parser = _Parser(
        prog="reconcile",
        usage="reconcile [--plan | --watch] [OPTIONS]\n       reconcile COMMAND [OPTIONS]",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        parents=[common],
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"reconcile {__version__}")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--plan", action="store_true", help="show what would be done, change nothing")
    mode.add_argument(
        "--watch", action="store_true", help="keep applying, on every change of the manifest"
    )
    verbs = parser.add_subparsers(
        dest="verb", metavar="COMMAND", title="commands", prog="reconcile"
    )

    def verb(name: str, summary: str, takes: str = "") -> ArgumentParser:
        return verbs.add_parser(
            name,
            usage=f"reconcile {name} {takes}[OPTIONS]",
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            parents=[common],
            allow_abbrev=False,
        )

    lock = verb("lock", "resolve what the manifest asks for into the lock file")
    lock.add_argument(
        "--check", action="store_true", help="write nothing; exit 3 if the lock is not complete"
    )
    update = verb(
        "update",
        "move pins in the lock to what upstream has now",
        "MODEL... | --all | --tracked ",
    )
    update.add_argument("models", nargs="*", metavar="MODEL", help="models whose pins may move")
    update.add_argument("--all", action="store_true", help="every model's pin may move")
    update.add_argument(
        "--tracked", action="store_true", help="the pins of models with `update: track` may move"
    )
    verb("status", "show each model: drift (changed by others) and what is pending")
    listing = verb("list", "list the models that are here, and what their files say of them")
    listing.add_argument(
        "--unowned", action="store_true", help="the GGUF files instead that no model declares"
    )
    search = verb("search", "find models by words or their beginnings", "WORD... ")
    search.add_argument("words", nargs="+", metavar="WORD", help="all of them must be found")
    search.add_argument("--limit", type=_whole, default=20, metavar="N", help="show at most N (20)")
    history = verb("history", "show past runs, the newest first")
    history.add_argument("--limit", type=_whole, default=20, metavar="N", help="show N lines (20)")
    history.add_argument("--all", action="store_true", help="a line for each run")
    verify = verb("verify", "read every file of ours again and check it", "[MODEL...] ")
    verify.add_argument("models", nargs="*", metavar="MODEL", help="only these models' files")
    verify.add_argument(
        "--quick", action="store_true", help="read no file: compare size, time and header alone"
    )
    verify.add_argument(
        "--fresh", action="store_true", help="do not continue a check that was cut short"
    )
    repair = verb("repair", "verify, and fetch again what is damaged of a file", "[MODEL...] ")
    repair.add_argument("models", nargs="*", metavar="MODEL", help="only these models' files")
    repair.add_argument(
        "--fresh", action="store_true", help="do not continue a check that was cut short"
    )
    rollback = verb("rollback", "go back to an earlier generation, as history shows them", "[N] ")
    rollback.add_argument(
        "generation", nargs="?", type=_whole, metavar="N", help="which (the one before this)"
    )
    prune = verb("prune", "delete old trash and stale partial downloads for good")
    prune.add_argument("--trash", action="store_true", help="all of the trash, however new")
    prune.add_argument(
        "--partials-older-than",
        metavar="AGE",
        help="partial downloads that nobody wrote to for so long (7d)",
    )
    prune.add_argument(
        "--all", action="store_true", help="all of the trash and every partial download"
    )
    for planned in (rollback, prune):
        # Before the command it means the same, so that here nothing is set where it is not given.
        planned.add_argument(
            "--plan", action="store_true", default=SUPPRESS, help="show it, and change nothing"
        )
    pause = verb("pause", "hold the watch: it runs nothing until it is resumed")
    pause.add_argument(
        "--until", metavar="WHEN", help="resume by itself: 2h, 18:00, 2026-12-24T08:00"
    )
    verb("resume", "end the pause of the watch")
    verb("diff", "show what the next run would change in llama-swap's config, and nothing else")
    verb("doctor", "find what is wrong around llama-swap, and how to mend it")
    verb("validate", "check the manifest's text alone")
    verb("schema", "print the manifest's JSON Schema, for editors")
    verb("demo", "show the whole loop on an embedded hub: no network, no Docker")
    return parser


def _common_options() -> _Parser:
    common = _Parser(add_help=False, argument_default=SUPPRESS, allow_abbrev=False)
    where = common.add_argument_group("where")
    where.add_argument("-m", "--manifest", metavar="PATH", help="manifest file or folder")
    where.add_argument("--models-dir", metavar="PATH", help="folder the models lie in")
    where.add_argument("--config", metavar="PATH", help="llama-swap's config file")
    where.add_argument(
        "--config-dir", metavar="PATH", help="the folder of configs that llama-swap merges"
    )
    where.add_argument(
        "--runtime", choices=("docker", "command", "none"), help="what runs llama-swap"
    )
    where.add_argument(
        "--docker-host",
        metavar="URL",
        help="the Docker engine, as in DOCKER_HOST, which it wins over",
    )
    where.add_argument(
        "--container",
        metavar="NAME",
        help="its container (llama-swap); also label:KEY=VALUE, compose:PROJECT/SERVICE",
    )
    where.add_argument(
        "--path-map",
        action="append",
        metavar="HOST=CONTAINER",
        help="how llama-swap sees a path of this host; may be repeated",
    )
    what = common.add_argument_group("what may be done")
    what.add_argument("--yes", action="store_true", help="never ask")
    what.add_argument("--allow-prune", action="store_true", help="lift the guard on removals")
    what.add_argument(
        "--adopt",
        choices=("auto", "off"),
        help="whether models are taken from other programs' stores (auto)",
    )
    what.add_argument(
        "--adopt-from",
        action="append",
        metavar="PATH",
        help="a folder whose models may be taken; may be repeated",
    )
    what.add_argument("--locked", action="store_true", help="fail if the lock is not complete")
    what.add_argument("--offline", action="store_true", help="ask nothing of the network")
    what.add_argument(
        "--lock-timeout", metavar="SECONDS", help="how long to wait for another run (30)"
    )
    what.add_argument(
        "--health-timeout", metavar="SECONDS", help="how long the health gate may take (60)"
    )
    what.add_argument(
        "--reload",
        choices=("auto", "watch", "signal", "restart", "none"),
        help="how llama-swap takes a changed config (auto: the gentlest way that works)",
    )
    what.add_argument(
        "--drain",
        metavar="DURATION",
        help="how long requests in flight are waited for: 90s, 5m (5m)",
    )
    what.add_argument(
        "--drain-then",
        choices=("reload", "wait"),
        help="what comes after that: reload all the same, or wait on (reload)",
    )
    what.add_argument(
        "--restart-window",
        metavar="TIMES",
        help="when llama-swap may be disturbed: 03:00-05:00, or off for any time",
    )
    what.add_argument(
        "--probe", action="store_true", help="have each changed model load and answer one token"
    )
    what.add_argument(
        "--warm", action="store_true", help="load again what was loaded before a reload"
    )
    what.add_argument(
        "--limit-rate", metavar="RATE", help="bytes per second to fetch at most: 20M, 5MiB (off)"
    )
    what.add_argument(
        "--disk-reserve", metavar="SIZE", help="how much must stay free on the models' disk (1GiB)"
    )
    what.add_argument(
        "--download-window", metavar="TIMES", help="when to fetch: 01:00-07:00, or off for any time"
    )
    watch = common.add_argument_group("for --watch")
    watch.add_argument(
        "--git-pull",
        metavar="INTERVAL",
        help="how often to fast-forward the repository of the manifest: 90s, 5m (off)",
    )
    watch.add_argument(
        "--git-verify", action="store_true", help="pull only commits with a good signature"
    )
    watch.add_argument(
        "--git-lock-branch", metavar="BRANCH", help="commit a lock that changed to this branch"
    )
    watch.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        help="show a status page, metrics and health there: 127.0.0.1:9292 (off)",
    )
    _add_shown(common)
    return common


def _add_shown(parser: ArgumentParser) -> None:
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--json", action="store_true", help="print the result for machines")
    shown.add_argument(
        "--detailed-exitcode", action="store_true", help="exit 3 if changes are pending"
    )
    shown.add_argument(
        "-v", "--verbose", action="store_true", help="print the traceback of a defect"
    )
    shown.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    shown.add_argument("--log-format", choices=("text", "json"), help="how the log is written")
    shown.add_argument("--no-color", action="store_true", help="no colours (or set NO_COLOR)")


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _MOST_SHOWN:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST_SHOWN}")
    return int(text)


def _refuse_unknown_options(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    commands = _commands(parser)
    known = {option for item in (parser, *commands.values()) for option in _options_of(item)}
    verb = next((word for word in arguments if word in commands), None)
    wrong = [word for word in arguments if word.startswith("--") and _name(word) not in known]
    if wrong:
        raise _unknown(parser, verb, wrong)


def _unknown(parser: ArgumentParser, verb: str | None, words: Sequence[str]) -> UsageError:
    name = _name(words[0])
    alone = f"`reconcile {name}` stands without a command" if name in _MODES else ""
    known = _options_of(_commands(parser)[verb] if verb else parser)
    return UsageError(
        f"nobody knows what to do with {' '.join(words)}",
        hint=alone or _nearest(name, known) or _HELP_HINT,
    )


def _name(word: str) -> str:
    return word.partition("=")[0]


def _options_of(parser: ArgumentParser) -> Sequence[str]:
    return [option for action in parser._actions for option in action.option_strings]


def _commands(parser: ArgumentParser) -> Mapping[str, ArgumentParser]:
    found = [item for item in parser._actions if isinstance(item, _SubParsersAction)]
    return found[0].choices


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
