"""The status page in a real Chromium, beside a running watch and over an example."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.hub_faults import Fault, Slow
from tests.support.chromium import AxNode, Chromium, Page, running_chromium
from tests.support.page_scripts import CONTRAST, FOCUSED, SEEN_AGAIN, TIMERS, TYPING
from tests.support.sandbox import Sandbox
from tests.support.status_page import (
    at_rest,
    example,
    model,
    serving,
    watch_with_page,
)

PROJECT = Path(__file__).parents[2]
STATIC = PROJECT / "reconciler" / "adapters" / "web" / "static"
CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
HEADLINE = "document.querySelector('#headline').textContent"
LANDMARKS = {"banner", "main", "navigation", "contentinfo"}
LONG = "a-model-with-a-name-that-does-not-end-" * 6
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all of these."""
    with running_chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def visit(browser: Chromium) -> Iterator[Open]:
    """Give a way to open pages. None may break its content policy, fail in its scripts, or ask
    anybody but the server it came from.
    """
    opened: list[tuple[str, Page]] = []

    def open_page(url: str, **look: Any) -> Page:
        page = browser.open(url, **look)
        opened.append((url, page))
        return page

    yield open_page
    for url, page in opened:
        assert page.problems == []
        assert page.requests
        assert [asked for asked in page.requests if not asked.startswith(url)] == []
        page.close()


def shown(page: Page) -> Page:
    """Wait until the page shows what it was told."""
    page.wait_for("!document.querySelector('#told').hidden")
    return page


def test_page_follows_a_download_to_its_end(host: Sandbox, visit: Open) -> None:
    """Beside a running watch: the bar of a download moves, with its rate and the time left; then
    all is in sync, the model, the run and the next look are told, and a screen reader hears of it.
    What the other stories show instead of a watch is of the same shape.
    """
    host.add_repo("acme/chat-GGUF", size=5_000_000)
    host.hub.faults.add(
        Fault(effect=Slow(bytes_per_second=2_000_000), path="*Q4_K_M.gguf", times=None)
    )
    host.write_manifest(CHAT)
    with watch_with_page(host) as (url, _):
        page = visit(url)
        bar = "(document.querySelector('#tasks progress')?.value ?? 0)"
        first = page.wait_for(bar)
        page.wait_for(f"{bar} > {first}")
        told = page.text("#moving")
        assert "acme/chat-GGUF/chat-Q4_K_M.gguf" in told
        assert re.search(r"\d+ % · \d.* of 5\.0 MB · .*/s · 0:0\d left", told)
        assert page.text("#headline") == "Working"
        page.wait_for(f"{HEADLINE} === 'In sync'")
        assert page.evaluate("document.querySelector('#moving').hidden")
        assert "chat\tacme/chat-GGUF:Q4_K_M\t5.0 MB\tin sync" in page.text("#rows")
        assert re.search(r"applied\s+1 added · fetched 5\.0 MB\s+\d+ s ago|now", page.text("#runs"))
        assert re.search(r"Next look\s+in 10 min", page.text("#facts"))
        assert page.text("#spoken") == "In sync: 1 model"
        assert page.evaluate("document.title").startswith("In sync · ")
        real = page.evaluate("fetch('api/status').then((answer) => answer.json())")
    assert _shape(example()) == _shape(real)


def test_page_tells_who_is_stalled_and_that_the_watch_has_gone(host: Sandbox, visit: Open) -> None:
    """Beside a running watch: a model that cannot come is told with the reason and the next step.
    Once the watch has ended, the page says so, keeps what it knew, and says how old that is.
    """
    host.write_manifest("  gone:\n    source: acme/gone-GGUF:Q4_K_M\n")
    with watch_with_page(host) as (url, process):
        page = visit(url)
        page.wait_for(f"{HEADLINE} === '1 model stalled'")
        assert "there is no such repository" in page.text("#held")
        assert "set HF_TOKEN" in page.text("#held .hint")
        process.terminate()
        process.wait(timeout=20)
    page.evaluate(SEEN_AGAIN)
    page.wait_for("!document.querySelector('#lost').hidden")
    lost = page.text("#lost")
    assert lost.startswith("Connection lost: the watch does not answer. What you see was told ")
    assert page.text("#spoken") == "Connection lost"
    assert "gone" in page.text("#rows")


