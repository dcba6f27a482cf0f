"""The embedded hub keeps its word: ranges, links, rules, and faults exactly as ordered."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from reconciler.core.names import InvalidName
from reconciler.demo.hub_faults import (
    Cut,
    ExpiredLink,
    Fault,
    FlipByte,
    HangUp,
    IgnoreRange,
    Oversize,
    RedirectTo,
    Reply,
    SetHeaders,
    Slow,
    Stall,
    Unannounced,
)
from reconciler.demo.hub_server import HubServer
from reconciler.errors import UsageError
from tests.support.hub import running_hub

REPO = "org/Model-GGUF"
CONTENT = bytes(range(256)) * 400
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = f"/{REPO}/resolve/main/Q4/model.gguf"
TOKEN = "hf_" + "t" * 34


@pytest.fixture
def web(hub: HubServer) -> Iterator[httpx.Client]:
    """A plain HTTP client for a hub with one repository."""
    hub.add_commit(REPO, {"Q4/model.gguf": CONTENT, "README.md": b"read me"})
    with httpx.Client(base_url=hub.url, follow_redirects=True, timeout=10) as client:
        yield client


def cdn_answers(hub: HubServer) -> list[tuple[int, int]]:
    """Give status and sent bytes of every answer of the second origin."""
    return [(r.status, r.sent_bytes) for r in hub.requests if r.origin == "cdn"]


# Commits


def test_a_commit_keeps_what_it_does_not_replace(hub: HubServer, web: httpx.Client) -> None:
    """Files stay from commit to commit until replaced or removed, and old commits stay readable."""
    first = hub.add_commit(REPO, {"a.txt": b"1", "b.txt": b"1"})
    second = hub.add_commit(REPO, {"a.txt": b"2", "b.txt": None})
    assert web.get(f"/{REPO}/resolve/main/a.txt").text == "2"
    assert web.get(f"/{REPO}/resolve/{second}/b.txt").status_code == 404
    assert web.get(f"/{REPO}/resolve/{first}/b.txt").text == "1"
    assert web.get(f"/{REPO}/resolve/main/README.md").text == "read me"


def test_branches_go_their_own_way(hub: HubServer, web: httpx.Client) -> None:
    """A new branch begins where the default one is, and moves alone; a pull request is a branch."""
    main = web.get(f"/api/models/{REPO}").json()["sha"]
    change = hub.add_commit(REPO, {"a.txt": b"new"}, branch="refs/pr/4")
    assert web.get(f"/{REPO}/resolve/refs%2Fpr%2F4/a.txt").text == "new"
    assert web.get(f"/{REPO}/resolve/refs%2Fpr%2F4/README.md").text == "read me"
    assert web.get(f"/api/models/{REPO}/revision/refs%2Fpr%2F4").json()["sha"] == change
    assert web.get(f"/api/models/{REPO}").json()["sha"] == main


def test_commits_have_the_same_names_everywhere() -> None:
    """Two hubs given the same history name its commits alike; another history, otherwise."""
    with HubServer() as one, HubServer() as two:
        names = [
            [server.add_commit(REPO, {"a.txt": data}) for data in (b"1", b"2")]
            for server in (one, two)
        ]
        assert names[0] == names[1]
        assert len(set(names[0])) == 2
        assert one.add_commit(REPO, {"a.txt": b"3"}) != two.add_commit(REPO, {"a.txt": b"4"})


def test_mistakes_in_a_test_are_told(hub: HubServer) -> None:
    """A repository that is not there, and a path no repository can hold, are refused at once."""
    with pytest.raises(UsageError, match="no repository org/none"):
        hub.gate("org/none")
    with pytest.raises(InvalidName):
        hub.add_commit(REPO, {"../out.gguf": b""})


# Files


def test_resolve_tells_what_it_leads_to(hub: HubServer, web: httpx.Client) -> None:
    """The redirect carries commit, sha256 and size; its own ETag and length do not."""
    answer = web.head(FILE, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["X-Repo-Commit"] == web.get(f"/api/models/{REPO}").json()["sha"]
    assert answer.headers["X-Linked-Etag"] == f'"{DIGEST}"'
    assert answer.headers["X-Linked-Size"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert DIGEST not in answer.headers["ETag"]
    assert DIGEST not in answer.headers["X-Xet-Hash"]
    assert int(answer.headers["Content-Length"]) < 1000
    assert answer.headers["Location"].startswith(hub.cdn_url + "/")
    assert hub.cdn_url != hub.url


def test_small_files_stay_with_the_hub(hub: HubServer, web: httpx.Client) -> None:
    """A file kept in git is served by the hub after a relative redirect, under its git digest."""
    answer = web.get(f"/{REPO}/resolve/main/README.md", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith("/api/resolve-cache/models/")
    assert "X-Linked-Etag" not in answer.headers
    content = web.get(f"/{REPO}/resolve/main/README.md")
    git = hashlib.sha1(b"blob 7\0read me", usedforsecurity=False).hexdigest()
    assert (content.text, content.headers["ETag"]) == ("read me", f'"{git}"')
    assert answer.headers["ETag"] == f'"{git}"'
    assert {request.origin for request in hub.requests} == {"hub"}


def test_large_files_are_known_by_size_or_suffix(tmp_path: Path) -> None:
    """A file has a sha256 from the threshold on, and a GGUF file has one at any size."""
    with HubServer(large_file_bytes=100) as hub:
        path = tmp_path / "on-disk.bin"
        path.write_bytes(bytes(100))
        hub.add_commit(REPO, {"a.bin": bytes(99), "b.bin": path, "c.gguf": b"GGUF"})
        info = httpx.get(f"{hub.url}/api/models/{REPO}?blobs=true").json()
        digests = {s["rfilename"]: s.get("lfs", {}).get("sha256") for s in info["siblings"]}
        assert digests == {
            "a.bin": None,
            "b.bin": hashlib.sha256(bytes(100)).hexdigest(),
            "c.gguf": hashlib.sha256(b"GGUF").hexdigest(),
        }


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-299", 206, 100, 300),
        ("bytes=102000-", 206, 102000, 102400),
        ("bytes=102000-999999", 206, 102000, 102400),
        ("bytes=-10", 206, 102390, 102400),
        ("bytes=5-4", 200, 0, 102400),
        ("bytes=0-1,5-6", 200, 0, 102400),
        ("lines=1-2", 200, 0, 102400),
    ],
)
def test_ranges(
    hub: HubServer,
    web: httpx.Client,
    tmp_path: Path,
    *,
    on_disk: bool,
    asked: str,
    status: int,
    start: int,
    stop: int,
) -> None:
    """One range is answered exactly, whether from memory or from disk; odd ones with the whole."""
    if on_disk:
        (tmp_path / "model").write_bytes(CONTENT)
        hub.add_commit(REPO, {"Q4/model.gguf": tmp_path / "model"})
    answer = web.get(FILE, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, CONTENT[start:stop])
    expected = f"bytes {start}-{stop - 1}/{len(CONTENT)}" if status == 206 else None
    assert answer.headers.get("Content-Range") == expected
    assert cdn_answers(hub) == [(status, stop - start)]


def test_a_range_beyond_the_end(web: httpx.Client) -> None:
    """A range that begins behind the file is refused, and the size is told."""
    answer = web.get(FILE, headers={"Range": f"bytes={len(CONTENT)}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
    assert answer.content == b""


def test_if_range_guards_a_range(web: httpx.Client) -> None:
    """The CDN's own ETag keeps the range, and the digest, which is not its ETag, does not."""
    own = web.get(FILE).headers["ETag"]
    assert DIGEST not in own
    kept = web.get(FILE, headers={"Range": "bytes=5-", "If-Range": own})
    dropped = web.get(FILE, headers={"Range": "bytes=5-", "If-Range": f'"{DIGEST}"'})
    assert (kept.status_code, dropped.status_code) == (206, 200)


