"""nginx on loopback, with a configuration and a folder of its own, passing for a hub."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.transfer.source import COMMIT, Source, make_interface

_PATIENCE_SECONDS = 10.0
_CONFIG = """\
daemon off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
{user}
events {{ worker_connections 1024; }}
http {{
    log_format bytes '$request_method $status $body_bytes_sent $uri';
    access_log {prefix}/access.log bytes;
    client_body_temp_path {prefix}/temporary;
    proxy_temp_path {prefix}/temporary;
    fastcgi_temp_path {prefix}/temporary;
    uwsgi_temp_path {prefix}/temporary;
    scgi_temp_path {prefix}/temporary;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    map_hash_bucket_size 256;
    map $uri $linked_etag {{
{etags}    }}
    server {{
        listen 127.0.0.1:{port};
        limit_rate {limit};
        default_type application/octet-stream;
        location /api/ {{ root {prefix}; default_type application/json; }}
        location ~ ^/(?<repo>[^/]+/[^/]+)/resolve/[^/]+/(?<file>.+)$ {{
            alias {files}/$repo/$file;
            add_header X-Repo-Commit {commit};
            add_header X-Linked-Etag $linked_etag;
        }}
    }}
}}
"""


class Nginx:
    """A server at `url`, and what it has sent."""

    def __init__(self, prefix: Path, port: int) -> None:
        self._prefix = prefix
        self.url = f"http://127.0.0.1:{port}"

    def sent_bytes(self) -> int:
        """How many bytes of files it has sent; whole once it has stopped."""
        lines = (self._prefix / "access.log").read_text().splitlines()
        return sum(int(line.split()[2]) for line in lines if "/resolve/" in line)


@contextmanager
def serving(
    prefix: Path, sources: Sequence[Source], *, limit_bytes_per_second: int = 0
) -> Iterator[Nginx]:
    """Serve `sources` in the empty folder `prefix`; 0 is no limit, any other holds per connection.

    When the block ends, it has stopped, and its log is whole.
    """
    prefix.mkdir()
    port = _free_port()
    etags = [
        f'        "/{source.repo}/resolve/{revision}/{path}" \'"{file.sha256}"\';\n'
        for source in sources
        for path, file in source.files.items()
        for revision in ("main", COMMIT)
    ]
    for source in sources:
        make_interface(prefix, source)
    config = _CONFIG.format(
        prefix=prefix,
        user="user root;" if os.geteuid() == 0 else "",
        port=port,
        limit=limit_bytes_per_second,
        etags="".join(etags),
        files=sources[0].folder,
        commit=COMMIT,
    )
    (prefix / "nginx.conf").write_text(config)
    process = subprocess.Popen(
        ["nginx", "-p", prefix, "-c", prefix / "nginx.conf", "-e", prefix / "error.log"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process, prefix)
        yield Nginx(prefix, port)
    finally:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], prefix: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nginx did not start: {(prefix / 'error.log').read_text()}")
