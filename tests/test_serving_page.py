"""The search page in a real browser: headless Chromium, driven by Playwright, against a service of two small indexes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from serving import EVIL, listening, made_encoder, made_index

import vecsearch.serving
from vecsearch import Document, Index
from vecsearch.serving.guard import Access

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '</script><img src=x onerror="window.hacked=1"><b>king'
KEY = "a-key-of-enough-letters"
PARTS = [Path(vecsearch.serving.__file__).with_name(f"page.{kind}") for kind in ("html", "css", "js")]
MOST_BYTES = 60_000
PATIENCE = 30_000
"""Milliseconds after which something hangs, however busy the machine is."""
expect.set_options(timeout=PATIENCE)


def notes() -> list[Document]:
    """Documents that are hard to show: of files, long, without a title, from right to left, with letters beyond 16 bits."""
    place = {"path": "notes/bank.md", "kind": "markdown", "heading": "Money > Bank", "line": 12, "title": "Money"}
    return [
        Document("notes/bank.md:12", "Money > Bank\n\nThe bank by the river keeps bread.", place),
        Document("long", "the king and the queen . " * 2_000, {"title": "Long"}),
        Document("bare", "a storm over the city"),
        Document("arabic", "الملك في المدينة storm", {"title": "عنوان"}),
        Document("beyond", "🚲𝔸🚲 the heist 🚲 and the night", {"title": "🚲 heist", "url": "https://example.org/x"}),
        Document("unbroken", "storm " + "x" * 500, {"title": "y" * 200}),
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    Index.build(folder / "notes", notes(), made_encoder(folder / "words")).close()
    return {"films": made_index(folder), "notes": folder / "notes"}


@pytest.fixture(scope="module")
def url(folders):
    with listening(folders) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser):
    """Opens a page in a browser that knows nothing yet. Whatever it is shown, no text of a document or an address is run,
    nothing is asked of another host, and no fault is logged."""
    contexts, faults, asked = [], [], []

    def go(address: str, *, width: int = 1280, height: int = 800, settled: bool = True, **more):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **more))
        contexts[-1].set_default_timeout(PATIENCE)
        page = contexts[-1].new_page()
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request))
        page.goto(address)
        if settled:
            expect(page.locator("#status")).not_to_be_empty()
        return page

    yield go
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("[window.hacked, document.images.length]") == [None, 0]
        context.close()
    # What the browser says of an answer that is a refusal is no fault of the page.
    assert [fault for fault in faults if not fault.startswith("Failed to load resource")] == []
    assert len({urlsplit(request.url).netloc for request in asked}) == 1


def found(page, url: str, **asked) -> dict:
    """What the service itself finds."""
    return page.request.post(f"{url}/v1/indexes/films/search", data=asked).json()["results"][0]


def hits(page):
    return page.locator("#hits li")


def names(page) -> list[str]:
    return page.locator("#hits li").evaluate_all("(items) => items.map((item) => item.dataset.id)")


def holding(page, query: str) -> list:
    """Searches for `query` that wait until they are let go, as they come."""
    held: list = []
    page.route("**/search", lambda it: held.append(it) if it.request.post_data_json["q"] == query else it.continue_())
    return held


def shown(page) -> dict[str, list[str]]:
    """The state as the address says it."""
    return parse_qs(urlsplit(page.url).query)


def asking(page, act) -> dict:
    """What is searched for when `act` is done; what explains an opened hit is no search."""

    def searches(answer) -> bool:
        return answer.url.endswith("/search") and "explain" not in answer.request.post_data_json

    with page.expect_response(searches) as answered:
        act()
    return answered.value.request.post_data_json


# -- searching ---------------------------------------------------------------------------------------------------------


def test_the_start_says_what_there_is_and_what_to_try(opened, url):
    page = opened(url)
    expect(page.locator("h1")).to_have_text("films")
    expect(page.locator("#start")).to_contain_text("41 documents")
    expect(hits(page)).to_have_count(20)  # the first of them
    assert page.locator("#start .try.code").count() >= 3 and page.locator("#start .count").count() == 2
    for example in page.locator("#start .try.code").all_inner_texts():
        assert found(page, url, where=example)["total"]
    body = asking(page, page.locator("#start .try:has(.count)").first.click)
    assert re.fullmatch(r"document\.cluster = \d", body["where"])
    expect(page.locator("#chips .chip")).to_contain_text("cluster")
    assert "where" not in asking(page, page.get_by_role("link", name="vecsearch").click)
    assert asking(page, page.locator("#start .try.code").first.click)["where"] == page.locator("#where").input_value()


def test_search_as_one_types(opened, url):
    page = opened(url)
    expect(hits(page)).to_have_count(20)
    before = page.evaluate("history.length")
    page.locator("#q").press_sequentially("king", delay=5)
    expect(page.locator("#status")).to_have_text("41 documents, best first")
    expect(page.locator("#hits mark").first).to_have_text(re.compile("king", re.IGNORECASE))
    expect(page.locator("#spoken")).to_have_text("41 documents, best first")  # for a screen reader
    assert shown(page) == {"q": ["king"]} and page.evaluate("history.length") == before + 1
    assert names(page) == [hit["id"] for hit in found(page, url, q="king", k=20)["hits"]]
    page.go_back()
    expect(page.locator("h1")).to_have_text("films")
    assert page.locator("#q").input_value() == ""


def test_the_modes(opened, url):
    page = opened(f"{url}/?q=king")
    expect(page.get_by_role("radio", name="Both")).to_be_checked()
    for mode, name, said in [("meaning", "Meaning", "best first"), ("keywords", "Words", "with words of the query")]:
        assert asking(page, page.get_by_role("radio", name=name).check)["mode"] == mode
        expect(page.locator("#status")).to_contain_text(said)
        assert shown(page) == {"q": ["king"], "mode": [mode]}


def test_what_is_overtaken_is_cancelled(opened, url):
    page = opened(url)
    expect(hits(page)).to_have_count(20)
    holding(page, "river")
    with page.expect_event("requestfailed") as failed:
        page.fill("#q", "river")
        expect(page.locator("html")).to_have_class(re.compile("waiting"))
        page.fill("#q", "storm")
    assert failed.value.post_data_json["q"] == "river" and "ABORTED" in failed.value.failure
    expect(page.locator("#hits mark").first).to_have_text(re.compile("storm", re.IGNORECASE))
    expect(page.locator("html")).not_to_have_class(re.compile("waiting"))


def test_an_answer_that_comes_late_is_never_shown(opened, url):
    page = opened("about:blank", settled=False)
    # A browser that cannot take back what it has asked for.
    page.add_init_script("const real = fetch; window.fetch = (path, how) => real(path, { ...how, signal: undefined })")
    page.goto(f"{url}/?q=war")
    expect(page.locator("#hits mark").first).to_have_text(re.compile("war", re.IGNORECASE))
    held = holding(page, "river")
    page.fill("#q", "river")
    page.wait_for_timeout(150)
    page.fill("#q", "storm")
    expect(page.locator("#hits mark").first).to_have_text(re.compile("storm", re.IGNORECASE))
    now = page.locator("#found").inner_text()
    with page.expect_response("**/search"):
        held[0].continue_()
    page.wait_for_timeout(50)
    assert len(held) == 1 and page.locator("#found").inner_text() == now


def test_pages(opened, url):
    page = opened(f"{url}/?q=king")
    expect(page.locator("#pages [aria-current]")).to_have_text("1")
    first = names(page)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#status")).to_have_text("41 documents, best first, page 2 of 3")
    assert not set(names(page)) & set(first) and shown(page)["page"] == ["2"]
    page.get_by_role("link", name="3", exact=True).click()
    expect(hits(page)).to_have_count(1)
    page.go_back()
    page.go_back()
    expect(page.locator("#status")).to_have_text("41 documents, best first")
    assert names(page) == first


def test_no_hits_say_why_and_what_to_try(opened, url):
    page = opened(f"{url}/?q=zebra&mode=keywords&f.genre=noir&where=year+>+1960")
    expect(page.locator("#status")).to_have_text("No hits")
    expect(page.locator(".why")).to_have_text("No document has these words and meets the condition.")
    page.get_by_role("link", name="Search by meaning").click()
    assert shown(page)["mode"] == ["meaning"]
    page = opened(f"{url}/?where=year+>+3000")
    expect(page.locator(".why")).to_have_text("No document meets the condition.")
    page.get_by_role("link", name="Without the condition").click()
    expect(hits(page)).to_have_count(20)


# -- what narrows ------------------------------------------------------------------------------------------------------


def test_a_condition_that_is_wrong_is_said_beside_it(opened, url):
    page = opened(f"{url}/?q=king")
    expect(hits(page)).to_have_count(20)
    page.locator("#where").focus()
    expect(page.locator("#examples")).to_contain_text("year")
    page.locator("#where").press_sequentially("yeer > 1970", delay=2)
    expect(page.locator("#wrong")).to_contain_text("The condition names 'yeer', which no document has")
    assert page.locator("#where").get_attribute("aria-invalid") == "true"
    expect(hits(page)).to_have_count(20)  # what was there stays, and nothing moves
    page.fill("#where", "year > 1970")
    expect(page.locator("#wrong")).to_have_text("")
    expect(page.locator("#status")).to_have_text("19 documents, best first")
    expect(page.locator(".note")).to_contain_text("have a text as 'year'")
    assert shown(page) == {"q": ["king"], "where": ["year > 1970"]}


def test_facets_narrow_and_chips_widen(opened, url):
    page = opened(f"{url}/?q=king")
    facet = page.get_by_label("Filters")
    body = asking(page, facet.get_by_role("button", name="noir 20").click)
    assert body["where"] == "fields.\"genre\" = 'noir'"
    expect(page.locator("#status")).to_have_text("20 documents, best first")
    pressed = facet.get_by_role("button", name="noir 20")
    expect(pressed).to_have_attribute("aria-pressed", "true")
    expect(pressed).to_be_focused()
    body = asking(page, facet.get_by_role("button", name=re.compile("^b ")).click)
    assert body["where"].endswith("and 'b' in (select value from json_each(fields.\"tags\"))")
    expect(facet.get_by_role("button", name=re.compile("^b "))).to_have_attribute("aria-pressed", "true")
    page.get_by_label("year from").fill("1970")
    body = asking(page, lambda: page.keyboard.press("Tab"))
    assert body["where"].endswith('and fields."year" >= 1970')
    page.keyboard.type("1985", delay=30)  # while the answer comes
    body = asking(page, lambda: page.keyboard.press("Enter"))
    assert body["where"].endswith('and fields."year" >= 1970 and fields."year" <= 1985')
    assert shown(page) == {"q": ["king"], "f.genre": ["noir"], "f.tags": ["b"], "f.year": ["1970..1985"]}
    expect(page.locator("#chips")).to_contain_text("1970 – 1985")
    total = found(page, url, where=body["where"])["total"]
    expect(page.locator("#status")).to_have_text(f"{total} documents, best first")
    page.reload()
    expect(page.locator("#status")).to_have_text(f"{total} documents, best first")
    page.get_by_role("button", name="Remove genre noir").click()
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#status")).to_have_text("41 documents, best first")
    expect(page.locator("#q")).to_be_focused()


def test_what_facets_count_is_asked_for_when_it_changes(opened, url):
    page = opened(f"{url}/?q=king")
    expect(hits(page)).to_have_count(20)
    assert "facets" not in asking(page, lambda: page.fill("#q", "queen"))
    assert "facets" in asking(page, lambda: page.fill("#where", "year > 1970"))
    assert "facets" in asking(page, lambda: page.get_by_role("radio", name="Words").check())


# -- a document --------------------------------------------------------------------------------------------------------


def test_an_opened_hit_shows_what_each_word_says(opened, url):
    page = opened(f"{url}/?q=king")
    link = hits(page).first.locator("a")
    link.click()
    paper = page.locator("#paper")
    expect(paper.locator("h2")).to_be_focused()
    expect(paper.locator("mark.for.s4").nth(1)).to_be_visible()
    name = names(page)[0]
    document = page.request.get(f"{url}/v1/indexes/films/documents/{name}").json()
    assert paper.locator(".text").first.inner_text() == document["text"]
    words = found(page, url, q="king", k=1, explain=True, where=f"id = '{name}'")["hits"][0]["words"]
    strongest = max(words, key=lambda word: word["contribution"])
    expect(paper.locator(".text mark.for.s4").first).to_have_text(strongest["word"])
    expect(paper.locator(".text mark.for.s4").first).to_have_attribute("title", f"+{strongest['contribution']:.3f}")
    # Not by colour alone: what speaks for a hit has a line below it, what speaks against it a dashed one, and both are listed.
    assert paper.locator(".text mark.for.s4").first.evaluate("(one) => getComputedStyle(one).textDecorationStyle") == "solid"
    assert paper.locator(".strongest li").count() > 0
    for against in paper.locator(".text mark.against").all():
        assert against.evaluate("(one) => getComputedStyle(one).textDecorationStyle") == "dashed"
    expect(paper).to_contain_text(str(document["fields"]["year"]))
    assert shown(page) == {"q": ["king"], "open": [name]}
    page.keyboard.press("Escape")
    expect(paper).to_be_hidden()
    expect(link).to_be_focused()
    page.go_back()
    expect(paper).to_be_visible()


def test_more_like_this(opened, url):
    page = opened(f"{url}/?q=king")
    hits(page).first.locator("a").click()
    name = names(page)[0]
    body = asking(page, page.get_by_role("link", name="More like this").click)
    assert body["like"] == name and "q" not in body
    expect(page.locator("#status")).to_contain_text("most alike first")
    assert name not in names(page) and shown(page) == {"like": [name]}
    expect(page.locator("#chips")).to_contain_text("Film")
    page.fill("#q", "queen")  # asks for something else
    expect(page.locator("#chips")).to_be_empty()
    page.go_back()
    expect(page.locator("#chips")).to_contain_text("like")


def test_documents_that_are_hard_to_show(opened, url):
    page = opened(f"{url}/?index=notes&q=bank")
    first = hits(page).first
    expect(first.locator(".place")).to_have_text("notes/bank.md:12")
    expect(first.locator("h3")).to_have_text("BankMoney")  # the last heading, and those above it
    first.locator("a").click()
    expect(page.locator("#paper .text")).to_have_text("The bank by the river keeps bread.")
    expect(page.locator("#paper mark.for.s4").nth(1)).to_have_text("bank")
    page.goto(f"{url}/?index=notes&q=heist&open=beyond")
    expect(page.locator("#paper .text mark.for.s4")).to_have_text("heist")  # behind letters beyond 16 bits
    expect(page.get_by_role("link", name="https://example.org/x")).to_have_attribute("rel", "noreferrer")
    page.goto(f"{url}/?index=notes&open=long")
    expect(page.locator("#paper summary")).to_have_text("30,000 more characters")
    assert "".join(page.locator("#paper .text").all_text_contents()) == notes()[1].text
    page.goto(f"{url}/?index=notes&q=storm")
    expect(hits(page).filter(has_text="a storm over the city").locator(".id")).to_have_text("bare")
    title = page.locator("h3", has_text="عنوان")
    assert title.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
    page.goto(f"{url}/?index=notes&open=nothing")
    expect(page.locator("#paper [role=alert]")).to_contain_text("no such document")


def test_markup_is_text_wherever_it_comes_from(opened, url):
    page = opened(url)
    page.fill("#q", HOSTILE)
    evil = page.locator("#hits h3", has_text="<script>")
    expect(evil).to_have_text(EVIL)
    assert shown(page) == {"q": [HOSTILE]} and page.title().startswith(HOSTILE)
    evil.locator("a").click()
    expect(page.locator("#paper h2")).to_have_text(EVIL)
    expect(page.locator("#paper .text").first).to_have_text(f"the king {EVIL}")
    page.fill("#where", HOSTILE)
    expect(page.locator("#wrong")).not_to_be_empty()
    page.goto(f"{url}/?like={HOSTILE}&f.{HOSTILE}={HOSTILE}&index=films&open={HOSTILE}&mode={HOSTILE}&page={HOSTILE}")
    expect(page.locator("#chips")).to_contain_text(HOSTILE)
    page.goto(f"{url}/?index={HOSTILE.replace('/', '')}")
    expect(page.locator("#notes")).to_contain_text("There is no index")


# -- keys, the eye, the ear --------------------------------------------------------------------------------------------


def test_keys(opened, url):
    page = opened(f"{url}/?q=king")
    expect(hits(page)).to_have_count(20)
    links = hits(page).locator("a")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#paper-title")).to_have_text(links.nth(0).inner_text())
    page.keyboard.press("ArrowRight")
    expect(page.locator("#paper-title")).to_have_text(links.nth(1).inner_text())
    expect(hits(page).nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("Escape")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#paper")).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type("/?")  # in the box they are letters, and what is typed closes the document
    expect(page.locator("#paper")).to_be_hidden()
    expect(page.locator("#q")).to_be_focused()
    assert page.locator("#q").input_value().endswith("/?")
    page.keyboard.press("Escape")
    expect(page.locator("h1")).to_be_visible()
    assert page.locator("#q").input_value() == ""


def test_by_day_and_by_night(opened, url):
    page = opened(url, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    button = page.get_by_role("button", name="Dark theme")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light  # as it was chosen


NARROWED, NONE = "?q=king&f.genre=noir&where=year>1950", "?q=zebra&mode=keywords&f.genre=noir"
WIDE = ["?index=notes&q=storm", "?index=notes&open=unbroken", "", NARROWED, NONE, f"?q={EVIL}"]


@pytest.mark.parametrize(("width", "states"), [(390, WIDE), (1280, WIDE[:2])])
def test_nothing_is_wider_than_the_window(opened, url, width, states):
    page = opened(url, width=width, height=844)
    for state in states:
        page.goto(f"{url}/{state}")
        expect(page.locator("#status")).not_to_be_empty()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state


def test_on_a_phone_a_document_lies_over_the_rest(opened, url):
    page = opened(f"{url}/?q=king", width=390, height=844, has_touch=True)
    expect(page.get_by_label("Filters")).to_be_hidden()
    page.get_by_role("button", name="Filters").tap()
    expect(page.get_by_label("Filters")).to_be_visible()
    hits(page).first.locator("a").tap()
    expect(page.locator("#paper")).to_be_in_viewport(ratio=1)
    assert page.locator("#found").evaluate("(one) => one.inert")
    page.get_by_role("button", name="Close").tap()
    expect(page.locator("#paper")).to_be_hidden()
    assert not page.locator("#found").evaluate("(one) => one.inert")


STATES = [f"{NARROWED}&open=d2", "?q=king&where=yeer", "", NONE]


@pytest.mark.parametrize(("scheme", "states"), [("light", STATES), ("dark", STATES[:2])])
def test_axe_finds_nothing_serious(opened, url, scheme, states):
    axe = axe_api.Axe()
    page = opened(url, color_scheme=scheme, bypass_csp=True)
    for state in states:
        page.goto(f"{url}/{state}")
        expect(page.locator("#status, #wrong:not(:empty)").first).not_to_be_empty()
        if "open" in state:
            expect(page.locator("#paper .strongest")).to_be_visible()
        serious = [one for one in axe.run(page).response["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == [], state


# -- the map, the service ----------------------------------------------------------------------------------------------


def test_the_map_is_a_second_view(opened, url):
    page = opened(f"{url}/?q=king")
    page.get_by_role("radio", name="Map").check()
    expect(hits(page)).to_have_count(41)
    assert shown(page) == {"q": ["king"], "view": ["map"]}
    frame = page.frame_locator("iframe")
    expect(frame.locator("canvas").first).to_be_visible()
    inside = page.frames[1]
    inside.evaluate("window.told = []; addEventListener('message', ({ data }) => told.push(data))")
    inside.evaluate("parent.postMessage({ type: 'vecsearch:ready' }, location.origin)")
    inside.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert {"type": "vecsearch:highlight", "ids": names(page), "dark": False} in inside.evaluate("told")
    page.get_by_role("button", name="Dark theme").click()
    inside.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert inside.evaluate("told").pop()["dark"]
    inside.evaluate("parent.postMessage({ type: 'vecsearch:open', id: 'd7' }, location.origin)")
    expect(page.locator("#paper-title")).to_have_text("Film 7")
    inside.evaluate("parent.postMessage({ type: 'vecsearch:select', ids: ['d1', 'd2', \"d'3\"] }, location.origin)")
    expect(hits(page)).to_have_count(2)
    expect(page.locator("#chips")).to_contain_text("3 documents")
    page.reload()
    expect(hits(page)).to_have_count(2)
    page.evaluate("postMessage({ type: 'vecsearch:open', id: 'd9' }, location.origin)")  # not of the map
    page.get_by_role("radio", name="List").check()
    expect(page.locator("iframe")).to_be_hidden()
    expect(page.locator("#paper")).to_be_hidden()


def test_several_indexes(opened, url):
    page = opened(f"{url}/?q=king")
    page.get_by_label("Index").select_option("notes")
    expect(page.locator("h1")).to_have_text("notes")
    assert shown(page) == {"index": ["notes"]}
    page.go_back()
    expect(page.locator("#status")).to_have_text("41 documents, best first")
    assert page.locator("#q").input_value() == "king"


def test_a_key_is_asked_for_and_kept_in_this_tab_alone(opened, folders):
    with listening(folders, Access(KEY)) as address:
        page = opened(f"{address}/?q=king", settled=False)
        box = page.get_by_label("API key")
        expect(box).to_be_focused()
        box.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#start")).to_contain_text("That key was not taken")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Continue").click()
        expect(hits(page)).to_have_count(20)
        stored = page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href].join()")
        assert KEY not in stored and page.evaluate("sessionStorage['vecsearch-key']") == KEY
        page.get_by_role("radio", name="Map").check()  # a frame can send no header
        expect(page.frame_locator("iframe").locator("canvas").first).to_be_visible()


def test_a_service_that_is_away_or_busy_is_waited_for(opened, url):
    page = opened(f"{url}/?q=king")
    expect(hits(page)).to_have_count(20)
    page.route("**/search", lambda route: route.abort("connectionrefused"))
    page.fill("#q", "queen")
    expect(page.locator("#notes [role=alert]")).to_contain_text("cannot be reached")
    expect(hits(page)).to_have_count(20)  # those that were there
    page.unroute("**/search")
    busy = {"error": {"code": "overloaded", "message": "the service is busy", "hint": "try again in a second"}}
    answers = [{"status": 503, "body": json.dumps(busy), "headers": {"retry-after": "0.1"}}]
    page.route("**/search", lambda it: it.fulfill(**answers.pop()) if answers else it.continue_())
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#notes [role=alert]")).to_have_count(0)
    expect(page.locator("#hits mark").first).to_have_text(re.compile("queen", re.IGNORECASE))
    assert answers == []
    answers.append({"status": 503, "body": json.dumps(busy), "headers": {"retry-after": "0.5"}})
    page.route("**/map", lambda it: it.fulfill(**answers.pop()) if answers else it.continue_())
    page.get_by_role("radio", name="Map").check()
    expect(page.locator("#plane")).to_have_text("The map is being made")
    expect(page.frame_locator("iframe").locator("canvas").first).to_be_visible()


# -- without a browser -------------------------------------------------------------------------------------------------


def test_it_is_small_and_makes_no_markup_of_texts():
    texts = [part.read_text(encoding="utf-8") for part in PARTS]
    assert sum(len(text.encode()) for text in texts) < MOST_BYTES
    html, css, script = texts
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?! src=)", html)
    assert not re.search(r"https?://|@import", html + css + script)