def test_a_mirror_answers_itself() -> None:
    """With `direct` there is no redirect, and ranges and digests come from the hub's origin."""
    with running_hub(direct=True) as hub:
        hub.add_commit(REPO, {"Q4/model.gguf": CONTENT})
        answer = httpx.get(hub.url + FILE, headers={"Range": "bytes=10-19"})
        assert (answer.status_code, answer.content) == (206, CONTENT[10:20])
        assert answer.headers["X-Linked-Etag"] == f'"{DIGEST}"'
        assert answer.headers["ETag"] == f'"{DIGEST}"'


def test_plain_files(hub: HubServer, web: httpx.Client) -> None:
    """A file outside any repository lies at its path, with ranges and with its length on HEAD."""
    url = hub.add_plain("/files/my model.gguf", CONTENT)
    assert web.get(url).content == CONTENT
    assert web.get(url, headers={"Range": "bytes=1-2"}).content == CONTENT[1:3]
    head = web.head(url)
    assert (head.headers["Content-Length"], head.content) == (str(len(CONTENT)), b"")


def test_many_readers_at_once(hub: HubServer, web: httpx.Client, tmp_path: Path) -> None:
    """Readers of one file on disk do not disturb one another, and the log counts each."""
    content = os.urandom(3 << 20)
    (tmp_path / "model").write_bytes(content)
    hub.add_commit(REPO, {"Q4/model.gguf": tmp_path / "model"})
    spans = [(start, start + 400_000) for start in range(0, 2_000_000, 100_000)]
    with ThreadPoolExecutor(8) as pool:
        bodies = list(
            pool.map(
                lambda span: web.get(FILE, headers={"Range": f"bytes={span[0]}-{span[1] - 1}"}),
                spans,
            )
        )
    assert [body.content for body in bodies] == [content[start:stop] for start, stop in spans]
    assert cdn_answers(hub) == [(206, 400_000)] * len(spans)


