"""How a map opens and moves in a real browser: first paint, and the time between frames while it is zoomed and dragged.

    python benchmarks/page.py MAP.html [--screenshot FILE.png] [--size 1400x900]

Headless Chromium (of this machine: CHROMIUM, or what is on the PATH) is driven by Playwright, without a graphics card. Times of
opening are the browser's own, from the start of navigation. `ready` is when the page's script has drawn the points. A time of a
frame is from one to the next, so 16.7 ms is the best there is; `drawing` is what the page itself takes for one.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from report import report

EVENTS = 240
FRAMES = """() => {
    window.gaps = [];
    let last = performance.now();
    const next = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(next); };
    requestAnimationFrame(next);
}"""
DRAWING = """() => Array.from({ length: 60 }, () => {
    const before = performance.now();
    frame();
    return performance.now() - before;
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description="how a map opens and moves in a browser")
    parser.add_argument("page", type=Path, help="what vecsearch map -o MAP.html has written")
    parser.add_argument("--screenshot", type=Path, help="keep a picture of the page as it opens")
    parser.add_argument("--size", default="1400x900", help="of the window (default: %(default)s)")
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    width, height = map(int, options.size.split("x"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(options.page.resolve().as_uri())
        page.wait_for_function("() => pixels !== null && !waiting")
        facts = {
            "page": options.page.name,
            "points": page.evaluate("size"),
            "page_bytes": options.page.stat().st_size,
            "browser": browser.version,
            "window": options.size,
            **opening(page),
        }
        if options.screenshot:
            page.screenshot(path=options.screenshot)
        page.evaluate(FRAMES)
        page.mouse.move(width * 0.3, height * 0.5)
        zoom = moved(page, lambda i: page.mouse.wheel(0, -100 if i % 40 < 20 else 100))
        page.mouse.down()
        pan = moved(page, lambda i: page.mouse.move(width * 0.3 + 200 * np.sin(i / 9), height * 0.5 + 100 * np.cos(i / 7)))
        page.mouse.up()
        drawing = np.median(page.evaluate(DRAWING))
        browser.close()
    report(
        "page",
        [{"move": name} | gaps | {"drawing_ms": round(drawing, 2)} | facts for name, gaps in (("zoom", zoom), ("pan", pan))],
    )


def opening(page: Page) -> dict[str, Any]:
    paints = page.evaluate("() => performance.getEntriesByType('paint').map((entry) => [entry.name, entry.startTime])")
    ready = page.evaluate("() => performance.timing.domComplete - performance.timing.navigationStart")
    return {"first_paint_ms": round(dict(paints)["first-paint"]), "ready_ms": round(ready)}


def moved(page: Page, step: Any) -> dict[str, Any]:
    """Times between frames while EVENTS events arrive."""
    page.evaluate("() => { gaps.length = 0; }")
    for i in range(EVENTS):
        step(i)
    gaps = page.evaluate("() => gaps")
    p50, p95, p99 = np.percentile(gaps, [50, 95, 99])
    return {"frames": len(gaps), "frame_p50_ms": round(p50, 1), "frame_p95_ms": round(p95, 1), "frame_p99_ms": round(p99, 1)}


if __name__ == "__main__":
    main()
