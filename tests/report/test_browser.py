"""The page in a real browser: it says nothing on the console, asks nothing of the network, and its switches work."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Pages

OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
WIDE, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser(require: Callable[[str], None]) -> Iterator[Any]:
    require("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; whatever it says or asks for, beside itself, fails the test."""
    contexts, complaints = [], list[str]()

    def visit(path: Path, **context: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": WIDE, **context}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if complaint != "data:,"] == []


def colour(page: Any, what: str = "background-color") -> str:
    return page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{what}')")


def lightness(colour: str) -> float:
    red, green, blue = (int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return (red + green + blue) / 3


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_the_switches_work(pages: Pages, visit: Callable[..., Any], script: bool) -> None:
    page = visit(pages.run / "report.html", java_script_enabled=script, color_scheme="light")
    title = page.locator("#scores-title")
    assert title.inner_text() == "评测成绩"  # the run's environment was Chinese
    page.locator("label[for=language-en]").click()
    assert title.inner_text() == "How good it is"
    page.locator("label[for=language-zh]").click()
    assert title.inner_text() == "评测成绩"
    assert page.locator("[data-copy]").first.is_visible() == script
    if script:  # nothing can be asked of a page without it
        assert lightness(colour(page)) > 200
        page.locator("label[for=dark]").click()
        assert lightness(colour(page)) < 60
        page.locator("label[for=automatic]").click()
        page.emulate_media(color_scheme="dark")
        assert lightness(colour(page)) < 60
        page.locator("label[for=light]").click()
        assert lightness(colour(page)) > 200


def test_the_switches_work_by_keyboard(pages: Pages, visit: Callable[..., Any]) -> None:
    page = visit(pages.run / "report.html")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#scores-title").inner_text() == "How good it is"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_phone_shows_it_without_scrolling_sideways(pages: Pages, visit: Callable[..., Any], language: str) -> None:
    page = visit(pages.run / "report.html", viewport=PHONE, color_scheme="dark")
    page.locator(f"label[for=language-{language}]").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("figure .narrow svg").first.is_visible()
    assert not page.locator("figure .wide svg").first.is_visible()
    assert page.evaluate(SMALLEST_TEXT) >= 10


SMALLEST_TEXT = """Math.min(...[...document.querySelectorAll("figure .narrow svg")].map(
    svg => 12 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))"""


def test_no_label_of_a_picture_is_cut_off_or_lies_on_another(pages: Pages, visit: Callable[..., Any]) -> None:
    for viewport in (WIDE, PHONE):
        page = visit(pages.run / "report.html", viewport=viewport)
        for picture in page.evaluate(LABELS):
            frame, labels = picture["frame"], picture["labels"]
            for label in labels:
                assert label["left"] >= frame["left"] - 1 and label["right"] <= frame["right"] + 1, label
            for number, one in enumerate(labels):
                for other in labels[number + 1 :]:
                    apart = one["right"] <= other["left"] or other["right"] <= one["left"]
                    assert apart or one["bottom"] <= other["top"] + 3 or other["bottom"] <= one["top"] + 3, (one, other)


LABELS = """[...document.querySelectorAll("figure svg")].filter(svg => svg.getBoundingClientRect().width).map(svg => {
    const box = node => { const r = node.getBoundingClientRect();
        return {text: node.textContent, left: r.left, right: r.right, top: r.top, bottom: r.bottom}; };
    return {frame: box(svg), labels: [...svg.querySelectorAll("text")].map(box)};
})"""


def test_text_is_dark_enough_on_its_ground(pages: Pages, visit: Callable[..., Any]) -> None:
    """WCAG's 4.5 to 1, for every colour that words are written in, on both grounds, light and dark."""
    for scheme in ("light", "dark"):
        page = visit(pages.run / "report.html", color_scheme=scheme)
        colours = page.evaluate(COLOURS)
        for ground in ("paper", "card"):
            for ink in ("ink", "muted", "accent", "second"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (scheme, ink, ground)


COLOURS = """Object.fromEntries(["paper", "card", "ink", "muted", "accent", "second"].map(name => {
    const probe = document.createElement("i");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    return [name, getComputedStyle(probe).color.match(/[0-9.]+/g).map(Number)];
}))"""


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: list[float]) -> float:
    parts = [value / 255 for value in colour[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_killed_run_and_paper(pages: Pages, visit: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "killed.html"
    path.write_text(pages.killed, encoding="utf-8")
    page = visit(path)
    assert "training stopped at step" in page.locator(".state").inner_text()
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".switches").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