# Links


def test_a_link_is_good_for_its_time_only() -> None:
    """A link serves until its lifetime is over, counted by the clock the hub was given."""
    clock = [1_000_000.0]
    with HubServer(link_lifetime_seconds=60, now=lambda: clock[0]) as hub:
        hub.add_commit(REPO, {"Q4/model.gguf": CONTENT})
        link = httpx.head(hub.url + FILE).headers["Location"]
        clock[0] += 59
        assert httpx.get(link).status_code == 200
        clock[0] += 1
        assert httpx.get(link).status_code == 403
        assert httpx.get(hub.url + FILE, follow_redirects=True).status_code == 200


def test_a_link_is_for_one_file_and_can_be_revoked(hub: HubServer, web: httpx.Client) -> None:
    """A changed, unsigned or revoked link is refused."""
    hub.add_commit(REPO, {"other.gguf": b"GGUF"})
    link = web.head(FILE, follow_redirects=False).headers["Location"]
    assert web.get(link).status_code == 200
    assert web.get(link.replace("Q4/model.gguf", "other.gguf")).status_code == 403
    assert web.get(link.partition("?")[0]).status_code == 403
    assert web.get(hub.cdn_url + "/").status_code == 403
    hub.expire_links()
    assert web.get(link).status_code == 403
    assert web.get(FILE).status_code == 200


