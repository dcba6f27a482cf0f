"""The hub's metadata: the commit a revision stands for, and the files there are at a commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from reconciler.adapters.base.http import Answer, HttpClient
from reconciler.adapters.base.urls import legible, may_carry_token
from reconciler.adapters.hub.endpoint import Endpoint
from reconciler.adapters.hub.failures import Asked, hub_failure
from reconciler.adapters.hub.metadata_cache import MetadataCache
from reconciler.adapters.hub.patience import patiently
from reconciler.core.names import Commit, InvalidName, RepoId
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.hub import RemoteFile, Upstream
from reconciler.errors import Offline, RepositoryMissing, TransferBroken

_T = TypeVar("_T")

# At a thousand files a page, five times the files of the largest repositories there are.
_MAX_PAGES: Final = 500


class HubMetadata:
    """The hub at `endpoint`, behind the port `Hub`.

    `token` is asked before each request, so that a token renewed meanwhile is used; what it gives
    is sent to the hub's own origin alone, and only over https or on this machine. What is in
    `cache` is not asked for; offline it is used whatever its age.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        token: Callable[[], str | None],
        offline: bool,
        http: HttpClient,
        clock: Clock,
        cache: MetadataCache | None = None,
    ) -> None:
        """Raises `UsageError` where `endpoint` is no address of a hub. Asks nothing yet."""
        self._endpoint = Endpoint.parse(endpoint)
        self._token = token
        self._offline = offline
        self._http = http
        self._clock = clock
        self._cache = cache

    def resolve_revision(self, repo: RepoId, revision: str | None, *, anew: bool = False) -> Commit:
        """Give the commit that `revision` (None: the default branch) stands for.

        With `anew` the hub says so now; else it may have said so some hours ago. A full commit
        stands for itself, and nothing is asked. Raises what the port names.
        """
        if revision is not None:
            try:
                return Commit(revision)
            except InvalidName:
                pass
        if self._cache is not None and not anew:
            url = self._endpoint.info_url(repo, revision)
            known = self._cache.find_commit(url, self._sent_token(), any_age=self._offline)
            if known is not None:
                return known
        return self.look_up(repo, revision).commit

    def look_up(self, repo: RepoId, revision: str | None) -> Upstream:
        """Give what the hub says now of `revision`, in one request. Raises what the port names."""
        # Loading pydantic takes longer than a whole run that has nothing to ask for.
        from reconciler.adapters.hub.answers import parse_upstream

        about = repo if revision is None else f"{repo} at {revision}"
        url, token = self._endpoint.info_url(repo, revision), self._sent_token()
        found = _parsed(parse_upstream, self._ask(url, repo, about=about), about=about)
        if self._cache is not None:
            self._cache.keep_commit(url, token, found.commit)
        return found

    def list_files(
        self, repo: RepoId, commit: Commit, *, anew: bool = False
    ) -> tuple[RemoteFile, ...]:
        """Give every file of the repository at `commit`, whole, however many pages it takes.

        With `anew` the hub says so now; else it may have said so at any time. A file whose name no
        path may have is left out. Raises what the port names.
        """
        url, token = self._endpoint.tree_url(repo, commit), self._sent_token()
        if self._cache is not None and not anew:
            known = self._cache.find_files(url, token)
            if known is not None:
                return known
        files = self._list_pages(url, repo, about=f"{repo} at {commit}")
        if self._cache is not None:
            self._cache.keep_files(url, token, files)
        return files

    def _list_pages(self, first_url: str, repo: RepoId, *, about: str) -> tuple[RemoteFile, ...]:
        from reconciler.adapters.hub.answers import parse_page

        files: list[RemoteFile] = []
        url: str | None = first_url
        asked: set[str] = set()
        while url is not None:
            if url in asked or len(asked) == _MAX_PAGES:
                raise TransferBroken(
                    f"{about}: the list of its files does not end after {len(asked)} pages",
                    hint="look whether HF_ENDPOINT is the address of a hub",
                )
            asked.add(url)
            answer = self._ask(url, repo, about=about)
            files += _parsed(parse_page, answer, about=about)
            link = answer.next_url
            url = None if link is None else self._endpoint.following_page(answer.url, link)
        return tuple(files)

    def _sent_token(self) -> str | None:
        """Give the token as far as the hub gets to see it."""
        return self._token() if may_carry_token(self._endpoint.base) else None

    def _ask(self, url: str, repo: RepoId, *, about: str) -> Answer:
        if self._offline:
            raise Offline(
                f"{about}: must be asked of the hub, and --offline forbids it",
                hint="run once without --offline; what is locked then needs no asking",
            )

        def once() -> Answer:
            token, may_carry = self._token(), may_carry_token(url)
            answer = self._http.get(url, token=token)
            if answer.status == 200:
                return answer
            raise hub_failure(
                answer,
                Asked(
                    about=about,
                    page_url=self._endpoint.page_url(repo),
                    missing=RepositoryMissing,
                    token_sent=token is not None and may_carry,
                    token_held_back=token is not None and not may_carry,
                ),
            )

        return patiently(once, clock=self._clock)


def _parsed(parse: Callable[[bytes], _T], answer: Answer, *, about: str) -> _T:
    try:
        return parse(answer.body)
    except ValueError as error:
        raise TransferBroken(
            f"{about}: the hub's answer is not what it should be: {legible(str(error))}",
            hint="look whether HF_ENDPOINT is the address of a hub, and no login page answers",
        ) from error
