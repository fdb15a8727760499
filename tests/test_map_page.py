"""The map in a real browser: headless Chromium, driven by Playwright, opens the page from its file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from vecsearch import clustering
from vecsearch.clustering.map import Map, make_map
from vecsearch.clustering.page import STEPS, map_page, write_page
from vecsearch.corpus.document import Document
from vecsearch.index.index import Index
from vecsearch.store.clusters import Cluster
from vecsearch.store.places import Area

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2"><!--'


def build(folder, count: int = 60) -> Index:
    """Three heaps; the texts of the last are full of markup, and so is its name."""
    rng = np.random.default_rng(0)
    heaps = np.eye(3, 6).repeat(count // 3, axis=0) + 0.05 * rng.standard_normal((count, 6))
    texts = [text for text in ("the cat purrs", "a rocket flies", EVIL) for _ in range(count // 3)]
    rows = [
        Document(f"d{i}", f"{text} {i}", {"title": f"{EVIL} {i}" if text is EVIL else f"title {i}", EVIL: [EVIL]})
        for i, text in enumerate(texts)
    ]
    return Index.build(folder, rows, vectors=[heaps.astype(np.float32)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    with build(folder / "i") as index:
        clustering.cluster(index, clustering.Settings(k=3))
        made = make_map(index, way="pca")
    write_page(folder / "map.html", made, f"Films {EVIL}")
    return folder / "map.html", made


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser, written):
    opened = browser.new_page(viewport={"width": 1200, "height": 800})
    opened.problems, opened.asked = [], []
    opened.on("console", lambda said: opened.problems.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(written[0].as_uri())
    settle(opened)
    yield opened
    # Nothing that a document says is run, and nothing is loaded.
    assert opened.evaluate("window.hacked") is None and opened.locator("img").count() == 0
    assert opened.problems == [] and opened.asked == [written[0].as_uri()]
    opened.close()


def settle(page) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def painted(page) -> np.ndarray:
    """The colour of the pixel in the middle of each point: (n, 3)."""
    return np.array(
        page.evaluate(
            """() => Array.from(x, (_, i) => {
                const at = Math.round(top_ + scale * y[i]) * width + Math.round(left + scale * x[i]);
                return [pixels[at] & 255, (pixels[at] >> 8) & 255, (pixels[at] >> 16) & 255];
            })"""
        )
    )


def swatches(page) -> np.ndarray:
    """The colours of the clusters in the list: (c, 3)."""
    found = [dot.evaluate("(dot) => dot.style.background") for dot in page.locator("#clusters i").all()]
    return np.array([list(map(int, re.findall(r"\d+", colour))) for colour in found])


def ground(page) -> np.ndarray:
    return np.array(page.evaluate("ground"))


def faint(page) -> np.ndarray:
    """Which points are hardly to be seen, (n,) bool: nearer to the ground than to any colour."""
    found = painted(page)
    return np.abs(found - ground(page)).sum(axis=1) < np.abs(found[:, None] - swatches(page)).sum(axis=2).min(axis=1)


def place(page, number: int) -> tuple[float, float]:
    return tuple(page.evaluate(f"[(left + scale * x[{number}]) / ratio, (top_ + scale * y[{number}]) / ratio]"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_point_is_painted_in_the_colour_of_its_cluster(page, written, scheme):
    page.emulate_media(color_scheme=scheme)
    settle(page)
    assert (ground(page).sum() > 600) == (scheme == "light")
    own = swatches(page)[written[1].labels]
    assert page.locator("#clusters li").count() == 3 and np.abs(painted(page) - own).max() < 40


def test_names_and_title_are_text(page, written):
    names = page.locator("#clusters span").all_inner_texts()
    assert names == [cluster.name for cluster in written[1].clusters]
    assert page.title() == page.locator("h1").inner_text() == f"Films {EVIL}"


def test_hover_shows_the_text_and_a_click_opens_it(page):
    for number in (0, 45):
        page.mouse.move(*place(page, number))
        settle(page)
        shown = page.evaluate("hovered")
        assert page.locator("#tip").is_visible() and f" {shown}" in page.locator("#tip span").inner_text()
        page.mouse.down()
        page.mouse.up()
        settle(page)
        box = page.locator("#document")
        assert box.is_visible() and page.evaluate("opened") == shown
        assert box.locator("p").inner_text() == page.evaluate(f"data.text[{shown}]")
        assert box.locator("dd").first.inner_text() == f"d{shown}"
        assert EVIL in box.locator("dt").all_inner_texts() and json.dumps([EVIL]) in box.locator("dd").all_inner_texts()
    page.mouse.move(2, 2)
    settle(page)
    assert not page.locator("#tip").is_visible()
    page.locator("#document button").click()
    assert not page.locator("#document").is_visible() and page.evaluate("opened") == -1


def test_search_lights_up_what_has_the_word(page):
    before = painted(page)
    page.fill("#search", "ROCKET")
    settle(page)
    assert page.locator("#count").inner_text() == "20 of 60 documents"
    np.testing.assert_array_equal(~faint(page), (np.arange(60) >= 20) & (np.arange(60) < 40))
    page.fill("#search", "")
    settle(page)
    np.testing.assert_array_equal(painted(page), before)
    assert page.locator("#count").inner_text() == ""


def test_a_cluster_is_chosen_and_let_go(page, written):
    button = page.locator("#clusters button").nth(1)
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "true"
    np.testing.assert_array_equal(~faint(page), written[1].labels == 1)
    page.keyboard.press("Escape")
    settle(page)
    assert button.get_attribute("aria-pressed") == "false" and not faint(page).any()


@pytest.mark.parametrize("by", ["shift", "button"])
def test_an_area_is_selected(page, written, by):
    numbers = np.flatnonzero(written[1].labels == written[1].labels[25])  # the heap of rockets
    places = np.array([place(page, number) for number in numbers])
    (left, top), (right, bottom) = places.min(axis=0) - 12, places.max(axis=0) + 12
    if by == "button":
        page.locator("#lasso").click()
    else:
        page.keyboard.down("Shift")
    page.mouse.move(left, top)
    page.mouse.down()
    for at in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(*at, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    settle(page)
    box = page.locator("#selection")
    assert box.locator("h2").inner_text() == "20 documents" and box.locator("li").count() == 20
    assert "rocket" in box.locator("p").first.inner_text()
    assert set(box.locator("li").all_inner_texts()) == {f"title {number}" for number in numbers}
    np.testing.assert_array_equal(np.flatnonzero(~faint(page)), numbers)
    assert page.locator("#lasso").get_attribute("aria-pressed") == "false"
    box.locator("li button").first.click()
    assert page.locator("#document h2").inner_text().startswith("title ")
    page.locator("#selection > button").click()
    settle(page)
    assert not box.is_visible() and not faint(page).any()


def test_zoom_keeps_the_place_under_the_pointer_and_a_drag_moves_all(page):
    at = place(page, 30)
    page.mouse.move(*at)
    page.mouse.wheel(0, -600)
    settle(page)
    assert np.allclose(place(page, 30), at, atol=1) and page.evaluate("zoom()") > 2
    page.mouse.down()
    page.mouse.move(at[0] + 70, at[1] - 40, steps=4)
    page.mouse.up()
    settle(page)
    assert np.allclose(place(page, 30), (at[0] + 70, at[1] - 40), atol=1)
    assert not page.locator("#document").is_visible()  # to drag is not to click


def test_buttons_and_keys_move_and_zoom(page):
    page.emulate_media(reduced_motion="reduce")
    page.locator("#points").focus()
    before = place(page, 0)
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert place(page, 0)[0] > before[0]
    page.keyboard.press("+")
    page.locator("#in").click()
    settle(page)
    assert page.evaluate("zoom()") == pytest.approx(1.5 * 1.8)
    page.locator("#out").click()
    page.keyboard.press("0")
    page.locator("#all").click()
    settle(page)
    assert np.allclose(place(page, 0), before, atol=1)


def test_motion_comes_to_the_same_end(page):
    page.locator("#in").click()
    page.wait_for_function("() => Math.abs(zoom() - 1.8) < 1e-6")


def test_a_window_of_another_size(page):
    page.set_viewport_size({"width": 390, "height": 800})
    settle(page)
    settle(page)
    assert page.evaluate("width / ratio") <= 390 and not faint(page).any()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# -- names on the map --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """The page of a map with many clusters and areas, whose names are long, and many of them in one place."""
    rng = np.random.default_rng(0)
    middles = rng.random((30, 2)) ** 2
    labels = rng.integers(0, 30, 3000)
    places = np.clip(middles[labels] + 0.02 * rng.standard_normal((3000, 2)), 0, 1).astype(np.float32)
    rows = [Document(str(i), f"text {i}", {"title": f"The title of {i}"}) for i in range(3000)]
    clusters = [
        Cluster(number, f"{'long ' * (number % 5)}name, of cluster, {number}", [], 100, 0.5, "0", ["0"], None)
        for number in range(30)
    ]
    areas = [Area(f"area {n}, of some", *rng.random(2).tolist(), int(rng.integers(5, 90))) for n in range(300)]
    path = tmp_path_factory.mktemp("crowded") / "map.html"
    write_page(path, Map(places, labels, rows, clusters, areas, 3000, 0, "tsne"), "many")
    return path


def test_names_never_overlap_and_are_more_the_closer_one_looks(browser, crowded):
    counts = []
    for width, height, ratio in ((1200, 800, 1), (390, 800, 2)):
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=ratio)
        page.goto(crowded.as_uri())
        settle(page)
        for zoom in (1, 2, 4, 9, 20, 60):
            page.evaluate(f"[scale, left, top_] = wholeMap(); zoomAt(width * 0.4, height * 0.6, {zoom})")
            settle(page)
            shown, (wide, tall), tools = page.evaluate("[shownNames, [width, height], toolbox]")
            assert shown or zoom > 9
            for number, box in enumerate(shown):
                assert box["left"] >= 0 and box["top"] >= 0 and box["right"] <= wide and box["bottom"] <= tall
                for other in [*shown[:number], tools]:
                    assert (
                        box["right"] <= other["left"] or other["right"] <= box["left"]
                        or box["bottom"] <= other["top"] or other["bottom"] <= box["top"]
                    ), (zoom, box, other)  # fmt: skip
            kinds = {name.split()[0] for name in (box["name"] for box in shown)}
            counts.append((width, zoom, len({box["name"] for box in shown}), kinds))
            if zoom == 1:
                assert len(shown) >= (12 if width > 390 else 5) and "area" not in kinds
        page.close()
    assert all("area" in kinds for _, zoom, _, kinds in counts if zoom in (4, 9))
    assert any("The" in kinds for _, zoom, _, kinds in counts if zoom > 9)  # titles, where few points are in view


# -- inside another page -----------------------------------------------------------------------------------------------

OUTER = """<!DOCTYPE html><title>outer</title><iframe src="map" width="800" height="600"></iframe><script>
window.told = []; addEventListener("message", (event) => told.push(event.data));</script>"""


def fulfilled(body: str, route) -> None:
    route.fulfill(body=body, content_type="text/html")


def test_inside_a_page_of_the_same_origin_they_talk(browser, written):
    outer = browser.new_page()
    answers = {"outer": OUTER, "map": written[0].read_text()}
    outer.route(
        "http://maps.test/*",
        lambda route: route.fulfill(body=answers[route.request.url.rsplit("/")[-1]], content_type="text/html"),
    )
    outer.goto("http://maps.test/outer")
    outer.wait_for_function("() => told.some((said) => said.type === 'vecsearch:ready')")
    inner = outer.frames[1]
    assert not inner.locator("aside").is_visible()
    outer.evaluate("frames[0].postMessage({type: 'vecsearch:highlight', ids: ['d3', 'd44', 'nothing']}, location.origin)")
    inner.wait_for_function("() => lit !== null")
    assert inner.evaluate("Array.from(lit.keys()).filter((i) => lit[i])") == [3, 44]
    for ids in ("null", "'x'"):
        outer.evaluate(f"frames[0].postMessage({{type: 'vecsearch:highlight', ids: {ids}}}, location.origin)")
        inner.wait_for_function("() => lit === null")
    inner.evaluate("open(7)")
    inner.evaluate("select([1, 2])")
    outer.wait_for_function("() => told.length >= 3")
    assert outer.evaluate("told.slice(1)") == [
        {"type": "vecsearch:open", "id": "d7"}, {"type": "vecsearch:select", "ids": ["d1", "d2"]},
    ]  # fmt: skip
    assert not inner.locator("#document").is_visible()
    outer.close()


# -- without a browser -------------------------------------------------------------------------------------------------


def data_of(path) -> dict:
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)[1])


def test_the_page_holds_each_document_once_and_no_markup_of_theirs(written):
    path, made = written
    text = path.read_text()
    assert text.count("<script") == 2 and text.count("</script>") == 2 and "<img" not in text and "<!--" not in text
    data = data_of(path)
    assert data["id"] == [f"d{i}" for i in range(60)] and data["text"][50] == f"{EVIL} 50"
    assert np.allclose(np.array([data["x"], data["y"]]).T / STEPS, made.places, atol=1e-4)
    assert data["cluster"] == made.labels.tolist()


def test_a_server_gets_the_page_and_what_its_policy_has_to_allow(tmp_path):
    with build(tmp_path / "i") as index:
        page = map_page(index, f"Films {EVIL}")
        write_page(tmp_path / "map.html", make_map(index, way="pca"), f"Films {EVIL}")
    assert page.html == (tmp_path / "map.html").read_bytes()
    for tag, hash in (("script", page.script_hash), ("style", page.style_hash)):
        (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.html.decode(), re.DOTALL)
        assert hash == f"sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}"
        assert f"{tag}-src '{hash}'" in page.html.decode()