def test_headline_says_how_things_stand(visit: Open) -> None:
    """A pause tells by whom and until when; what is wrong comes before what is merely late; a plan
    that is refused tells why, and one that is carried out is not shown as if it were still to come.
    """
    document = example()
    rest = at_rest(document)
    pause = {"since": document["watch"]["since"], "until": None, "by": "anna"}
    problem = {"message": "the manifest does not parse", "hint": "mend line 3"}
    late = [document["waiting"][0] | {"waiting": True}]
    refusal = {"message": "it would remove every model", "hint": "--allow-prune"}
    refused = document["plan"] | {"refusals": [refusal]}
    drifted = [rest["models"][0] | {"state": "changed", "drift": ["ttl is 5"]}]
    watch = rest["watch"]
    stories = (
        (rest | {"watch": watch | {"phase": "paused", "pause": pause}}, "Paused", "by anna, 1 min"),
        (rest | {"watch": watch | {"problem": problem}}, "Needs attention", "mend line 3"),
        (rest | {"plan": refused}, "Refused", "it would remove every model"),
        (rest | {"waiting": late}, "1 model waiting", "it may pass by itself"),
        (rest | {"models": drifted}, "1 model to set right", "ttl is 5"),
        (rest | {"models": []}, "In sync", "No model is declared."),
        (rest, "In sync", "Carried out; see the last run."),
    )
    with serving(document) as (url, told):
        page = shown(visit(url))
        for status, headline, words in stories:
            told.document = status
            page.evaluate(SEEN_AGAIN)
            page.wait_for(f"{HEADLINE} === {headline!r}")
            assert words in page.text("main")


def test_page_asks_seldom_at_rest_and_never_unseen(visit: Open) -> None:
    """It asks each second while something moves, every five seconds at rest, and not at all while
    nobody looks at it.
    """
    document = example()
    with serving(document) as (url, told):
        page = shown(visit(url))
        page.evaluate(TIMERS)
        page.evaluate(SEEN_AGAIN)
        page.wait_for("[...timers.values()].includes(1000)")
        told.document = at_rest(document)
        page.wait_for(f"{HEADLINE} === 'In sync'")
        assert 5000 in page.evaluate("[...timers.values()]")
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
        page.evaluate(SEEN_AGAIN)
        assert page.evaluate("[...timers.values()]") == []


def test_hostile_words_stay_words(visit: Open) -> None:
    """Whatever a manifest, a hub or a log says, markup in it is shown, and never becomes markup."""
    document = _spoiled(example())
    document["watch"]["problem"] = {"message": HOSTILE, "hint": HOSTILE}
    document["plan"]["refusals"] = [{"message": HOSTILE, "hint": HOSTILE}]
    with serving(document) as (url, _):
        page = shown(visit(url))
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        page.wait_for("document.querySelector('#plan-body').children.length")
        assert HOSTILE in page.text("#rows")
        assert HOSTILE in page.text("#plan-body")
        assert HOSTILE in page.text("#runs")
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert page.evaluate("document.title !== 'owned'")


def test_nothing_has_to_be_scrolled_sideways(visit: Open) -> None:
    """On a phone as on a desk the page is as wide as the screen, whatever the names are."""
    document = example()
    document["models"].append(model(LONG, f"acme/{LONG}:Q8_0", 10**13, state="changed"))
    document["work"]["tasks"][0]["name"] = LONG
    document["waiting"][0] |= {"model": LONG, "reason": LONG.replace("-", "_"), "hint": LONG}
    with serving(document) as (url, _):
        page = shown(visit(url))
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        page.wait_for("document.querySelector('#plan-body').children.length")
        beyond = """[...document.querySelectorAll('main *:not(#spoken, thead, thead *)')]
            .filter((each) => each.getBoundingClientRect().right > innerWidth)
            .map((each) => each.outerHTML)"""
        for width in (320, 360, 700, 1200):
            page.look(width=width, phone=width < 1000)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(beyond) == []


