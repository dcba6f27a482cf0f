"""The hub's own public client takes the embedded hub for the real one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.demo.hub_faults import Cut, Fault, Reply
from reconciler.demo.hub_server import HubServer
from tests.support.hub import running_hub, sharded_model
from tests.support.public_client import public_client

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REPO = "tiny-org/Tiny-GGUF"
TOKEN = "hf_" + "t" * 34
OTHER_TOKEN = "hf_" + "o" * 34
SHARDS = sharded_model("Tiny-Q8_0", shards=3, payload_bytes=50_000, seed=7)
FILES: dict[str, bytes] = {
    "README.md": b"# Tiny\n",
    "params.json": b"{}\n",
    **{f"Q8_0/{name}": data for name, data in SHARDS.items()},
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The client's package."""
    with public_client(tmp_path_factory.mktemp("hf-home")) as package:
        yield package


@pytest.fixture
def stocked(hub: HubServer) -> HubServer:
    """A hub with one repository."""
    hub.add_commit(REPO, FILES)
    return hub


@pytest.fixture
def api(client: Any, stocked: HubServer) -> HfApi:
    """The client, pointed at that hub."""
    return client.HfApi(endpoint=stocked.url, token=False)  # type: ignore[no-any-return]


def test_it_reads_what_a_repository_is(api: HfApi, stocked: HubServer) -> None:
    """`model_info` finds the commit, and each file's size and digest where blobs are asked for."""
    commit = stocked.add_commit(REPO, {"extra.txt": b"more"})
    info = api.model_info(REPO, files_metadata=True)
    assert (info.id, info.sha, info.gated, info.private) == (REPO, commit, False, False)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    assert set(siblings) == {*FILES, "extra.txt"}
    for path, data in FILES.items():
        assert siblings[path].size == len(data)
        lfs = siblings[path].lfs
        if path.endswith(".gguf"):
            assert lfs is not None
            assert lfs.sha256 == hashlib.sha256(data).hexdigest()
        else:
            assert lfs is None


def test_it_reads_a_tree_page_by_page(client: Any) -> None:
    """`list_repo_tree` follows the links and sees every entry once, folders among them."""
    with running_hub(tree_page_size=10) as hub:
        paths = [f"folder {n % 3}/file-{n:02}.txt" for n in range(34)]
        hub.add_commit(REPO, {path: path.encode() for path in paths})
        api = client.HfApi(endpoint=hub.url, token=False)
        entries = list(api.list_repo_tree(REPO, recursive=True))
        assert sorted(e.path for e in entries if isinstance(e, client.hf_api.RepoFile)) == sorted(
            paths
        )
        folders = [e.path for e in entries if isinstance(e, client.hf_api.RepoFolder)]
        assert folders == ["folder 0", "folder 1", "folder 2"]
        assert len([r for r in hub.requests if "/tree/" in r.path]) == 4
        top = [entry.path for entry in api.list_repo_tree(REPO)]
        assert top == ["folder 0", "folder 1", "folder 2"]
        inner = [entry.path for entry in api.list_repo_tree(REPO, path_in_repo="folder 1")]
        assert inner == sorted(path for path in paths if path.startswith("folder 1/"))


def test_it_asks_about_some_paths(api: HfApi) -> None:
    """`get_paths_info` tells digest and size of those that exist, and nothing of the others."""
    name = "Q8_0/Tiny-Q8_0-00002-of-00003.gguf"
    infos = api.get_paths_info(REPO, [name, "nowhere.gguf", "README.md"], expand=True)
    found = {info.path: info for info in infos}
    assert set(found) == {name, "README.md"}
    lfs = found[name].lfs  # type: ignore[union-attr]
    assert lfs is not None
    assert lfs.sha256 == hashlib.sha256(FILES[name]).hexdigest()
    last = found["README.md"].last_commit
    assert last is not None
    assert last.title == "Upload files"


def test_it_lists_branches_and_tags(api: HfApi, stocked: HubServer) -> None:
    """`list_repo_refs` finds each branch and tag, at the commit it points to."""
    first = api.model_info(REPO).sha
    second = stocked.add_commit(REPO, {"new.txt": b"new"}, branch="next")
    stocked.add_tag(REPO, "v1", second)
    refs = api.list_repo_refs(REPO)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": first, "next": second}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": second}
    assert api.model_info(REPO, revision="v1").sha == second


def test_it_downloads_files(client: Any, stocked: HubServer, tmp_path: Path) -> None:
    """`hf_hub_download` brings a shard from the CDN and a small file from the hub, byte by byte."""
    for path in ("Q8_0/Tiny-Q8_0-00001-of-00003.gguf", "README.md"):
        local = client.hf_hub_download(
            REPO, path, endpoint=stocked.url, cache_dir=tmp_path, token=False
        )
        assert Path(local).read_bytes() == FILES[path]
        # The cache is named by digest, so the client has taken the right header for it.
        data = FILES[path]
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        name = hashlib.sha256(data).hexdigest() if path.endswith(".gguf") else git
        assert Path(local).resolve().name == name
    served = {(r.origin, r.path.rpartition("/")[2]) for r in stocked.requests if r.status == 200}
    assert ("cdn", "Tiny-Q8_0-00001-of-00003.gguf") in served
    assert ("hub", "README.md") in served