# Rules and words


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/api/models/org/none", 401, "RepoNotFound"),
        ("/org/none/resolve/main/a.gguf", 401, "RepoNotFound"),
        (f"/api/models/{REPO}/revision/none", 404, "RevisionNotFound"),
        (f"/api/models/{REPO}/tree/none", 404, "RevisionNotFound"),
        (f"/{REPO}/resolve/none/a.gguf", 404, "RevisionNotFound"),
        (f"/{REPO}/resolve/main/none.gguf", 404, "EntryNotFound"),
        (f"/api/models/{REPO}/tree/main/none", 404, "EntryNotFound"),
        (f"/api/models/{REPO}/tree/main?cursor=%C3%BC", 400, None),
        ("/nowhere", 404, None),
    ],
)
def test_refusals_have_codes(web: httpx.Client, target: str, status: int, code: str | None) -> None:
    """What is missing is told by a code of its own, and the words stand in header and body."""
    answer = web.get(target)
    assert (answer.status_code, answer.headers.get("X-Error-Code")) == (status, code)
    assert answer.headers["X-Error-Message"] == answer.json()["error"]
    assert ("X-Repo-Commit" in answer.headers) == (code == "EntryNotFound")


def test_tokens_open_what_they_are_for(hub: HubServer, web: httpx.Client) -> None:
    """Each of missing, private, gated and disabled answers as the token deserves."""

    def ask(token: str | None, path: str) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = web.get(path, headers=headers, follow_redirects=False)
        return answer.status_code, answer.headers.get("X-Error-Code")

    info = f"/api/models/{REPO}"
    hub.add_token("hf_plain")
    assert ask("hf_unknown", info) == (401, None)
    assert ask("hf_plain", info) == (200, None)
    assert ask("hf_plain", "/api/models/org/none") == (404, "RepoNotFound")

    hub.gate(REPO, accepted=[TOKEN])
    assert ask(None, info) == (200, None)
    assert ask(None, FILE) == (401, "GatedRepo")
    assert ask("hf_plain", FILE) == (403, "GatedRepo")
    assert ask("hf_plain", f"{info}/auth-check") == (403, "GatedRepo")
    assert ask(TOKEN, FILE) == (302, None)

    hub.make_private(REPO, TOKEN)
    assert ask(None, info) == (401, "RepoNotFound")
    assert ask("hf_plain", info) == (404, "RepoNotFound")
    assert ask(TOKEN, info) == (200, None)

    hub.disable(REPO)
    assert ask(TOKEN, info) == (403, None)


def test_every_answer_of_the_hub_tells_the_rate(web: httpx.Client) -> None:
    """Quota headers and a request id of its own stand on answers and refusals alike."""
    targets = (f"/api/models/{REPO}", "/api/models/org/none", FILE)
    answers = [web.get(target, follow_redirects=False) for target in targets]
    kinds = [answer.headers["RateLimit"].partition(";")[0] for answer in answers]
    assert kinds == ['"api"', '"api"', '"resolvers"']
    assert all("w=300" in answer.headers["RateLimit-Policy"] for answer in answers)
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 3


def test_expand_names_the_fields(web: httpx.Client) -> None:
    """Only the fields asked for come, beside the name."""
    info = web.get(f"/api/models/{REPO}?expand=sha&expand=gated").json()
    assert set(info) == {"_id", "id", "sha", "gated"}


def test_a_tree_goes_as_deep_as_asked(hub: HubServer, web: httpx.Client) -> None:
    """One level names its folders alone; recursion names every folder and file below."""
    hub.add_commit("org/deep", {"a/b/c.txt": b"c", "a/d.txt": b"d"})

    def ask(place: str) -> list[tuple[str, str]]:
        entries = web.get(f"/api/models/org/deep/tree/main{place}").json()
        return [(entry["type"], entry["path"]) for entry in entries]

    below = [("directory", "a/b"), ("file", "a/b/c.txt"), ("file", "a/d.txt")]
    assert ask("") == [("directory", "a")]
    assert ask("/a") == [("directory", "a/b"), ("file", "a/d.txt")]
    assert ask("?recursive=true") == [("directory", "a"), *below]
    assert ask("/a?recursive=true") == below
    assert ask("/a%2Fb") == [("file", "a/b/c.txt")]


