"""What the embedded hub's own origin answers: about repositories, and where their files lie."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from reconciler.demo import hub_metadata
from reconciler.demo.hub_access import (
    Denied,
    entry_missing,
    find_commit,
    find_file,
    find_repository,
)
from reconciler.demo.hub_links import LinkSigner
from reconciler.demo.hub_messages import (
    Answer,
    Request,
    content_answer,
    error_answer,
    json_answer,
    redirect_answer,
)
from reconciler.demo.hub_repositories import DEFAULT_BRANCH, Data, Repositories, StoredFile

_REPO: Final = r"(?P<repo>[^/]+/[^/]+)"
_INFO: Final = re.compile(rf"/api/models/{_REPO}(?:/revision/(?P<revision>[^/]+))?")
_TREE: Final = re.compile(rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
_PATHS_INFO: Final = re.compile(rf"/api/models/{_REPO}/paths-info/(?P<revision>[^/]+)")
_REFS: Final = re.compile(rf"/api/models/{_REPO}/refs")
_AUTH_CHECK: Final = re.compile(rf"/api/models/{_REPO}/auth-check")
_RESOLVE: Final = re.compile(rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_RESOLVE_CACHE: Final = re.compile(
    rf"/api/resolve-cache/models/{_REPO}/(?P<revision>[^/]+)/(?P<path>.+)"
)
_CDN_FILE: Final = re.compile(rf"/xet-bridge/{_REPO}/(?P<commit>[^/]+)/(?P<path>.+)")
# The real hub lists no more entries a page than this when it must add each one's last commit.
_EXPANDED_PAGE_SIZE: Final = 50
_OCTETS: Final = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HubApi:
    """Answers requests from what the repositories are at the moment.

    With `direct` every file is served by the hub's own origin, as mirrors do; else large files are
    served by the other one. `plain` are files outside any repository, by path.
    """

    repositories: Repositories
    plain: Mapping[str, Data]
    links: LinkSigner
    url: str
    cdn_url: str
    direct: bool
    tree_page_size: int

    def answer(self, request: Request) -> Answer:
        """Give the answer of the hub's own origin."""
        plain = self.plain.get(request.path)
        if plain is not None:
            return content_answer(request, plain, etag='"plain"', headers=_OCTETS)
        routes = (
            (_INFO, self._info),
            (_TREE, self._tree),
            (_PATHS_INFO, self._paths_info),
            (_REFS, self._refs),
            (_AUTH_CHECK, self._auth_check),
            (_RESOLVE_CACHE, self._resolve_cache),
            (_RESOLVE, self._resolve),
        )
        for pattern, route in routes:
            match = pattern.fullmatch(request.raw_path)
            if match:
                parts = {key: unquote(value) for key, value in match.groupdict("").items()}
                try:
                    return route(request, parts)
                except Denied as denied:
                    return denied.answer
        return error_answer(404, "There is no such page")

    def answer_cdn(self, request: Request) -> Answer:
        """Give the answer of the second origin, which knows signed links and nothing of tokens."""
        refusal = self.links.refusal(request.target)
        match = _CDN_FILE.fullmatch(request.raw_path)
        if refusal is not None or match is None:
            return error_answer(403, refusal or "There is no such object")
        repo, commit, path = (unquote(match[name]) for name in ("repo", "commit", "path"))
        repository = self.repositories.find(repo)
        file = repository.commits[commit].files[path] if repository else None
        if file is None:
            return error_answer(404, "The object is gone")
        # As on the real one, this ETag is not the digest of the content.
        etag = hashlib.sha256(f"cdn {file.git_oid}".encode()).hexdigest()[:32]
        return content_answer(request, file.data, etag=f'"{etag}"', headers=_OCTETS)

    def _info(self, request: Request, parts: Mapping[str, str]) -> Answer:
        repository = find_repository(self.repositories, request, parts["repo"], for_content=False)
        commit = find_commit(repository, parts["revision"] or DEFAULT_BRANCH)
        info = hub_metadata.repository_info(
            repository,
            commit,
            blobs=_is_true(request.query, "blobs"),
            only=request.query.get("expand", []),
        )
        return json_answer(info)

    def _tree(self, request: Request, parts: Mapping[str, str]) -> Answer:
        repository = find_repository(self.repositories, request, parts["repo"], for_content=False)
        commit = find_commit(repository, parts["revision"])
        query = request.query
        expand = _is_true(query, "expand")
        entries = hub_metadata.tree_entries(
            commit, parts["path"], recursive=_is_true(query, "recursive"), expand=expand
        )
        if parts["path"] and not entries:
            raise Denied(entry_missing(commit, parts["path"]))
        after = _read_cursor(query)
        left = [(path, entry) for path, entry in entries if path > after]
        page_size = min(self.tree_page_size, _EXPANDED_PAGE_SIZE) if expand else self.tree_page_size
        page, rest = left[:page_size], left[page_size:]
        headers = {}
        if rest:
            cursor = base64.urlsafe_b64encode(page[-1][0].encode()).decode()
            next_query = urlencode({**query, "cursor": [cursor]}, doseq=True)
            headers["Link"] = f'<{self.url}{request.raw_path}?{next_query}>; rel="next"'
        return json_answer([entry for _, entry in page], headers=headers)

    def _paths_info(self, request: Request, parts: Mapping[str, str]) -> Answer:
        repository = find_repository(self.repositories, request, parts["repo"], for_content=False)
        commit = find_commit(repository, parts["revision"])
        form = parse_qs(request.body.decode(errors="replace"))
        expand = _is_true(form, "expand")
        return json_answer(
            [
                hub_metadata.file_entry(commit.files[path], commit, expand=expand)
                for path in form.get("paths", [])
                if path in commit.files
            ]
        )

    def _refs(self, request: Request, parts: Mapping[str, str]) -> Answer:
        repository = find_repository(self.repositories, request, parts["repo"], for_content=False)
        return json_answer(hub_metadata.refs(repository))

    def _auth_check(self, request: Request, parts: Mapping[str, str]) -> Answer:
        find_repository(self.repositories, request, parts["repo"], for_content=True)
        return json_answer({})

    def _resolve(self, request: Request, parts: Mapping[str, str]) -> Answer:
        repository = find_repository(self.repositories, request, parts["repo"], for_content=True)
        commit = find_commit(repository, parts["revision"])
        file = find_file(commit, parts["path"])
        headers = {"X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
        if file.sha256 is not None:
            headers["X-Linked-Etag"] = f'"{file.sha256}"'
            headers["X-Linked-Size"] = str(file.size_bytes)
            headers["X-Xet-Hash"] = file.xet_hash
        if self.direct:
            return content_answer(
                request, file.data, etag=_etag(file), headers={**_OCTETS, **headers}
            )
        if file.sha256 is None:
            path = f"/api/resolve-cache/models/{repository.id}/{commit.id}/{file.path}"
            query = urlencode({"etag": _etag(file)})
            headers["ETag"] = _etag(file)
            return redirect_answer(307, f"{quote(path)}?{query}", headers=headers)
        link = self.links.sign(f"/xet-bridge/{repository.id}/{commit.id}/{file.path}")
        # The redirect's own ETag, which tells nothing of the file.
        headers["ETag"] = f'W/"{len(link):x}-{commit.id[:27]}"'
        return redirect_answer(302, self.cdn_url + link, headers=headers)

    def _resolve_cache(self, request: Request, parts: Mapping[str, str]) -> Answer:
        repository = find_repository(self.repositories, request, parts["repo"], for_content=True)
        commit = find_commit(repository, parts["revision"])
        file = find_file(commit, parts["path"])
        headers = {**_OCTETS, "X-Repo-Commit": commit.id}
        return content_answer(request, file.data, etag=_etag(file), headers=headers)


def _etag(file: StoredFile) -> str:
    return f'"{file.sha256 or file.git_oid}"'


def _is_true(values: Mapping[str, list[str]], name: str) -> bool:
    return values.get(name, [""])[0].lower() in ("true", "1")


def _read_cursor(query: Mapping[str, list[str]]) -> str:
    try:
        return base64.urlsafe_b64decode(query.get("cursor", [""])[0]).decode()
    except ValueError as error:
        raise Denied(error_answer(400, "Invalid cursor")) from error
