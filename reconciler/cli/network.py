"""The hub, opened by the first call that needs it: a pass that asks nothing imports nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.adapters.base.http import HttpClient
    from reconciler.adapters.hub.metadata import HubMetadata
    from reconciler.adapters.hub.transfer import HttpTransfer
    from reconciler.cli.settings import Settings
    from reconciler.core.names import Commit, RepoId, Sha256
    from reconciler.core.ports.clock import Clock
    from reconciler.core.ports.hub import RemoteFile, Upstream
    from reconciler.core.ports.reporting import Progress, Reporter
    from reconciler.core.ports.transfer import Brought, Piece, Stretch
    from reconciler.core.source import Origin


class Network:
    """The `Hub` and the `Transfer` port over one HTTP client, made when first asked.

    Safe to use from several threads.
    """

    def __init__(self, settings: Settings, clock: Clock, reporter: Reporter) -> None:
        self._settings = settings
        self._clock = clock
        self._reporter = reporter
        self._making = threading.RLock()
        self._http: HttpClient | None = None
        self._hub: HubMetadata | None = None
        self._transfer: HttpTransfer | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()

    def resolve_revision(self, repo: RepoId, revision: str | None, *, anew: bool = False) -> Commit:
        """See `Hub.resolve_revision`."""
        return self._open_hub().resolve_revision(repo, revision, anew=anew)

    def look_up(self, repo: RepoId, revision: str | None) -> Upstream:
        """See `Hub.look_up`."""
        return self._open_hub().look_up(repo, revision)

    def list_files(
        self, repo: RepoId, commit: Commit, *, anew: bool = False
    ) -> tuple[RemoteFile, ...]:
        """See `Hub.list_files`."""
        return self._open_hub().list_files(repo, commit, anew=anew)

    def fetch(
        self,
        origin: Origin,
        partial: Path,
        *,
        size_bytes: int,
        sha256: Sha256,
        progress: Progress,
        known: Sequence[Stretch | Piece] = (),
    ) -> Brought:
        """See `Transfer.fetch`."""
        return self._open_transfer().fetch(
            origin,
            partial,
            size_bytes=size_bytes,
            sha256=sha256,
            progress=progress,
            known=known,
        )

    def read(self, origin: Origin, start: int, end: int, *, size_bytes: int) -> bytes:
        """See `Transfer.read`."""
        return self._open_transfer().read(origin, start, end, size_bytes=size_bytes)

    def stop(self) -> None:
        """See `Transfer.stop`."""
        if self._transfer is not None:
            self._transfer.stop()

    def measure(self, url: str) -> int:
        """See `Transfer.measure`."""
        return self._open_transfer().measure(url)

    def _client(self) -> HttpClient:
        with self._making:
            if self._http is None:
                from reconciler.adapters.base.http import HttpClient

                self._http = HttpClient(
                    clock=self._clock, limit_bytes_per_second=self._settings.limit_rate
                )
            return self._http

    def _open_hub(self) -> HubMetadata:
        with self._making:
            if self._hub is None:
                from reconciler.adapters.hub.metadata import HubMetadata
                from reconciler.adapters.hub.metadata_cache import MetadataCache
                from reconciler.adapters.store.known_digests import cache_folder

                self._warn_of_plain_http()
                self._hub = HubMetadata(
                    endpoint=self._settings.hf_endpoint,
                    token=self._token_reader(),
                    offline=self._settings.offline,
                    http=self._client(),
                    clock=self._clock,
                    cache=MetadataCache(
                        cache_folder(self._settings.environment) / "hub",
                        ttl_seconds=self._settings.metadata_ttl,
                        clock=self._clock,
                    ),
                )
            return self._hub

    def _open_transfer(self) -> HttpTransfer:
        with self._making:
            if self._transfer is None:
                from reconciler.adapters.hub.transfer import HttpTransfer

                self._transfer = HttpTransfer(
                    endpoint=self._settings.hf_endpoint,
                    token=self._token_reader(),
                    offline=self._settings.offline,
                    http=self._client(),
                    clock=self._clock,
                )
            return self._transfer

    def _warn_of_plain_http(self) -> None:
        """What a pin names is believed from then on, so who may have changed the answer matters."""
        from reconciler.adapters.base.urls import origin_of, shown
        from reconciler.adapters.hub.endpoint import Endpoint

        base = Endpoint.parse(self._settings.hf_endpoint).base
        origin = origin_of(base)
        if origin.scheme == "http" and not origin.is_loopback:
            self._reporter.warn(
                f"pins are resolved over plain http from {shown(base)}: "
                "whoever sits in between could name other bytes",
                "set HF_ENDPOINT to https://…, or check the lock before it is committed",
            )

    def _token_reader(self) -> Callable[[], str | None]:
        from reconciler.adapters.hub.token import read_token

        environment = self._settings.environment
        for warning in read_token(environment).warnings:
            self._reporter.warn(warning)
        return lambda: read_token(environment).value