def test_pages_keep_the_query(web: httpx.Client) -> None:
    """The next page's link is whole: the client adds nothing to it."""
    with running_hub(tree_page_size=2) as hub:
        hub.add_commit(REPO, {f"d/{n}.gguf": b"GGUF" for n in range(4)})
        url: str | None = f"{hub.url}/api/models/{REPO}/tree/main?recursive=true&expand=true"
        pages = []
        while url:
            answer = web.get(url)
            pages.append([entry["path"] for entry in answer.json()])
            assert "lastCommit" in answer.json()[-1]
            url = answer.links.get("next", {}).get("url")
        assert pages == [["d", "d/0.gguf"], ["d/1.gguf", "d/2.gguf"], ["d/3.gguf"]]


def test_an_old_name_leads_to_the_new_one(hub: HubServer, web: httpx.Client) -> None:
    """A renamed repository is found by a redirect on the same origin, file and query included."""
    hub.rename(REPO, "org/Newer")
    answer = web.get(f"/api/models/{REPO}?blobs=true", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["Location"] == "/api/models/org/Newer?blobs=true"
    assert web.get(FILE).content == CONTENT


# Faults


def test_a_cut_connection(hub: HubServer, web: httpx.Client) -> None:
    """Just so many bytes come, once; the redirect to the file does not use the fault up."""
    hub.faults.add(Fault(effect=Cut(after_bytes=1000), path="*/model.gguf"))
    with web.stream("GET", FILE) as answer:
        assert answer.headers["Content-Length"] == str(len(CONTENT))
        pieces = answer.iter_raw()
        received = b""
        while len(received) < 1000:
            received += next(pieces)
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    assert received == CONTENT[:1000]
    assert web.get(FILE, headers={"Range": "bytes=1000-"}).content == CONTENT[1000:]
    assert cdn_answers(hub) == [(200, 1000), (206, len(CONTENT) - 1000)]


def test_a_reset_and_a_hang_up(hub: HubServer, web: httpx.Client) -> None:
    """The connection ends rudely in the middle, and before the answer."""
    hub.faults.add(
        Fault(effect=Cut(after_bytes=1000, reset=True), origin="cdn"),
        Fault(effect=HangUp(), origin="cdn"),
    )
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        web.get(FILE)
    with pytest.raises(httpx.RemoteProtocolError):
        web.get(FILE)
    assert web.get(FILE).content == CONTENT


def test_a_status_as_often_as_ordered(hub: HubServer, web: httpx.Client) -> None:
    """`skip` lets answers pass and `times` ends the fault; faults on one path come in turn."""
    limited = Reply(status=429, headers={"RateLimit": '"api";r=0;t=7', "Retry-After": "7"})
    hub.faults.add(
        Fault(effect=limited, path="/api/*", skip=1, times=2),
        Fault(effect=Reply(status=503, body=b"<html>"), path="/api/*", method="GET"),
    )
    answers = [web.get(f"/api/models/{REPO}") for _ in range(5)]
    # The first passes the first fault, and so meets the second.
    assert [answer.status_code for answer in answers] == [503, 429, 429, 200, 200]
    assert answers[0].content == b"<html>"
    assert answers[1].headers["RateLimit"] == '"api";r=0;t=7'
    assert answers[1].headers["Retry-After"] == "7"
    assert "X-Request-Id" in answers[1].headers


def test_a_fault_for_ever_until_cleared(hub: HubServer, web: httpx.Client) -> None:
    """Without a number a fault stays until the faults are cleared."""
    hub.faults.add(Fault(effect=Reply(status=500), path=FILE, times=None))
    assert [web.get(FILE).status_code for _ in range(3)] == [500] * 3
    hub.faults.clear()
    assert web.get(FILE).status_code == 200


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_flipped_byte(hub: HubServer, web: httpx.Client, tmp_path: Path, on_disk: bool) -> None:
    """One byte is wrong and all others right, in the first answer that carries it."""
    if on_disk:
        (tmp_path / "model").write_bytes(CONTENT)
        hub.add_commit(REPO, {"Q4/model.gguf": tmp_path / "model"})
    hub.faults.add(Fault(effect=FlipByte(at_byte=70_000), origin="cdn"))
    assert web.get(FILE, headers={"Range": "bytes=0-69999"}).content == CONTENT[:70_000]
    spoiled = web.get(FILE, headers={"Range": "bytes=69990-"}).content
    wrong = [n for n, byte in enumerate(spoiled) if byte != CONTENT[69_990 + n]]
    assert (wrong, len(spoiled)) == ([10], len(CONTENT) - 69_990)
    assert web.get(FILE).content == CONTENT


def test_changed_headers(hub: HubServer, web: httpx.Client) -> None:
    """A header says something else, or is gone, and the body is what it was."""
    hub.faults.add(
        Fault(effect=SetHeaders(headers={"Content-Range": "bytes 0-9/10"}), origin="cdn"),
        Fault(effect=SetHeaders(headers={"X-Repo-Commit": None}), method="HEAD"),
    )
    answer = web.get(FILE, headers={"Range": "bytes=50-59"})
    assert answer.headers["Content-Range"] == "bytes 0-9/10"
    assert answer.content == CONTENT[50:60]
    assert "X-Repo-Commit" not in web.head(FILE, follow_redirects=False).headers


def test_an_ignored_range(hub: HubServer, web: httpx.Client) -> None:
    """The whole file comes although a part was asked for."""
    hub.faults.add(Fault(effect=IgnoreRange()))
    answer = web.get(FILE, headers={"Range": "bytes=50-59"})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Content-Range" not in answer.headers


def test_an_expired_link(hub: HubServer, web: httpx.Client) -> None:
    """The CDN refuses the link it was just given, and the next one works."""
    hub.faults.add(Fault(effect=ExpiredLink()))
    assert web.get(f"/{REPO}/resolve/main/README.md").status_code == 200
    refused = web.get(FILE)
    assert (refused.status_code, refused.url.port) == (403, urlsplit(hub.cdn_url).port)
    assert web.get(FILE).status_code == 200


def test_redirects_astray(hub: HubServer, web: httpx.Client) -> None:
    """A loop leads back to itself until the client gives up; another host is named as given."""
    hub.faults.add(Fault(effect=RedirectTo(url=None), path=FILE, times=None))
    with pytest.raises(httpx.TooManyRedirects):
        web.get(FILE)
    hub.faults.clear()
    hub.faults.add(Fault(effect=RedirectTo(url="http://elsewhere.invalid/x", status=307)))
    answer = web.get(FILE, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://elsewhere.invalid/x")


def test_more_bytes_than_there_are(hub: HubServer, web: httpx.Client) -> None:
    """The body is longer than the file, with no announced length to warn of it."""
    hub.faults.add(Fault(effect=Oversize(extra_bytes=2_000_000), origin="cdn"))
    answer = web.get(FILE)
    assert "Content-Length" not in answer.headers
    assert answer.content == CONTENT + bytes(2_000_000)
    assert web.get(FILE).content == CONTENT


def test_a_short_body_nobody_announced(hub: HubServer, web: httpx.Client) -> None:
    """A truncated file arrives as if it were whole: HTTP alone cannot tell."""
    hub.faults.add(Fault(effect=Unannounced(send_bytes=1000), origin="cdn"))
    answer = web.get(FILE)
    assert "Content-Length" not in answer.headers
    assert (answer.status_code, answer.content) == (200, CONTENT[:1000])


def test_a_stalled_answer_goes_on_when_released(hub: HubServer, web: httpx.Client) -> None:
    """So many bytes come, then none, then the rest; the test knows when it has stalled."""
    hub.faults.add(Fault(effect=Stall(after_bytes=1000), origin="cdn"))
    with web.stream("GET", FILE) as answer:
        pieces = answer.iter_raw()
        received = b""
        while len(received) < 1000:
            received += next(pieces)
        assert hub.wait_until_stalled()
        assert received == CONTENT[:1000]
        assert hub.requests[-1].sent_bytes == 1000
        hub.release_stalled()
        received += b"".join(pieces)
    assert received == CONTENT
    assert not hub.wait_until_stalled(timeout_seconds=0)


def test_a_stall_before_the_headers(hub: HubServer, web: httpx.Client) -> None:
    """Nothing at all comes, and the client's own patience ends it."""
    hub.faults.add(Fault(effect=Stall(after_bytes=None), path=FILE))
    with pytest.raises(httpx.ReadTimeout):
        web.get(FILE, timeout=0.1)
    assert hub.requests[-1].status == 0
    assert web.get(FILE).status_code == 200


def test_a_slow_answer(hub: HubServer, web: httpx.Client) -> None:
    """The throttle holds: a file takes at least its size divided by the rate."""
    hub.faults.add(Fault(effect=Slow(bytes_per_second=500_000), origin="cdn"))
    began = time.monotonic()
    assert web.get(FILE).content == CONTENT
    assert time.monotonic() - began > len(CONTENT) / 500_000 * 0.8


# Coming and going


def test_stopping_ends_everything() -> None:
    """Stalled, slow and idle connections end with the hub; no thread and no port is left."""
    before = set(threading.enumerate())
    hub = HubServer()
    hub.start()
    hub.add_commit(REPO, {"Q4/model.gguf": CONTENT})
    hub.faults.add(
        Fault(effect=Stall(after_bytes=10), origin="cdn"),
        Fault(effect=Slow(bytes_per_second=1), origin="cdn"),
    )
    address = ("127.0.0.1", urlsplit(hub.url).port)
    with (
        socket.create_connection(address),
        httpx.Client(follow_redirects=True) as client,
        client.stream("GET", hub.url + FILE) as stalled,
        client.stream("GET", hub.url + FILE) as slow,
    ):
        assert (stalled.status_code, slow.status_code) == (200, 200)
        assert hub.wait_until_stalled()
        began = time.monotonic()
        hub.stop()
        assert time.monotonic() - began < 5
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address)


def test_a_hub_that_never_started_can_be_stopped() -> None:
    """Both ports are free again although nobody was served."""
    hub = HubServer()
    hub.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(hub.url)


def test_it_listens_on_loopback_alone(hub: HubServer) -> None:
    """Both URLs name this machine's own address and a port of their own."""
    hosts = {urlsplit(url).hostname for url in (hub.url, hub.cdn_url)}
    assert hosts == {"127.0.0.1"}


def test_the_log_can_be_emptied(hub: HubServer, web: httpx.Client) -> None:
    """The log holds what was asked since it was emptied, with the headers as sent."""
    web.get(FILE)
    hub.forget_requests()
    web.head(f"{FILE}?download=true", headers={"X-Mark": "Here"}, follow_redirects=False)
    (entry,) = hub.requests
    assert (entry.method, entry.origin, entry.path, entry.query) == (
        "HEAD",
        "hub",
        FILE,
        "download=true",
    )
    assert entry.headers["x-mark"] == "Here"
    assert (entry.status, entry.sent_bytes) == (302, 0)


def test_senseless_requests_do_no_harm(hub: HubServer, web: httpx.Client) -> None:
    """Nonsense on the wire is refused or dropped, and the hub goes on serving."""
    address = ("127.0.0.1", urlsplit(hub.url).port)
    for nonsense in (
        b"\x16\x03\x01\x00\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"POST /api/models/org/x/paths-info/main HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"DELETE / HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(address) as connection:
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as replies:
                reply = replies.read()
            # To what is no HTTP at all the reply is the text alone.
            assert re.search(rb"HTTP/1.1 [45]\d\d |Error code: 400", reply)
    assert web.get(FILE).status_code == 200