def test_words_stand_out_from_their_ground(visit: Open) -> None:
    """Every word has a contrast of at least 4.5 to what lies behind it, by day and by night, and
    also what is shown once the connection is lost.
    """
    document = example()
    document["watch"]["problem"] = {"message": "no", "hint": "mend it"}
    document["plan"]["refusals"] = [{"message": "no", "hint": "mend it"}]
    for state in ("waiting", "in sync"):
        document["models"].append(model(state, "acme/x", 1, state=state))
    with serving(document) as (url, _):
        page = shown(visit(url))
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        page.wait_for("document.querySelector('#plan-body').children.length")
    page.evaluate(SEEN_AGAIN)
    page.wait_for("!document.querySelector('#lost').hidden")
    for dark in (False, True):
        page.look(dark=dark)
        faint, looked_at = page.evaluate(CONTRAST)
        assert looked_at > 100
        assert faint == []


def test_page_is_for_screen_readers_too(visit: Open) -> None:
    """There are landmarks, one first heading and no level skipped; progress, filter and table have
    names; cells have their heads, also where the table has become cards; and only how things stand
    is announced.
    """
    with serving(example()) as (url, _):
        page = shown(visit(url, width=360, phone=True))
        page.evaluate("document.querySelector('#plan-details').open = true")
        page.wait_for("document.querySelector('#plan-body').children.length")
        nodes = page.accessibility()
        assert {node.role for node in nodes} >= LANDMARKS
        regions = _names(nodes, "region")
        assert regions == ["Working", "Moving now", "Held up", "Models", "Plan", "Last runs"]
        levels = page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3')].map((each) => Number(each.tagName[1]))"
        )
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        bars = _names(nodes, "progressbar")
        assert bars == ["fetching unsloth/Qwen3-32B-GGUF/Qwen3-32B-Q4_K_M.gguf"]
        assert _names(nodes, "searchbox") == ["Filter"]
        assert _names(nodes, "table") == ["Models"]
        assert _names(nodes, "columnheader") == ["Name", "Source", "On disk", "State"]
        assert _names(nodes, "rowheader")[0] == "qwen3-0.6b"
        assert all(_names(nodes, role) for role in ("link", "DisclosureTriangle"))
        live = "[...document.querySelectorAll('[aria-live], [role=status]')].map((each) => each.id)"
        assert page.evaluate(live) == ["spoken"]
        assert page.text("#spoken") == "Working: the manifest changed"


def test_everything_is_reached_with_the_keyboard(visit: Open) -> None:
    """Tab goes to the skip link first, then through all there is, each time with a visible ring;
    the skip link leads to the models, and Enter opens the plan.
    """
    with serving(example()) as (url, _):
        page = shown(visit(url))
        met: list[str] = []
        for _ in range(30):
            page.press("Tab")
            what = page.evaluate(FOCUSED)
            if what["word"] in met or what["word"] == "":
                break
            assert what["ring"], what
            met.append(what["word"])
            if what["id"] == "plan-summary":
                page.press("Enter")
                page.wait_for("document.querySelector('#plan-body').children.length")
        assert met[0] == "Skip to the models"
        assert met[1:5] == ["Models", "Plan", "Runs", "filter"]
        runs = page.evaluate("document.querySelectorAll('#run-list summary').length")
        assert len([word for word in met if word.startswith(("in sync", "applied"))]) == 2
        assert len(met) == 5 + 1 + runs + 3
        page.evaluate("document.activeElement.blur(); document.querySelector('.skip').focus()")
        page.press("Enter")
        page.wait_for("location.hash === '#models'")
        page.press("Tab")
        assert page.evaluate("document.activeElement.id") == "filter"


