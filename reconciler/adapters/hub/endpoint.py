"""Where things lie on a hub: every URL we ask it for, built in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from reconciler.adapters.base.urls import origin_of, shown
from reconciler.core.names import Commit, RepoId
from reconciler.core.source import HubOrigin
from reconciler.errors import Stalled, TransferBroken, UsageError

_OFFICIAL_HOST: Final = "huggingface.co"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A hub, or a mirror that speaks like one, by the start of its URLs."""

    base: str

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Check what the person named as the hub.

        Raises:
            UsageError: it is no http or https URL, or holds more than one.
        """
        try:
            origin_of(text)
        except Stalled as error:
            raise UsageError(error.message, hint="set HF_ENDPOINT to https://…") from error
        parts = urlsplit(text)
        if parts.query or parts.fragment or parts.username is not None:
            raise UsageError(
                f"{shown(text)}: a hub's address holds no user, query or fragment",
                hint="set HF_ENDPOINT to https://… alone; the token has its own setting",
            )
        return cls(text.rstrip("/"))

    def info_url(self, repo: RepoId, revision: str | None) -> str:
        """Where to ask what `revision` (None: the default branch) stands for."""
        url = f"{self.base}/api/models/{repo}"
        return url if revision is None else f"{url}/revision/{quote(revision, safe='')}"

    def tree_url(self, repo: RepoId, commit: Commit) -> str:
        """Where the first page of all files at `commit` lies."""
        return f"{self.base}/api/models/{repo}/tree/{commit}?recursive=true&expand=false"

    def file_url(self, origin: HubOrigin) -> str:
        """Where the bytes of one file lie, or a redirect to them."""
        return f"{self.base}/{origin.repo}/resolve/{origin.commit}/{quote(origin.path)}"

    def page_url(self, repo: RepoId) -> str:
        """The repository's page, for people."""
        return f"{self.base}/{repo}"

    def owns(self, url: str) -> bool:
        """Whether `url` is of the hub's own origin, not of one it sends us to for the bytes."""
        return origin_of(url) == origin_of(self.base)

    def following_page(self, here: str, link: str) -> str:
        """Give the URL of the next page, which must be on this hub.

        A mirror that passes answers on unchanged names the official hub; it means itself.

        Raises:
            TransferBroken: the next page lies elsewhere, where our token has no business.
        """
        if link.startswith(f"https://{_OFFICIAL_HOST}/"):
            parts = urlsplit(link)
            return f"{self.base}{parts.path}?{parts.query}"
        url = urljoin(here, link)
        if self.owns(url):
            return url
        raise TransferBroken(
            f"{self.base}: its list of files goes on elsewhere, at {shown(url)}",
            hint="look whether HF_ENDPOINT is the address of a hub",
        )
