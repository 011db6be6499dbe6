"""The site by keyboard alone, and what scripts add: copying, keys of the queue, progress."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from registry.jobs.models import Job, JobState

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stock import Stock
    from tests.browser.visitors import Visitors

pytestmark = pytest.mark.browser


def focused(page: Page) -> str:
    """The text of what has the focus, or its label."""
    text: str = page.evaluate(
        "(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()"
    )
    return text


def test_the_first_tab_stop_skips_to_the_content(visitors: Visitors, stock: Stock) -> None:
    page = visitors.open()
    page.goto(stock.public["release"])
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert focused(page) == "Datasets"  # the breadcrumb, the first link of the content


def test_the_queue_is_worked_by_keys(visitors: Visitors, stock: Stock) -> None:
    page = visitors.open(stock.team.staff)
    page.goto("/queue/")
    cases = page.locator("tbody th a").all_inner_texts()
    page.keyboard.press("j")
    assert focused(page) == cases[0]
    page.keyboard.press("j")
    assert focused(page) == cases[1]
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(cases[0])
    page.go_back()
    page.keyboard.press("n")
    expect(page.get_by_role("button", name="Hold it for 30 minutes more")).to_be_visible()
    page.goto("/queue/?queue=unclaimed")
    free = page.locator("tbody th a").first.inner_text()
    page.keyboard.press("j")
    page.keyboard.press("c")
    expect(page.get_by_role("heading", level=1)).to_have_text(free)
    expect(page.get_by_text("The case is yours for 30 minutes.")).to_be_visible()


def test_keys_rest_while_somebody_types_and_can_be_turned_off(visitors: Visitors, stock: Stock) -> None:
    page = visitors.open(stock.team.staff)
    page.goto("/queue/")
    page.keyboard.press("/")
    page.keyboard.type("jc?")
    assert page.evaluate("document.activeElement.value") == "jc?"
    page.locator("h1").click()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys of this page")
    expect(keys).to_be_visible()
    page.get_by_label("Use keys on this device").uncheck()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.locator("h1").click()
    page.keyboard.press("j")
    expect(page.locator("tbody :focus")).to_have_count(0)


def test_a_command_and_a_digest_are_copied_whole(visitors: Visitors, stock: Stock) -> None:
    page = visitors.open(permissions=["clipboard-read", "clipboard-write"])
    page.goto(stock.public["release"])
    command = page.locator(".command", has_text="Verify what you downloaded")
    command.get_by_role("button").click()
    expect(page.locator("#announce")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == command.locator("code").inner_text()
    page.get_by_role("button", name=re.compile("^Copy digest")).first.click()
    expect(page.locator("dd .copy[data-state=copied]")).to_have_count(1)
    assert re.fullmatch("[0-9a-f]{64}", page.evaluate("navigator.clipboard.readText()"))


def test_a_running_job_shows_its_progress_and_its_end_without_a_reload(
    visitors: Visitors, stock: Stock
) -> None:
    page = visitors.open(stock.team.staff)
    path = stock.staff["job running"]
    page.goto(path)
    expect(page.get_by_text("81,204 of 200,000 rows")).to_be_visible()
    job = Job.objects.filter(pk=path.strip("/").split("/")[-1])
    job.update(rows_done=150_000)
    expect(page.get_by_text("150,000 of 200,000 rows")).to_be_visible()
    job.update(state=JobState.SUCCEEDED, finished_at=job.get().heartbeat_at)
    expect(page.locator(".mark", has_text="Done")).to_be_visible()
