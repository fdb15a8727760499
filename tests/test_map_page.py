"""The map in a real browser: headless Chromium, driven by Playwright, opens the page from its file."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from vecsearch import clustering
from vecsearch.clustering.map import STEPS, make_map, write_page
from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index.index import Index

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
        made = make_map(index)
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


def colours(page) -> dict[str, int]:
    """How many of the canvas's pixels have each colour."""
    return page.evaluate(
        """() => {
            const data = paint.getImageData(0, 0, width, height).data, counts = {};
            for (let i = 0; i < data.length; i += 4) {
                const colour = [data[i], data[i + 1], data[i + 2]].join();
                counts[colour] = (counts[colour] || 0) + 1;
            }
            return counts;
        }"""
    )


def place(page, number: int) -> tuple[float, float]:
    return tuple(page.evaluate(f"[(left + scale * x[{number}]) / ratio, (top_ + scale * y[{number}]) / ratio]"))


def test_every_point_is_painted_in_the_colour_of_its_cluster(page):
    found = colours(page)
    assert len(found) == 4  # the ground and three clusters
    ground = max(found, key=found.get)
    assert sum(count for colour, count in found.items() if colour != ground) > 60 * 5
    assert page.locator("#clusters li").count() == 3
    for number, swatch in enumerate(page.locator("#clusters i").all()):
        red, green, blue = re.findall(r"\d+", swatch.evaluate("(dot) => dot.style.background"))
        assert f"{red},{green},{blue}" in found, number


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


def test_search_lights_up_what_has_the_word(page):
    before = colours(page)
    page.fill("#search", "ROCKET")
    settle(page)
    assert page.locator("#count").inner_text() == "20 of 60 documents"
    found = colours(page)
    lit = [colour for colour in found if colour in before and colour != max(before, key=before.get)]
    assert len(lit) == 1 and len(found) == 4  # the others are faint
    page.fill("#search", "")
    settle(page)
    assert colours(page) == before and page.locator("#count").inner_text() == ""


def test_a_cluster_is_chosen_and_let_go(page):
    before = colours(page)
    button = page.locator("#clusters button").nth(1)
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "true" and colours(page) != before
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "false" and colours(page) == before


def test_zoom_keeps_the_place_under_the_pointer_and_a_drag_moves_all(page):
    at = place(page, 30)
    page.mouse.move(*at)
    page.mouse.wheel(0, -600)
    settle(page)
    assert np.allclose(place(page, 30), at, atol=1) and page.evaluate("scale / Math.min(width, height)") > 2
    page.mouse.down()
    page.mouse.move(at[0] + 70, at[1] - 40, steps=4)
    page.mouse.up()
    settle(page)
    assert np.allclose(place(page, 30), (at[0] + 70, at[1] - 40), atol=1)
    assert not page.locator("#document").is_visible()  # to drag is not to click
    page.mouse.dblclick(5, 5)
    settle(page)
    assert page.evaluate("scale / Math.min(width, height)") == pytest.approx(0.92)


def test_the_keyboard_moves_and_zooms(page):
    page.locator("#points").focus()
    before = place(page, 0)
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert place(page, 0)[0] > before[0]
    page.keyboard.press("+")
    page.keyboard.press("+")
    settle(page)
    assert page.evaluate("scale / Math.min(width, height)") > 1.5
    page.keyboard.press("0")
    settle(page)
    assert np.allclose(place(page, 0), before, atol=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_by_day_and_by_night(page, scheme):
    page.emulate_media(color_scheme=scheme)
    settle(page)
    found = colours(page)
    ground = [int(part) for part in max(found, key=found.get).split(",")]
    assert (sum(ground) > 600) == (scheme == "light") and len(found) == 4


def test_a_window_of_another_size(page):
    page.set_viewport_size({"width": 500, "height": 900})
    settle(page)
    settle(page)
    assert page.evaluate("width") <= 500 and len(colours(page)) == 4


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


def test_places_are_the_main_components(tmp_path):
    with build(tmp_path / "i") as index:
        made = make_map(index)
        points = index.vectors(range(60)) / np.linalg.norm(index.vectors(range(60)), axis=1, keepdims=True)
        centred = points - points.mean(axis=0)
        axes = np.linalg.svd(centred.astype(np.float64))[2][:2]
        expected = centred @ axes.T
        for axis in range(2):
            assert abs(np.corrcoef(made.places[:, axis], expected[:, axis])[0, 1]) > 0.9999
        assert made.places.min() >= 0 and made.places.max() <= 1
        np.testing.assert_array_equal(make_map(index).places, made.places)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("dim", [1, 2])
def test_few_documents_of_few_dimensions(tmp_path, rows, dim):
    vectors = np.arange(1, rows * dim + 1, dtype=np.float32).reshape(rows, dim)
    with Index.build(tmp_path / "i", [Document(str(i), "") for i in range(rows)], vectors=[vectors]) as index:
        made = make_map(index)
    assert made.places.shape == (rows, 2) and np.isfinite(made.places).all()
    write_page(tmp_path / "map.html", made, "few")
    assert data_of(tmp_path / "map.html")["title"] == [str(i) for i in range(rows)]


def test_of_more_documents_than_it_shows_it_takes_an_even_sample(tmp_path):
    with build(tmp_path / "i") as index:
        made = make_map(index, most=20)
        assert [document.id for document in made.documents] == [f"d{i}" for i in range(0, 60, 3)]
        write_page(tmp_path / "map.html", made, "some")
        assert "20 documents of 60, an even sample, placed by" in (tmp_path / "map.html").read_text()
        index.delete(where="id is not null")
        with pytest.raises(UsageError, match="no document"):
            make_map(index)


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 150])
def test_umap_places_heaps_apart_and_the_same_every_time(tmp_path, count):
    pytest.importorskip("umap", reason="umap-learn is not installed")
    with build(tmp_path / "i", count) as index:
        made = make_map(index, way="umap")
        np.testing.assert_array_equal(make_map(index, way="umap").places, made.places)
        heaps = made.places.reshape(3, -1, 2)
        middles = heaps.mean(axis=1)
        if count > 100:
            assert np.linalg.norm(heaps - middles[:, None], axis=2).max() < 0.5 * np.linalg.norm(middles[0] - middles[1])
    with (
        Index.build(tmp_path / "j", [Document("a", "")], vectors=[np.ones((1, 3), np.float32)]) as index,
        pytest.raises(UsageError, match="UMAP needs 4 documents, there are 1"),
    ):
        make_map(index, way="umap")
