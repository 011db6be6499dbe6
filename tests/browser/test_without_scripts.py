"""The main way of a report, from the form to the decision, with scripts turned off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from takedowns.cases.models import Case
from tests.factories import run_jobs

if TYPE_CHECKING:
    from tests.browser.stock import Stock
    from tests.browser.visitors import Visitors

pytestmark = pytest.mark.browser


def test_a_report_is_filed_proposed_approved_and_followed(visitors: Visitors, stock: Stock) -> None:
    reporter = visitors.open(java_script_enabled=False)
    reporter.goto("/")
    reporter.get_by_role("link", name="Report them").click()
    reporter.get_by_label("Which dataset is it about?").select_option(stock.dataset.slug)
    reporter.get_by_label("I do not want my work in this dataset").check()
    reporter.get_by_label("Which rows?").fill(
        "https://other.example.com/8.jpg\nhttps://other.example.com/9.jpg"
    )
    reporter.get_by_label("What should the people who decide know?").fill("I took these pictures.")
    reporter.get_by_role("button", name="Send this report").click()
    expect(reporter.get_by_role("heading", level=1)).to_contain_text("was received")
    expect(reporter.get_by_role("button", name="Copy")).to_have_count(0)
    reporter.get_by_role("link", name="Go to the status of the report").click()
    headline = reporter.get_by_role("heading", level=1)
    expect(headline).to_have_text("Received, waiting for someone to take it up")
    run_jobs()

    number = Case.objects.latest("created_at").number
    maintainer = visitors.open(stock.team.maintainer, java_script_enabled=False)
    maintainer.goto("/queue/")
    maintainer.get_by_role("button", name=f"Claim {number}").click()
    expect(maintainer.get_by_text("The case is yours for 30 minutes.")).to_be_visible()
    maintainer.get_by_label("Statement of reasons").fill("They are yours.")
    maintainer.get_by_label("Public summary").fill("Pictures that their author opted out.")
    maintainer.get_by_role("button", name="Propose removal of 2 rows").click()
    expect(maintainer.get_by_text("You proposed this, so somebody else must approve it.")).to_be_visible()
    expect(maintainer.get_by_role("button", name="Approve")).to_have_count(0)
    reporter.reload()
    expect(headline).to_have_text("A decision is proposed")

    approver = visitors.open(stock.team.approver, java_script_enabled=False)
    approver.goto("/queue/?queue=second")
    approver.get_by_role("link", name=number).click()
    approver.get_by_role("button", name="Approve removal of 2 rows").click()
    expect(approver.get_by_text("The decision is approved.")).to_be_visible()
    reporter.reload()
    expect(headline).to_have_text("Decided: the rows of 2 items will be removed")
    expect(reporter.get_by_text("They are yours.")).to_be_visible()


def test_a_proposal_is_returned_with_a_reason(visitors: Visitors, stock: Stock) -> None:
    approver = visitors.open(stock.team.approver, java_script_enabled=False)
    approver.goto(f"/cases/{stock.proposed.number}/")
    approver.get_by_role("button", name="Return it to review").click()
    expect(approver.locator(".errors")).to_contain_text("Say why it is returned.")
    approver.get_by_label("Why is it returned?").fill("The second item is somebody else's.")
    approver.get_by_role("button", name="Return it to review").click()
    expect(approver.get_by_text("The proposal is returned to review.")).to_be_visible()


def test_a_running_job_reloads_by_itself(visitors: Visitors, stock: Stock) -> None:
    member = visitors.open(stock.team.staff, java_script_enabled=False)
    member.goto(stock.staff["job running"])
    expect(member.get_by_text("81,204 of 200,000 rows")).to_be_visible()
    assert 'http-equiv="refresh"' in member.content()


def test_a_member_finds_a_dead_link_and_what_every_check_saw(visitors: Visitors, stock: Stock) -> None:
    member = visitors.open(stock.team.staff, java_script_enabled=False)
    member.goto(stock.staff["links of a watched version"])
    member.get_by_role("link", name="dead links").first.click()
    expect(member.get_by_role("link", name="Dead")).to_have_attribute("aria-current", "true")
    member.get_by_label("A part of the URL or of the host's name").fill("h1.example.com/large")
    member.get_by_role("button", name="Find").click()
    # What else was asked for stays.
    expect(member.get_by_role("link", name="Dead")).to_have_attribute("aria-current", "true")
    expect(member.get_by_role("row")).to_have_count(2)
    member.get_by_role("rowheader").get_by_role("link").click()
    expect(member.get_by_role("heading", level=2, name="History")).to_be_visible()
    member.get_by_role("link", name="Next").click()
    expect(member.get_by_text("25 of 25")).to_be_visible()
