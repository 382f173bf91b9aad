"""A walk through the search page as a person takes it: what the browser tests and the benchmark `search-page` share.

Belongs here: the steps and what must be true after each. Does not belong here: the browser (`chromium`), workspaces.
"""

import json
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.chromium import Chromium
from ovd_platform.flow.workspace import Workspace

_CARDS = "document.querySelectorAll('.card .picture').length"
_IDLE = "document.querySelector('main [aria-busy=\"false\"]') !== null"
_LOADED = "[...document.querySelectorAll('.card img')].slice(0, 6).every((one) => one.complete && one.naturalWidth > 0)"
_NARROW = (
    "(() => { const root = document.documentElement; return { window: window.innerWidth, page: root.scrollWidth, "
    "small: [...document.querySelectorAll('p,li,dd,dt,span,button,label')].filter((one) => one.offsetParent && one.textContent.trim() "
    "&& parseFloat(getComputedStyle(one).fontSize) < 11).length, unnamed: [...document.querySelectorAll('button,a,input,select')]"
    ".filter((one) => one.offsetParent && !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length || "
    "one.getAttribute('aria-labelledby'))).length }; })()"
)


@contextmanager
def running(ws: Workspace) -> Iterator[str]:
    """The real server on a free loopback port, in a thread; yields its address."""
    import uvicorn

    from ovd_platform.serve.application import make_app

    server = uvicorn.Server(
        uvicorn.Config(make_app(ws), host="127.0.0.1", port=0, ws="none", log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=15)


def walk(browser: Chromium, address: str, words: str, chip: Path, shots: Path) -> dict[str, Any]:
    """Text, keyboard marks with live refinement, closer look, class, exports, chip, drawn box, map, narrow window.

    Args:
        browser: A fresh browser.
        address: Of the running server.
        words: What to ask for.
        chip: An image file to give as example.
        shots: Folder for screenshots.

    Returns:
        Facts: seconds of the steps, answers, what was exported, complaints of the browser.
    """
    facts: dict[str, Any] = {}
    started = time.monotonic()
    browser.open(address)
    browser.wait("document.querySelector('#words') !== null")
    facts["first_view_s"] = round(time.monotonic() - started, 3)
    browser.wait("document.querySelector('.state h1') !== null")
    browser.screenshot(shots / "01-empty.png")

    browser.write("#words", words)
    started = time.monotonic()
    browser.press("Enter")
    browser.wait(f"{_CARDS} > 5 && {_IDLE}")
    facts["text_answers"], facts["text_s"] = browser.value(_CARDS), round(time.monotonic() - started, 3)
    browser.wait(_LOADED)
    browser.screenshot(shots / "02-text.png")

    facts["refined"] = _mark(browser, shots)
    _closer(browser, shots)
    facts["class"] = _keep(browser, address, shots)
    facts["exports"] = _exports(browser)
    facts["chip_answers"] = _chip(browser, chip, shots)
    facts["drawn_answers"] = _drawn(browser, shots)
    _map(browser, shots)
    facts["thousand"] = _thousand(browser, words, shots)
    facts["narrow"] = _narrow(browser, shots)
    facts["complaints"] = list(browser.complaints)
    facts["states"] = _states(browser, words, shots)
    return facts


def _order(browser: Chromium) -> list[str]:
    found: list[str] = browser.value(
        "[...document.querySelectorAll('.card .picture')].slice(0, 20).map((one) => one.querySelector('img').src)"
    )
    return found


def _mark(browser: Chromium, shots: Path) -> dict[str, Any]:
    """Two right, two wrong by keyboard alone; the answers must be asked for again and come in another order."""
    before = _order(browser)
    browser.value("document.querySelector('#hit-0').focus()")
    for key in ("r", "ArrowRight", "r", "ArrowRight", "w", "ArrowRight", "w"):
        browser.press(key)
    browser.wait("document.querySelector('.news').textContent.includes('marks weigh')")
    browser.wait(_IDLE)
    after = _order(browser)
    browser.screenshot(shots / "03-marked.png")
    return {"news": browser.value("document.querySelector('.news').textContent"), "order_changed": before != after}


def _closer(browser: Chromium, shots: Path) -> None:
    browser.value("document.querySelector('.card .picture[aria-current=\"true\"]').focus()")
    browser.press("Enter")
    browser.wait("document.querySelector('.detail .canvas[data-open]') !== null")
    browser.wait("document.querySelectorAll('.detail .examples img').length > 2")
    browser.wait("document.querySelectorAll('.detail .box.current').length === 1")
    time.sleep(1.0)
    browser.screenshot(shots / "04-closer.png")
    browser.press("Escape")
    browser.wait("document.querySelector('.detail') === null")


def _keep(browser: Chromium, address: str, shots: Path) -> dict[str, Any]:
    browser.write("[aria-label='Name of the class']", "walk target")
    browser.click("#save-class")
    browser.wait("document.querySelector('.news').textContent.includes('Kept as class')")
    browser.screenshot(shots / "05-kept.png")
    found = browser.value("fetch('/api/classes/optical').then((one) => one.json())")
    kept = next(one for one in found["classes"] if one["name"] == "walk target")
    browser.value("fetch('/api/classes/optical/walk target', { method: 'DELETE' }).then((one) => one.status)")
    return {name: kept[name] for name in ("name", "right", "wrong")}


def _exports(browser: Chromium) -> dict[str, int]:
    counts = {}
    for name in ("geojson", "coco", "evidence"):
        browser.click(f"#export-{name}")
        file = browser.downloaded(120.0)
        if name == "evidence":
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                facts = json.loads(archive.read("evidence.json"))
            if not {"index.html", "01/crop.png", "01/tile.png", "01/heat.png", "01/similar_1.png"} <= set(names):
                raise AssertionError(f"the evidence pack lacks files: {names}")
            counts[name] = len(facts["answers"])
        else:
            values = json.loads(file.read_bytes())
            counts[name] = len(values["features" if name == "geojson" else "annotations"])
        browser.wait("document.querySelector('.news').textContent.includes('Exported')")
    return counts


def _chip(browser: Chromium, chip: Path, shots: Path) -> int:
    browser.write("#words", "")
    browser.choose_file("#chips", chip)
    browser.wait(
        "document.querySelectorAll('aside .examples img').length === 1 && document.querySelector('aside .examples img').naturalWidth > 0"
    )
    browser.wait(f"{_CARDS} > 5 && {_IDLE}")
    browser.wait(_LOADED)
    browser.screenshot(shots / "06-chip.png")
    answers: int = browser.value(_CARDS)
    browser.click("[aria-label='Remove example 1']")
    browser.wait("document.querySelector('.state h1') !== null")
    return answers


def _drawn(browser: Chromium, shots: Path) -> int:
    browser.click("#view-scenes")
    browser.click(".scenes .picture")
    browser.wait("document.querySelector('.scene .canvas[data-open]') !== null")
    time.sleep(1.0)
    browser.screenshot(shots / "07-scene.png")
    browser.drag(".scene .draw", (0.47, 0.45), (0.53, 0.55))
    browser.wait(f"{_CARDS} > 5 && {_IDLE} && document.querySelectorAll('aside .examples img').length === 1")
    browser.wait(_LOADED)
    browser.screenshot(shots / "08-drawn.png")
    answers: int = browser.value(_CARDS)
    return answers


def _map(browser: Chromium, shots: Path) -> None:
    browser.click("#view-map")
    browser.wait("document.querySelector('.map[data-ready=\"true\"]') !== null")
    time.sleep(1.0)
    browser.screenshot(shots / "09-map.png")
    browser.value(
        "[...document.querySelectorAll('.map-view button')].find((one) => one.textContent.startsWith('Scene of'))?.click()"
    )
    time.sleep(3.0)
    browser.screenshot(shots / "10-map-scene.png")
    browser.click("#view-results")


def _thousand(browser: Chromium, words: str, shots: Path) -> dict[str, Any]:
    """As many answers as the page offers, less what is not meant: all are there, and the keyboard still goes from one to the next."""
    browser.value("document.querySelector(\"aside [aria-label='Remove example 1']\")?.click()")
    browser.value("document.querySelector('.filters').open = true")
    browser.value(
        "(() => { const one = document.querySelector('.filters select'); one.value = '1000';"
        " one.dispatchEvent(new Event('change', { bubbles: true })); })()"
    )
    browser.write("#words", words)
    browser.write(".unwanted input", "open water")
    started = time.monotonic()
    browser.press("Enter")
    browser.wait(f"{_CARDS} > 60 && {_IDLE}")
    seconds = time.monotonic() - started
    browser.wait(_LOADED)
    browser.screenshot(shots / "13-thousand.png")
    browser.value("document.querySelector('#hit-0').focus()")
    step_ms = browser.value(
        "(async () => { const started = performance.now(); for (let i = 0; i < 20; i += 1) { document.activeElement.dispatchEvent(new "
        "KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true })); await new Promise((done) => requestAnimationFrame(() => "
        "setTimeout(done))); } return (performance.now() - started) / 20; })()"
    )
    place = browser.value("document.activeElement.id")
    if place != "hit-20":
        raise AssertionError(f"twenty steps to the right end at {place}")
    browser.value("document.querySelector('.filters').open = false")
    return {"answers": browser.value(_CARDS), "seconds": round(seconds, 3), "ms_a_step": round(step_ms, 1)}


def _states(browser: Chromium, words: str, shots: Path) -> dict[str, str]:
    """What is said while an answer takes its time, when nothing passes the filters, and when the server is gone; and the way back."""
    browser.resize(1280, 860)
    browser.open(browser.value("location.origin"))
    browser.wait("document.querySelector('.state h1') !== null")
    seen = {}
    browser.connection(latency_ms=2500)
    browser.write("#words", words)
    browser.press("Enter")
    browser.wait("document.querySelector('.card.ghost') !== null")
    browser.screenshot(shots / "14-loading.png")
    seen["loading"] = browser.value("document.querySelector('main .summary').textContent")
    browser.wait(f"{_CARDS} > 5 && {_IDLE}")
    browser.connection()
    browser.value("document.querySelector('.filters').open = true")
    browser.write(".filters input[step='0.05']", "9")
    browser.press("Enter")
    browser.wait("document.querySelector('main h1')?.textContent === 'No answers'")
    browser.screenshot(shots / "15-nothing.png")
    seen["nothing"] = browser.value("document.querySelector('main .state').textContent")
    browser.connection(offline=True)
    browser.write("#words", f"{words} again")
    browser.press("Enter")
    browser.wait("document.querySelector('main [role=alert]') !== null")
    browser.screenshot(shots / "16-gone.png")
    seen["gone"] = browser.value("document.querySelector('main [role=alert]').textContent")
    browser.connection()
    browser.write(".filters input[step='0.05']", "")
    browser.click("main .state button")
    browser.wait(f"{_CARDS} > 5 && {_IDLE}")
    return seen


def _narrow(browser: Chromium, shots: Path) -> list[dict[str, int]]:
    """The same page on a wide and a narrow window: nothing sticks out, nothing is too small, every control has a name."""
    seen = []
    for width, height in ((1280, 860), (390, 844)):
        browser.resize(width, height)
        browser.wait(f"window.innerWidth === {width}")
        time.sleep(0.3)
        seen.append(browser.value(_NARROW))
    browser.value("document.querySelector('main').scrollIntoView()")
    browser.screenshot(shots / "11-narrow.png")
    browser.value("document.querySelector('.card .picture').click()")
    browser.wait("document.querySelector('.detail .canvas[data-open]') !== null")
    time.sleep(0.6)
    browser.screenshot(shots / "12-narrow-closer.png")
    seen.append(browser.value(_NARROW))
    return seen
