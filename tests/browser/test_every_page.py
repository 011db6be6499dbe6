"""What must hold on every kind of page, for a stranger and for a member."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.takedowns.long_lists import make_long_lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Page, ViewportSize

    from takedowns.releases.models import Release
    from tests.browser.stock import Stock
    from tests.browser.visitors import Visitors
    from tests.takedowns.released import Setting

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# As high as the longest page: what sticks to an edge then covers nothing that axe would call too small.
PHONE: ViewportSize = {"width": 360, "height": 5000}
DESK: ViewportSize = {"width": 1280, "height": 3000}
NARROWEST: ViewportSize = {"width": 320, "height": 700}
ABSENT = "no such page"  # that there is none is a page too
# Words that a template leaves behind where a value is missing.
LEFT_BEHIND = {"None", "{{", "{%", "nan"}


def complaints(page: Page, rules: Sequence[str] = RULES) -> str:
    """What axe has against the page as it is drawn now, "" for nothing."""
    found = Axe().run(page, options={"resultTypes": ["violations"], "runOnly": list(rules)})
    return found.generate_report() if found.violations_count else ""


def problems(page: Page) -> Iterator[str]:
    """What is wrong with the page: in its words, on the narrowest screen, and by axe in both schemes and sizes."""
    if page.locator("h1").count() != 1:
        yield "not exactly one h1"
    if not page.title().endswith(" · Expunge"):
        yield f"its title is {page.title()}"
    if left := LEFT_BEHIND & set(page.locator("body").inner_text().split()):
        yield f"it says {left}"
    page.set_viewport_size(NARROWEST)
    if (width := page.evaluate("document.documentElement.scrollWidth")) > NARROWEST["width"]:
        yield f"it scrolls sideways: {width} px"
    for size in (PHONE, DESK):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme="light")
        if report := complaints(page):
            yield f"{size['width']} px: {report}"
        page.emulate_media(color_scheme="dark")
        if report := complaints(page, ["color-contrast"]):  # the scheme changes colours and nothing else
            yield f"{size['width']} px, dark: {report}"


@pytest.mark.parametrize("who", ["stranger", "approver"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(visitors: Visitors, stock: Stock, who: str) -> None:
    page = visitors.open(stock.team.approver if who == "approver" else None)
    paths = stock.staff if who == "approver" else stock.public
    found = []
    for name, path in paths.items():
        response = page.goto(path)
        if response is None or response.status != (404 if name == ABSENT else 200):
            found.append(f"{name}: answered {response and response.status}")
        found += [f"{name}: {problem}" for problem in problems(page)]
    assert found == []


def test_errors_of_a_form_are_said_on_top_and_beside_each_field(visitors: Visitors, stock: Stock) -> None:
    page = visitors.open(viewport=PHONE)
    page.goto("/report/")
    page.get_by_role("button", name="Send this report").click()
    summary = page.locator(".errors")
    assert "Choose a dataset." in summary.inner_text()
    summary.get_by_role("link", name="What is wrong?").click()
    assert page.evaluate("document.activeElement.closest('.field').innerText").startswith("What is wrong?")
    assert complaints(page) == ""


def test_what_the_owner_of_a_host_with_a_long_name_is_told_fits_the_narrowest_screen(
    visitors: Visitors,
) -> None:
    page = visitors.open(viewport=NARROWEST)
    page.goto("/about/links/")
    page.get_by_label("Your host").fill(f"{'a-long-name' * 5}.photographs.example.com")
    page.get_by_role("button", name="Read them again").click()
    page.get_by_text("Thank you.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROWEST["width"]
    assert complaints(page) == ""


def test_long_lists_fit_the_narrowest_screen_and_lead_back_to_themselves(
    visitors: Visitors, setting: Setting, published: Release
) -> None:
    page = visitors.open(setting.team.staff, viewport=NARROWEST)
    for name, one in make_long_lists(setting, published).items():
        page.goto(one.path)
        page.locator(f"#{one.param} ~ nav.pager, #{one.param} nav.pager").first.get_by_role(
            "link", name="Next"
        ).click()
        page.wait_for_url(f"**/*{one.param}=2*")
        top = page.evaluate(f"document.getElementById({one.param!r}).getBoundingClientRect().top")
        assert -1 < top < NARROWEST["height"], (name, top)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROWEST["width"], name