def test_thousand_models_stay_quick(visit: Open) -> None:
    """Of many models some are shown, and the filter finds the others at once; an answer that
    changes one model fills one row.
    """
    document = at_rest(example())
    document["models"] = [
        model(f"model-{number:04}", f"acme/model-{number}-GGUF:Q4_K_M", 4 * 10**9)
        for number in range(1000)
    ]
    with serving(document) as (url, told):
        page = shown(visit(url))
        assert page.text("#counts") == "1,000 models, 4.0 TB"
        assert page.evaluate("document.querySelectorAll('#rows tr').length") == 200
        # The machine may be busy with others meanwhile, and is not each time.
        seconds = min(page.evaluate(TYPING) for _ in range(5))
        assert page.text("#rows").startswith("model-0987")
        assert page.text("#counts") == "1 of 1,000 models, 4.0 TB"
        assert seconds < 0.25
        page.evaluate(
            """const filter = document.querySelector('#filter');
            filter.value = '';
            filter.dispatchEvent(new Event('input'));
            document.querySelector('#more').click();
            window.filled = new Set();
            new MutationObserver((records) => records.forEach(({ target }) =>
                filled.add(target.closest('tr')?.firstChild.textContent ?? 'the list')))
              .observe(document.querySelector('#rows'), { childList: true, subtree: true })"""
        )
        assert page.evaluate("document.querySelectorAll('#rows tr').length") == 1000
        told.document = document | {"models": [*document["models"]]}
        told.document["models"][500] = model("model-0500", "acme/other", 5, state="changed")
        page.evaluate(SEEN_AGAIN)
        page.wait_for("document.querySelector('#rows .changed')")
        assert page.evaluate("[...filled]") == ["model-0500"]


def test_page_without_scripts_says_where_to_look(visit: Open) -> None:
    """Where scripts are off, the page says so, and leads to the same as JSON."""
    with serving(example()) as (url, _):
        page = visit(url, scripts=False)
        assert "This page needs JavaScript" in page.text()
        assert "Models" not in page.text("main")
        assert page.evaluate("document.querySelector('noscript a').href") == f"{url}api/status"


def test_pictures_are_small() -> None:
    """What the documents show of the page is there, and quick to load."""
    for name in ("status-page.png", "status-page-phone.png"):
        assert 10_000 < (PROJECT / "docs" / "images" / name).stat().st_size <= 150_000


def test_page_is_small() -> None:
    """All of it is text of ours, of at most 30 KiB in all, without anything inline, and comes with
    the package.
    """
    files = sorted(STATIC.iterdir())
    setup = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packed = (
        PROJECT.glob(f"reconciler/{pattern}") for pattern in setup["package-data"]["reconciler"]
    )
    assert {*files} <= {file for found in packed for file in found}
    assert [file.name for file in files] == ["icon.svg", "index.html", "page.css", "page.js"]
    assert sum(file.stat().st_size for file in files) <= 30 << 10
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?! type=\"module\" src=)", html)


def _shape(status: dict[str, Any]) -> dict[str, set[str]]:
    """Give the keys of a status, and of its parts."""
    parts = {key: status[key] for key in ("watch", "runtime", "work")}
    firsts = {key: status[key][0] for key in ("models", "runs")}
    return {key: set(part) for key, part in {"": status, **parts, **firsts}.items()}


def _names(nodes: list[AxNode], role: str) -> list[str]:
    return [node.name for node in nodes if node.role == role]


def _spoiled(value: Any) -> Any:
    """Put hostile words into every text that is no moment, and no word that the format fixes."""
    if isinstance(value, dict):
        fixed = ("phase", "action", "outcome", "state")
        return {key: each if key in fixed else _spoiled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_spoiled(each) for each in value]
    is_moment = isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value)
    return f"{value}{HOSTILE}" if isinstance(value, str) and not is_moment else value
