"""A watch that is looked at over HTTP: what it says of itself is what it does."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.demo.hub_faults import Fault, Slow, Stall
from tests.support.documents import PROJECT, Document
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import wait_for_line, watching

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
OPERATIONS = Document(PROJECT / "docs" / "operations.md")
COMMANDS = Document(PROJECT / "docs" / "commands.md")


class Site:
    """The pages of one watch."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self) -> Any:
        """Give the data of the status page."""
        return json.loads(self.get("/api/status")[1])

    def rests_after(self, passes: int) -> bool:
        """Whether so many passes were run, and what they did is shown."""
        status = self.status()
        watch = status["watch"]
        done = watch["passes"] == passes == len(status["runs"])
        return bool(done and watch["phase"] == "resting")

    def metrics(self) -> dict[tuple[str, str], float]:
        """Give every sample by its name and the value of its only label."""
        families = text_string_to_metric_families(self.get("/metrics")[1].decode())
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in families
            for sample in family.samples
        }


@contextmanager
def looked_at(host: Sandbox, *arguments: str) -> Iterator[Site]:
    """Run a watch with a status page on a port that is free."""
    process = host.start("--watch", "--listen", "127.0.0.1:0", *arguments)
    try:
        line = wait_for_line(process.stderr, "status page at http://127.0.0.1:")
        yield Site(process, int(line.strip().rstrip("/").rpartition(":")[2]))
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def test_page_shows_a_watch_from_its_first_pass_on(host: Sandbox) -> None:
    """It answers while the first pass still fetches, with how far that is; then all is applied, and
    the numbers say the same. Health and readiness follow.
    """
    files = host.add_repo("acme/chat-GGUF", size=400_000)
    host.write_manifest(CHAT)
    stall = Fault(effect=Stall(after_bytes=100_000), path="*.gguf", origin="cdn", times=None)
    host.hub.faults.add(stall)
    with looked_at(host) as site:
        wait_for(lambda: bool(site.status()["work"]["tasks"]), "a download to be shown")
        wait_for(lambda: bool(site.status()["models"]), "the models of its plan")
        shown = site.status()
        assert shown["watch"]["phase"] == "working"
        assert shown["models"][0]["state"] == "pending"
        assert site.get("/readyz") == (503, b"no pass has ended yet\n")
        assert site.metrics()["reconciler_work_left_bytes", ""] > 0
        host.hub.faults.clear()
        host.hub.release_stalled()
        wait_for(lambda: site.rests_after(1), "the first pass to end")
        shown = site.status()
        assert list(shown) == documented_keys("status page key")
        assert list(shown["watch"]) == documented_keys("watch key")
        assert [item["state"] for item in shown["models"]] == ["in sync"]
        assert shown["models"][0]["size_bytes"] == len(files["chat-Q4_K_M.gguf"])
        assert shown["work"] == {"total": None, "tasks": []}
        assert shown["plan"] is None
        assert shown["runs"] == host.run("history", "--json").json["runs"]
        assert shown["watch"]["pid"] == site.process.pid
        assert site.get("/healthz") == site.get("/readyz") == (200, b"ok\n")
        metrics = site.metrics()
        assert metrics["reconciler_runs_total", "applied"] == 1
        assert metrics["reconciler_passes_total", "start"] == 1
        assert metrics["reconciler_models", "in sync"] == 1
        assert metrics["reconciler_fetched_bytes_total", ""] == len(files["chat-Q4_K_M.gguf"])
        assert metrics["reconciler_run_duration_seconds_count", ""] == 1
        assert (
            metrics["reconciler_next_look_timestamp_seconds", ""]
            > (metrics["reconciler_last_success_timestamp_seconds", ""])
        )
        assert metrics["reconciler_paused", ""] == 0
        assert {name for name, _ in metrics if not name.startswith("process_")} == (
            documented_metrics()
        )


def test_runs_in_vain_do_not_push_out_what_was_done(host: Sandbox) -> None:
    """Of runs that found nothing to do the newest alone is shown, then those that did something."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)

    def shown() -> list[str]:
        """Give how the runs ended, once the last one is among them."""
        last = json.loads((host.models / ".reconciler" / "last_sync_metadata.json").read_text())
        runs = site.status()["runs"]
        return [run["outcome"] for run in runs] if runs[0]["run"] == last["run"] else []

    with looked_at(host) as site:
        wait_for(lambda: site.rests_after(1), "the first pass")
        for passes in (2, 3):
            host.write_manifest(f"{CHAT}  # {passes}\n")
            wait_for(lambda: site.status()["watch"]["passes"] >= passes, "a pass")  # noqa: B023
            wait_for(lambda: shown()[:1] == ["in sync"], "its run")
        wait_for(lambda: shown() == ["in sync", "applied"], "what was done")


def documented_keys(head: str) -> list[str]:
    """Give the keys that a table explains, in its order."""
    return [key for row in COMMANDS.table(head) for key in re.findall(r"`(\w+)`", row)]


def documented_metrics() -> set[str]:
    """Give the names of samples that the table of metrics explains."""
    names = {row.strip("`").partition("{")[0] for row in OPERATIONS.table("metric")}
    histogram = "reconciler_run_duration_seconds"
    assert histogram in names
    return names - {histogram} | {f"{histogram}_{part}" for part in ("bucket", "count", "sum")}


def test_page_tells_what_is_wrong_and_when_it_is_well_again(host: Sandbox) -> None:
    """A manifest that is wrong makes it unready, with the reason; the next good one mends that."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with looked_at(host) as site:
        wait_for(lambda: site.get("/readyz")[0] == 200, "the first pass")
        host.manifest.write_text("version: 1\nmodels: [\n")
        wait_for(lambda: site.get("/readyz")[0] == 503, "it to be unready")
        assert b"home.yaml" in site.get("/readyz")[1]
        shown = site.status()
        assert "home.yaml" in shown["watch"]["problem"]["message"]
        # What takes long to make follows as soon as it is made.
        wait_for(
            lambda: [item["state"] for item in site.status()["models"]] == ["in sync"],
            "the models, as they were left",
        )
        assert site.metrics()["reconciler_runs_total", "failed"] == 1
        assert site.get("/healthz")[0] == 200
        host.write_manifest(CHAT + "    serve: {ttl: 5}\n")
        wait_for(lambda: site.get("/readyz")[0] == 200, "it to be ready again")
        assert site.status()["watch"]["problem"] is None


