"""The built pages in a browser, opened from the disk with the network refused, wide and light, narrow and dark."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from book_pages import book  # noqa: F401

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]

QUIET = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SCREENS = {
    "wide, light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "narrow, dark": {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"},
}

# What sticks out of the screen and lies in nothing that scrolls. What the theme slides in from outside is `fixed`.
STICKS_OUT = """() => [...document.querySelectorAll('article *')].filter(e => {
    if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let p = e; p; p = p.parentElement) {
        const s = getComputedStyle(p);
        const root = p === document.body || p === document.documentElement;
        if (!root && /auto|scroll|hidden/.test(s.overflowX)) return false;
    }
    return getComputedStyle(e).position !== 'fixed' && !e.closest('mjx-assistive-mml');
}).map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 40))"""

# WCAG contrast of an element's text with what lies behind it.
CONTRAST = """e => {
    const rgba = c => c.match(/[\\d.]+/g).map(Number);
    const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const light = c => .2126 * linear(c[0]) + .7152 * linear(c[1]) + .0722 * linear(c[2]);
    let p = e, back = [255, 255, 255];
    for (; p; p = p.parentElement) { const c = rgba(getComputedStyle(p).backgroundColor);
                                     if (c.length < 4 || c[3] > .5) { back = c; break; } }
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(back)].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
}"""


class Reader:
    """A browser that refuses the network, and what went wrong in it."""

    def __init__(self, browser, screen: str):
        self.context = browser.new_context(**SCREENS[screen])
        self.context.set_default_timeout(180_000)  # a limit for what hangs, not for a busy machine
        self.asked_outside: list[str] = []
        self.messages: list[str] = []
        self.context.route(lambda url: not url.startswith(("file:", "data:", "blob:")), self.refuse)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.messages.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("requestfailed", lambda request: self.messages.append(f"failed: {request.url}"))

    def refuse(self, route):
        self.asked_outside.append(route.request.url)
        route.abort()

    def open(self, path: Path, query: str = ""):
        self.page.goto(path.as_uri() + query, wait_until="load")
        if self.page.locator(".math").count():
            self.page.wait_for_function("() => window.MathJax?.startup?.promise")
            self.page.evaluate("() => MathJax.startup.promise.then(() => null)")
        return self.page


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        arguments = QUIET + (["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def reader(browser, request):
    reader = Reader(browser, request.param if hasattr(request, "param") else "wide, light")
    yield reader
    reader.context.close()


def sources(book: Path) -> list[Path]:  # noqa: F811
    return sorted(path for path in book.glob("*.html") if path.name != "search.html")


@pytest.mark.parametrize("reader", SCREENS, indirect=True)
def test_every_page_reads_well(book, reader):  # noqa: F811
    wrong = []
    for path in sources(book):
        page = reader.open(path)
        wrong += [f"{path.name}: asked for {url}" for url in reader.asked_outside]
        wrong += [f"{path.name}: {message}" for message in reader.messages]
        wrong += [f"{path.name}: sticks out: {text}" for text in page.evaluate(STICKS_OUT)[:3]]
        if page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wrong.append(f"{path.name}: scrolls sideways")
        formulas, typeset = page.locator(".math").count(), page.locator("mjx-container").count()
        if typeset < formulas or page.locator("mjx-merror").count():
            wrong.append(f"{path.name}: {typeset} of {formulas} formulas typeset")
        theme = page.evaluate("() => document.documentElement.dataset.theme")
        if theme != page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'"):
            wrong.append(f"{path.name}: theme {theme}")
        for text in page.locator("article figcaption, article figcaption :is(label, output, p)").all():
            if (contrast := text.evaluate(CONTRAST)) < 4.5:
                wrong.append(f"{path.name}: contrast {contrast:.1f}: {text.inner_text()[:40]}")
        reader.asked_outside.clear()
        reader.messages.clear()
    assert wrong == []


@pytest.mark.parametrize("reader", SCREENS, indirect=True)
def test_sliders_move_by_keyboard(book, reader):  # noqa: F811
    moved = 0
    for path in sources(book):
        if "replearn-slider" not in path.read_text():
            continue
        page = reader.open(path)
        for figure in page.locator("figure.replearn-slider").all():
            control, image = figure.get_by_role("slider"), figure.locator("img")
            assert figure.get_by_label(figure.locator("label").inner_text().strip()).count() == 1
            control.focus()
            seen = set()
            for key in ("Home", "ArrowRight", "End"):
                page.keyboard.press(key)
                assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
                text = figure.locator("output").inner_text()
                assert control.get_attribute("aria-valuetext") == text
                seen.add((image.get_attribute("src"), image.get_attribute("alt"), text))
            sources_seen, descriptions, texts = (set(column) for column in zip(*seen, strict=True))
            steps = min(int(control.get_attribute("max")) + 1, 3)
            assert len(sources_seen) == len(descriptions) == len(texts) == steps
            moved += 1
    assert moved, "no slider in the book"
    assert reader.messages == []
    assert reader.asked_outside == []


def test_search_finds_without_a_server(book, reader):  # noqa: F811
    page = reader.open(book / "search.html", "?q=triplet")
    page.wait_for_selector("ul.search li")
    assert page.locator("ul.search li a[href*=ch04]").count()
    assert reader.asked_outside == []
    assert reader.messages == []


def test_answers_unfold(book, reader):  # noqa: F811
    for path in sources(book):
        if "admonition dropdown" not in path.read_text():
            continue
        page = reader.open(path)
        box = page.locator(".admonition.dropdown").first
        body = box.locator("> :not(.admonition-title):not(button)").first
        assert not body.is_visible()
        box.locator("button").first.click()
        assert body.is_visible()


def test_claims_are_filtered(book, reader):  # noqa: F811
    page = reader.open(book / "claims.html")
    rows = page.locator("div.claims tbody tr")
    page.get_by_label("Show rows with").fill("facenet ACCURACY")
    left = [text.lower() for text in page.locator("div.claims tbody tr:visible").all_inner_texts()]
    assert 0 < len(left) < rows.count()
    assert all("facenet" in text and "accuracy" in text for text in left)
    page.get_by_label("Show rows with").fill("")
    assert page.locator("div.claims tbody tr:visible").count() == rows.count()
