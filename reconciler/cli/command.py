"""One command: parse, find settings, run the verb, turn errors into words and exit codes."""

from __future__ import annotations

import json
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from reconciler.cli.arguments import parse_arguments, parse_how_shown
from reconciler.cli.console import Console
from reconciler.cli.remembered import PlanMemory
from reconciler.cli.settings import Settings, load_how_shown, load_settings
from reconciler.cli.streams import drop_stdout
from reconciler.errors import FaultyText, Interrupted, ReconcilerError


def run_command(arguments: Sequence[str], memory: PlanMemory | None) -> int:
    """Run one command and give its exit code. `memory` keeps what a plan prints."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # What a shell starts in its background is not meant by an interrupt.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    shown = load_how_shown(parse_how_shown(arguments))
    console = Console(quiet=shown.quiet, log_format=shown.log_format, no_color=shown.no_color)
    try:
        with console:
            return _run(arguments, memory, console)
    except BrokenPipeError:
        # Whoever read our output has gone, and knows.
        drop_stdout()
        return ReconcilerError.exit_code
    except ReconcilerError as error:
        return _fail(error, shown, console)
    except KeyboardInterrupt:
        interrupted = Interrupted(
            "interrupted; what was fetched is kept", hint="run again to go on"
        )
        return _fail(interrupted, shown, console)
    except OSError as error:
        return _fail(_translated(error), shown, console)
    except Exception as error:  # noqa: BLE001 - a defect of ours; people are spared its traceback
        if shown.verbose:
            import traceback

            console.say(traceback.format_exc().rstrip())
        defect = ReconcilerError(
            f"a defect of reconcile itself: {type(error).__name__}: {error}",
            hint="nothing was lost; run again with --verbose and report what it prints",
        )
        return _fail(defect, shown, console)


def _run(arguments: Sequence[str], memory: PlanMemory | None, console: Console) -> int:
    if sys.platform == "win32":
        raise ReconcilerError(
            "Windows is not supported natively", hint="run it inside WSL2, where it works"
        )
    options = parse_arguments(arguments)
    options.memory = memory
    settings = load_settings(options)
    # Each verb is imported only when it is called: they need very different things.
    module = import_module(f"reconciler.cli.verbs.{_verb(options)}")
    code: int = module.run(options, settings, console)
    sys.stdout.flush()
    return code


def _verb(options: Namespace) -> str:
    if options.verb:
        return str(options.verb)
    return "watch" if options.watch else "reconcile"


def _translated(error: OSError) -> ReconcilerError:
    if error.filename is None:
        # Only what we print on has no name.
        drop_stdout()
        return ReconcilerError(
            f"the result could not be written: {error.strerror}",
            hint="look at where the output goes, and run again",
        )
    return ReconcilerError(
        f"{error.filename}: {error.strerror}",
        hint="look at its owner and mode, and for room on its disk",
    )


def _fail(error: ReconcilerError, shown: Settings, console: Console) -> int:
    """Say what went wrong. With `--json`, stdout carries an object then, too."""
    if shown.json:
        body: dict[str, object] = {"message": error.message, "hint": error.hint}
        if isinstance(error, FaultyText):
            body["faults"] = [
                {"path": it.path, "line": it.line, "column": it.column, "message": it.message}
                for it in error.faults
            ]
        try:
            print(json.dumps({"error": body}, indent=2), flush=True)
        except OSError:
            drop_stdout()
    console.fail(error.message, error.hint)
    return error.exit_code


class _Stopped(KeyboardInterrupt):
    """Somebody told us to stop.

    After a plain KeyboardInterrupt that met the definition of a dataclass, which executes a text,
    CPython ends the process by SIGINT, although it was caught.
    """


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped
