"""The entry point. A plan that was made before, and would come out the same, is answered here.

Nothing is imported before that is known: it is what runs a thousand times a day.
"""

from __future__ import annotations

import sys

from reconciler.cli.streams import mend_streams

# Shells say it of a command that was interrupted.
_INTERRUPTED = 130


def main(arguments: list[str] | tuple[str, ...] | None = None) -> int:
    """Run one command and give its exit code."""
    mend_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    memory = None
    if "--plan" in words:
        from reconciler.cli.remembered import PlanMemory

        try:
            memory = PlanMemory(words)
            answer = memory.recall()
            if answer is not None:
                print(answer, end="", flush=True)
                return 0
        except (OSError, ValueError):
            # It cannot be printed. The whole way meets the same, and has the words for it.
            pass
        except KeyboardInterrupt:
            return _INTERRUPTED
    from reconciler.cli.command import run_command

    return run_command(words, memory)
