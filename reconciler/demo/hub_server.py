"""A model hub in a box: real HTTP on loopback, for the demo and for tests.

It speaks the part of the Hugging Face Hub that a downloader meets: repository metadata, paged
trees, resolve links to a second origin (the CDN) that serves ranges, access rules, rate-limit
headers, and, on order, the faults a network has.

    with HubServer() as hub:
        commit = hub.add_commit("org/repo", {"model-Q4_K_M.gguf": tiny_model(...)})
        ...  # point HF_ENDPOINT at hub.url
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from reconciler.core.names import Commit
from reconciler.demo.hub_api import HubApi
from reconciler.demo.hub_faults import Faults
from reconciler.demo.hub_http import Origin
from reconciler.demo.hub_links import LinkSigner
from reconciler.demo.hub_messages import Answer, LoggedRequest, OriginName, Request
from reconciler.demo.hub_repositories import DEFAULT_BRANCH, Data, Repositories
from reconciler.demo.hub_sending import Holds

# Where the real hub begins to keep files apart from git.
_LARGE_FILE_BYTES: Final = 10 << 20
# Quotas and the window of the real hub for visitors without an account.
_WINDOW_SECONDS: Final = 300
_API: Final = ("api", 500)
_RESOLVERS: Final = ("resolvers", 3000)


class HubServer:
    """A hub with two origins on loopback, serving from `start` to `stop`.

    Repositories may be changed at any time. The two URLs are known from the beginning; requests are
    answered once it is started.
    """

    def __init__(
        self,
        *,
        direct: bool = False,
        tree_page_size: int = 1000,
        large_file_bytes: int = _LARGE_FILE_BYTES,
        link_lifetime_seconds: float = 3600,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Bind both origins.

        Args:
            direct: serve every file from the hub's own origin, without a redirect.
            tree_page_size: entries on one page of a tree.
            large_file_bytes: files of this size and more have a sha256 (GGUF files always have).
            link_lifetime_seconds: how long a link to the CDN is good for.
            now: the time those links go by, in seconds since the epoch.
        """
        self.faults = Faults()
        self._repositories = Repositories(large_file_bytes=large_file_bytes)
        self._plain: dict[str, Data] = {}
        self._links = LinkSigner(lifetime_seconds=link_lifetime_seconds, now=now)
        self._holds = Holds()
        self._lock = threading.Lock()
        self._log: list[LoggedRequest] = []
        self._request_numbers = itertools.count(1)
        self._origins = [self._bind("hub"), self._bind("cdn")]
        self.url, self.cdn_url = (origin.url for origin in self._origins)
        self._api = HubApi(
            repositories=self._repositories,
            plain=self._plain,
            links=self._links,
            url=self.url,
            cdn_url=self.cdn_url,
            direct=direct,
            tree_page_size=tree_page_size,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to answer."""
        for origin in self._origins:
            origin.start()

    def stop(self) -> None:
        """End every connection, wait for every thread and free both ports."""
        self._holds.close()
        for origin in self._origins:
            origin.stop()

    def add_commit(
        self,
        repo: str,
        files: Mapping[str, Data | None],
        *,
        branch: str = DEFAULT_BRANCH,
        title: str = "Upload files",
    ) -> Commit:
        """Commit files (bytes, or a path on disk that stays as it is) to a repository.

        Creates what is missing of repository and branch. Files of the commit before are kept
        unless replaced; None removes one. The same commits give the same names on every hub.
        """
        return self._repositories.add_commit(repo, files, branch=branch, title=title)

    def add_tag(self, repo: str, tag: str, commit: str) -> None:
        """Point a tag at a commit."""
        self._repositories.add_tag(repo, tag, commit)

    def add_plain(self, path: str, data: Data) -> str:
        """Serve a file outside any repository at `path` of the hub's origin; gives its URL."""
        self._plain[path] = data
        return self.url + path

    def add_token(self, token: str) -> None:
        """Make a token valid that opens nothing by itself. Unknown tokens are refused."""
        self._repositories.add_token(token)

    def make_private(self, repo: str, token: str) -> None:
        """Hide the repository from everybody but the holders of `token` (and of earlier ones)."""
        self._allow(repo, token)
        self._repositories.change(repo, lambda old: replace(old, private=True))

    def gate(self, repo: str, *, accepted: Iterable[str] = ()) -> None:
        """Keep the repository's files from all but the holders of the tokens in `accepted`."""
        for token in accepted:
            self._allow(repo, token)
        self._repositories.change(repo, lambda old: replace(old, gated=True))

    def disable(self, repo: str) -> None:
        """Close the repository to everybody, the way moderators do."""
        self._repositories.change(repo, lambda old: replace(old, disabled=True))

    def rename(self, repo: str, new: str) -> None:
        """Give the repository another name; the old one leads there from now on."""
        self._repositories.rename(repo, new)

    def expire_links(self) -> None:
        """Make every link to the CDN given out until now worthless."""
        self._links.revoke()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Every request so far, in the order they came."""
        with self._lock:
            return tuple(self._log)

    def forget_requests(self) -> None:
        """Empty the log."""
        with self._lock:
            self._log.clear()

    def wait_until_stalled(self, count: int = 1, *, timeout_seconds: float = 10) -> bool:
        """Wait until `count` answers are held by a `Stall`; False: they were not in time."""
        return self._holds.wait_until_held(count, timeout_seconds=timeout_seconds)

    def release_stalled(self) -> None:
        """Let the answers go on that are held now."""
        self._holds.release()

    def _allow(self, repo: str, token: str) -> None:
        self._repositories.add_token(token)
        self._repositories.change(repo, lambda old: replace(old, readers=old.readers | {token}))

    def _bind(self, name: OriginName) -> Origin:
        return Origin(name, answer=self._answer, log=self._remember, holds=self._holds)

    def _remember(self, entry: LoggedRequest) -> None:
        with self._lock:
            self._log.append(entry)

    def _answer(self, request: Request) -> Answer:
        if request.origin == "hub":
            answer = self.faults.spoil(request, self._api.answer(request))
            kind, quota = _RESOLVERS if "/resolve" in request.path else _API
            common = {
                "RateLimit": f'"{kind}";r={quota - 1};t={_WINDOW_SECONDS}',
                "RateLimit-Policy": f'"fixed window";"{kind}";q={quota};w={_WINDOW_SECONDS}',
            }
        else:
            answer = self.faults.spoil(request, self._api.answer_cdn(request))
            common = {}
        common["X-Request-Id"] = f"Root=1-{next(self._request_numbers):08x}"
        return replace(answer, headers={**common, **answer.headers})
