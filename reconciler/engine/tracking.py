"""Move the pins of tracked models to what upstream has newer: a pass of its own.

So a new version that does not come up is taken back alone, with the pins as they were, and no edit
of the manifest goes with it. Whoever watches does this after each pass that came to its end.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core.manifest import Manifest
from reconciler.core.runs import Outcome
from reconciler.engine.host import Host
from reconciler.engine.host_pins import refuse_pins
from reconciler.engine.prepared import Options, Prepared
from reconciler.engine.run import RunResult, run_once


def move_tracked_pins(
    host: Host,
    manifest: Manifest,
    options: Options,
    last: RunResult,
    *,
    approve: Callable[[Prepared], bool],
) -> RunResult | None:
    """Run a pass with the pins that `last` found newer upstream; None where nothing may move.

    `last` is the pass just made with the same manifest. The new pins are kept on this host, never
    written into the lock. Those that fail the health gate are remembered, and not moved to again.

    Raises what `run_once` raises.
    """
    if not last.newer:
        return None
    result = run_once(host, manifest, options, approve=approve, moves=last.newer)
    if result.report.outcome is Outcome.ROLLED_BACK:
        refuse_pins(host, last.newer)
    return result
