"""A plan for a container is answered from memory too, once the engine says that it is the same."""

from __future__ import annotations

import pytest

from reconciler.cli import command
from tests.support.container_host import serve
from tests.support.engine import Engine
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

pytestmark = pytest.mark.docker


def test_container_is_asked_before_memory_answers(
    host: Sandbox, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the container is as it was, the plan is remembered; once it was restarted or stopped,
    it is made anew, and tells how the container is now.
    """
    swap = serve(host, engine)
    host.apply()
    ways: list[object] = []
    real = command.run_command

    def noted(*given: object) -> int:
        ways.append(given)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "run_command", noted)

    def is_remembered() -> bool:
        before = len(ways)
        result = host.run("--plan")
        assert (result.code, "In sync: 1 model" in result.out) == (0, True), result.err
        return len(ways) == before

    wait_for(is_remembered, "a plan from memory")
    swap.container.restart()
    assert not is_remembered()
    wait_for(is_remembered, "a plan from memory")
    swap.container.stop()
    assert not is_remembered()