def test_it_downloads_a_snapshot(
    client: Any, api: HfApi, stocked: HubServer, tmp_path: Path
) -> None:
    """`snapshot_download` brings a whole repository, in its folders."""
    folder = Path(
        client.snapshot_download(REPO, endpoint=stocked.url, cache_dir=tmp_path, token=False)
    )
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == FILES
    assert folder.name == api.model_info(REPO).sha


def test_a_mirror_serves_files_itself(client: Any, tmp_path: Path) -> None:
    """A hub that answers directly is downloaded from without any second origin."""
    with running_hub(direct=True) as hub:
        hub.add_commit(REPO, FILES)
        folder = client.snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path, token=False)
        for path, data in FILES.items():
            assert (Path(folder) / path).read_bytes() == data
        assert {request.origin for request in hub.requests} == {"hub"}


def test_it_resumes_after_a_cut(client: Any, hub: HubServer, tmp_path: Path) -> None:
    """A cut connection is continued by a range, and the file is whole in the end."""
    piece = 10 << 20  # the client keeps what it got in pieces of this size
    content = bytes(range(256)) * (44 << 10)
    hub.add_commit(REPO, {"large.bin": content})
    hub.faults.add(Fault(effect=Cut(after_bytes=piece + 1000), path="*/large.bin"))
    local = client.hf_hub_download(
        REPO, "large.bin", endpoint=hub.url, cache_dir=tmp_path, token=False
    )
    assert Path(local).read_bytes() == content
    sent = [(r.status, r.sent_bytes) for r in hub.requests if r.origin == "cdn"]
    assert sent == [(200, piece + 1000), (206, len(content) - piece)]


def test_it_obeys_the_rate_limit(api: HfApi, stocked: HubServer) -> None:
    """A page refused for being asked too fast is asked for again, when the hub says."""
    limited = Reply(status=429, headers={"RateLimit": '"api";r=0;t=0'})
    stocked.faults.add(Fault(effect=limited, path="*/tree/*"))
    assert len(list(api.list_repo_tree(REPO, recursive=True))) == len(FILES) + 1
    assert [r.status for r in stocked.requests if "/tree/" in r.path] == [429, 200]


def test_the_token_stays_with_the_hub(client: Any, stocked: HubServer, tmp_path: Path) -> None:
    """A private file is fetched with the token, and the CDN never sees it."""
    stocked.make_private(REPO, TOKEN)
    path = "Q8_0/Tiny-Q8_0-00001-of-00003.gguf"
    client.hf_hub_download(REPO, path, endpoint=stocked.url, cache_dir=tmp_path, token=TOKEN)
    carried = {(r.origin, r.headers.get("authorization")) for r in stocked.requests}
    assert carried == {("hub", f"Bearer {TOKEN}"), ("cdn", None)}


def test_it_knows_each_refusal(client: Any, api: HfApi, stocked: HubServer, tmp_path: Path) -> None:
    """Missing, private, gated and disabled raise the client's own errors for just that."""
    errors = client.errors
    with pytest.raises(errors.RepositoryNotFoundError):
        api.model_info("tiny-org/nothing")
    with pytest.raises(errors.RevisionNotFoundError):
        api.model_info(REPO, revision="nothing")
    with pytest.raises(errors.RemoteEntryNotFoundError):
        client.hf_hub_download(
            REPO, "nothing.gguf", endpoint=stocked.url, cache_dir=tmp_path, token=False
        )
    with pytest.raises(errors.HfHubHTTPError, match="Invalid credentials"):
        api.model_info(REPO, token=TOKEN)

    stocked.gate(REPO)
    stocked.add_token(TOKEN)
    for token in (False, TOKEN):
        with pytest.raises(errors.GatedRepoError):
            api.auth_check(REPO, token=token)
        with pytest.raises(errors.GatedRepoError):
            client.hf_hub_download(
                REPO, "README.md", endpoint=stocked.url, cache_dir=tmp_path, token=token
            )
    stocked.gate(REPO, accepted=[TOKEN])
    api.auth_check(REPO, token=TOKEN)
    assert api.model_info(REPO).gated == "auto"

    stocked.make_private(REPO, OTHER_TOKEN)
    with pytest.raises(errors.RepositoryNotFoundError):
        api.model_info(REPO)
    stocked.disable(REPO)
    with pytest.raises(errors.DisabledRepoError):
        api.model_info(REPO, token=TOKEN)


def test_it_follows_a_new_name(client: Any, api: HfApi, stocked: HubServer, tmp_path: Path) -> None:
    """A renamed repository answers to its old name, for metadata and for files."""
    stocked.rename(REPO, "tiny-org/Newer-GGUF")
    assert api.model_info(REPO).id == "tiny-org/Newer-GGUF"
    path = "Q8_0/Tiny-Q8_0-00001-of-00003.gguf"
    local = client.hf_hub_download(
        REPO, path, endpoint=stocked.url, cache_dir=tmp_path, token=False
    )
    assert Path(local).read_bytes() == FILES[path]
