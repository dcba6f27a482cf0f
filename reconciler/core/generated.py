"""The command that is generated for a file nobody declares, and how it is known again."""

from __future__ import annotations

from itertools import pairwise

from reconciler.core.discovered_keys import key_for
from reconciler.core.edits import EntryView
from reconciler.core.llamaswap.commandline import UnbalancedQuote, split_command
from reconciler.core.llamaswap.render import render_cmd
from reconciler.core.llamaswap.serve_paths import ServePaths
from reconciler.core.manifest import Serve
from reconciler.core.mapping import as_served, to_host
from reconciler.core.names import InvalidName, RelPath
from reconciler.core.observed import Observed
from reconciler.errors import Refused


def generated_command(
    path: RelPath, mmproj: RelPath | None, observed: Observed, server: str
) -> str:
    """Give the command for the model whose first file is at `path`.

    Raises:
        Refused: llama-swap does not see the file, or its path cannot be written.
    """
    paths = ServePaths(
        model=as_served(path, observed),
        mmproj=as_served(mmproj, observed) if mmproj is not None else None,
    )
    return render_cmd(Serve(), paths, server)


def generated_for(view: EntryView, observed: Observed, server: str) -> RelPath | None:
    """Give the file that an entry was generated for, there or not.

    None where the entry differs from the generated one in name or command, or has anything else.
    """
    command = view.fields["cmd"].value if view.fields.keys() == {"cmd"} else None
    if not isinstance(command, str):
        return None
    try:
        named = dict(pairwise(split_command(command)))
        path = _below(named.get("-m", ""), observed)
        mmproj = _below(named["--mmproj"], observed) if "--mmproj" in named else None
        again = generated_command(path, mmproj, observed, server)
    except (UnbalancedQuote, InvalidName, Refused):
        return None
    # Whatever the limit on keys is now, this one was made as long as it is.
    is_same = command == again and view.model == key_for(path, longest=len(view.model))
    return path if is_same else None


def _below(served: str, observed: Observed) -> RelPath:
    """Give a path as llama-swap sees it below the models folder. Raises `InvalidName`."""
    host = to_host(served, observed.runtime.mappings) or served
    return RelPath(host.removeprefix(f"{observed.models_dir}/"))
