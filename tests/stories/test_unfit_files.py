"""Pipes, devices and endless files where a manifest, lock or config should be: a run comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.unfit import UNFIT, put_unfit
from tests.support.waiting import wait_for
from tests.support.watching import logged, serves

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "version: 1\nmodels:\n  code:\n    source: acme/code-GGUF:Q4_K_M\n"


@pytest.fixture
def applied(host: Sandbox) -> Sandbox:
    """A host with one model."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    return host


@pytest.mark.parametrize(("what", "code"), [("manifest", 2), ("lock", 1), ("config", 1)])
def test_unfit_file_is_an_error_with_its_place(applied: Sandbox, what: str, code: int) -> None:
    """Whatever stands there, the run ends, says which path and why, and touches nothing."""
    path: Path = getattr(applied, what)
    models = applied.model_files()
    for kind in UNFIT:
        words = put_unfit(kind, path)
        result = applied.run("--yes")
        assert result.code == code, kind
        assert str(path) in result.err, kind
        assert words in result.err, kind
        assert "in its place" in result.err or "look what it is" in result.err, kind
        assert applied.model_files() == models
        path.unlink()


def test_unfit_file_in_a_folder_of_manifests_is_not_passed_over(applied: Sandbox) -> None:
    """Its models would be taken away, as if nobody wanted them any more: so it is an error, and a
    link that leads nowhere too.
    """
    applied.add_repo("acme/code-GGUF", seed=2)
    folder = applied.manifest.parent
    applied.settings["RECONCILER_MANIFEST"] = str(folder)
    more = folder / "more.yaml"
    more.write_text(CODE)
    applied.apply()
    models = applied.model_files()
    for kind in UNFIT:
        words = put_unfit(kind, more)
        result = applied.run("--yes", "--allow-prune")
        assert (result.code, words in result.err) == (2, True), kind
        assert str(more) in result.err
    more.unlink()
    more.symlink_to("nowhere.yaml")
    result = applied.run("--yes", "--allow-prune")
    assert (result.code, "No such file" in result.err) == (2, True)
    assert applied.model_files() == models


def test_config_beside_ours_is_refused(host: Sandbox) -> None:
    """A file in the folder of configs that llama-swap merges counts as much as ours."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.settings["RECONCILER_CONFIG_DIR"] = str(host.config.parent)
    words = put_unfit("zeros", host.config.parent / "theirs.yaml")
    result = host.run("--yes")
    assert (result.code, words in result.err, "theirs.yaml" in result.err) == (1, True, True)


def test_linked_config_goes_on_working(applied: Sandbox) -> None:
    """A link to a regular file is as good as the file: it is read, and written where it lies."""
    real = applied.home / "checkout" / "config.yaml"
    real.parent.mkdir()
    shutil.move(applied.config, real)
    applied.config.symlink_to(real)
    applied.write_manifest(CHAT + "    serve: {ttl: 17}\n")
    applied.apply()
    assert applied.config.is_symlink()
    assert "ttl: 17" in real.read_text()


@pytest.mark.parametrize(("what", "kind"), [("manifest", "pipe"), ("lock", "zeros")])
def test_watch_keeps_the_last_good_state_says_so_once_and_goes_on(
    host: Sandbox, what: str, kind: str
) -> None:
    """Over several passes nothing changes and nothing is repeated; the next good one counts."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.settings["RECONCILER_RESYNC"] = "0.3"
    with logged(host, "--verbose") as log:
        wait_for(lambda: "chat" in host.config.read_text() and log.is_at_rest(), "the model")
        good, path = host.config.read_text(), getattr(host, what)
        words = put_unfit(kind, path)
        wait_for(lambda: any(words in line for line in log.warnings()), "the warning")
        seen = len(log.events("rests"))
        wait_for(lambda: len(log.events("rests")) > seen + 3, "more passes")
        assert host.config.read_text() == good
        assert len([line for line in log.warnings() if f"{path}" in line]) == 1
        path.unlink()
        host.write_manifest(CHAT + "    serve: {ttl: 12}\n")
        serves(host, "ttl: 12")