def test_settings_read_again_keep_the_page_or_end_it(host: Sandbox) -> None:
    """At SIGHUP who looks is not cut off where the address stays; one that is taken leaves all
    as it is, with a warning; `off` ends it.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    dotenv = host.home / ".env"
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as kept_free:
        taken = other.getsockname()[1]
        # Bound and not listening, it keeps others from the port, and not the watch.
        kept_free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept_free.bind(("127.0.0.1", 0))
        port = kept_free.getsockname()[1]
        dotenv.write_text(f"RECONCILER_LISTEN=127.0.0.1:{port}\n")
        with watching(host) as process:
            site = Site(process, port)
            wait_for(lambda: site.rests_after(1), "the first pass")
            kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            kept.request("GET", "/healthz")
            assert kept.getresponse().read() == b"ok\n"
            process.send_signal(signal.SIGHUP)
            wait_for_line(process.stderr, "the settings were read again")
            kept.request("GET", "/healthz")
            assert kept.getresponse().read() == b"ok\n"
            kept.close()
            dotenv.write_text(f"RECONCILER_LISTEN=127.0.0.1:{taken}\n")
            process.send_signal(signal.SIGHUP)
            wait_for_line(process.stderr, "the settings stay as they were")
            assert site.get("/healthz")[0] == 200
            # Its own socket is not in its way.
            dotenv.write_text(f"RECONCILER_LISTEN=0.0.0.0:{port}\n")
            process.send_signal(signal.SIGHUP)
            wait_for_line(process.stderr, "the settings were read again")
            assert site.get("/healthz")[0] == 200
            dotenv.write_text("RECONCILER_LISTEN=off\n")
            process.send_signal(signal.SIGHUP)
            wait_for_line(process.stderr, "the settings were read again")
            with pytest.raises(ConnectionRefusedError):
                site.get("/healthz")


def test_port_that_is_taken_ends_the_start(host: Sandbox) -> None:
    """Who asked for a page and cannot have it is told before anything is done."""
    host.write_manifest(CHAT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = host.start("--watch", "--listen", address)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert f"--listen {address}" in err
    assert "hint:" in err


def test_who_listens_for_others_is_warned_of_what_they_read(host: Sandbox) -> None:
    """Beyond loopback a warning says what everybody there may read; without, there is none."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    process = host.start("--watch", "--listen", "0.0.0.0:0")
    try:
        assert "may read which models" in wait_for_line(process.stderr, "warning:")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_no_secret_is_ever_shown(host: Sandbox) -> None:
    """Tokens and keys of settings, sources and configs stand on no page."""
    host.add_repo("acme/chat-GGUF", size=400_000)
    secrets = ("sig-in-a-query", "key-of-a-server", "value-of-env", "hook-secret")
    query, key, value, hook = secrets
    token = "hf_" + "t" * 30
    host.settings |= {
        "HF_TOKEN": token,
        "RECONCILER_LLAMA_SWAP_API_KEY": key,
        "RECONCILER_NOTIFY_URL": f"http://127.0.0.1:9/{hook}",
    }
    far = f"{host.hub.url}/acme/chat-GGUF/resolve/main/chat-Q8_0.gguf?sig={query}"
    host.write_manifest(
        f"{CHAT}    serve:\n"
        f"      env: ['OPENAI_API_KEY={value}']\n"
        f"      args: {{api-key: {key}}}\n"
        f"  far:\n    source: {far}\n    sha256: '{'0' * 64}'\n"
    )
    host.hub.faults.add(Fault(effect=Slow(bytes_per_second=300_000), path="*.gguf", times=None))
    with looked_at(host) as site:
        wait_for(lambda: site.status()["plan"] is not None, "the plan")
        shown = site.get("/api/status")[1].decode()
        assert "/resolve/main/chat-Q8_0.gguf" in shown
        pages = shown + site.get("/metrics")[1].decode() + site.get("/readyz")[1].decode()
        for secret in (*secrets, token):
            assert secret not in pages


def test_slow_visitors_hold_up_neither_the_watch_nor_others(host: Sandbox) -> None:
    """With forty half requests open, a save is applied and the page answers."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with looked_at(host) as site:
        wait_for(lambda: site.rests_after(1), "the first pass")
        slow = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(40)]
        try:
            for each in slow:
                each.sendall(b"GET / HTTP/1.1\r\n")
            host.write_manifest(CHAT + "    serve: {ttl: 6}\n")
            wait_for(lambda: site.rests_after(2), "the second pass")
        finally:
            for each in slow:
                each.close()
    assert "ttl: 6" in host.config.read_text()


def test_watch_without_a_page_loads_no_server() -> None:
    """Who does not listen does not pay for it: neither the server nor the metrics are imported."""
    code = (
        "import sys, reconciler.cli.verbs.watch;"
        "print(*{'waitress', 'prometheus_client'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
    )
    assert result.stdout == "\n"
