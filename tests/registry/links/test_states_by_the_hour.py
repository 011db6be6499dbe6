"""The hours and days of a link's life, in numbers that stand here and are not read from the code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.links.outcomes import Outcome
from registry.links.states import LinkState, Standing, after

START = datetime(2026, 1, 1, tzinfo=UTC)
JUST_UNDER = timedelta(hours=72) - timedelta(seconds=1)
GONE, HANGS, FAILS = Outcome.NOT_FOUND, Outcome.CONNECT_TIMEOUT, Outcome.SERVER_ERROR
# As the notes on links have it: whoever answers so has not said that the link is dead.
NEVER_DEAD = (
    "auth_required", "forbidden", "legal_block", "bot_challenge", "rate_limited", "client_error", "too_large",
    "invalid_url", "ssrf_blocked", "robots_disallowed", "opted_out",
)  # fmt: skip


def walk(*outcomes: Outcome, apart: timedelta, whole_host: bool = False) -> Standing:
    standing = Standing()
    for place, outcome in enumerate(outcomes):
        standing = after(standing, outcome, START + place * apart, whole_host=whole_host)
    return standing


def test_a_failure_counts_72_hours_after_the_one_before_and_not_a_second_earlier() -> None:
    assert walk(GONE, GONE, apart=JUST_UNDER).failures == 1
    assert walk(GONE, GONE, apart=timedelta(hours=72)).failures == 2
    # Of five that are each a little too early every other one counts, so that three take six days all the same.
    early = [walk(*[GONE] * looks, apart=JUST_UNDER) for looks in (3, 4, 5)]
    assert [(one.failures, one.state) for one in early] == [(2, "failing"), (2, "failing"), (3, "dead")]


def test_what_came_too_early_moves_nothing() -> None:
    standing = walk(GONE, GONE, apart=timedelta(hours=71))
    assert standing.failed_at == START


@pytest.mark.parametrize("of_host", [HANGS, Outcome.DNS_FAILURE])
def test_of_a_host_that_was_silent_as_a_whole_one_failure_counts_and_no_more(of_host: Outcome) -> None:
    """Two failures of three have to be the link's own."""
    apart = timedelta(hours=72)
    assert walk(of_host, of_host, GONE, apart=apart).state == LinkState.FAILING
    assert walk(GONE, of_host, of_host, apart=apart).state == LinkState.FAILING
    assert walk(of_host, of_host, of_host, of_host, GONE, apart=apart).state == LinkState.FAILING
    assert walk(of_host, GONE, GONE, apart=apart).state == LinkState.DEAD
    assert walk(of_host, of_host, GONE, GONE, apart=apart).state == LinkState.DEAD


@pytest.mark.parametrize(
    "outcome", [FAILS, Outcome.RESET, Outcome.READ_TIMEOUT, Outcome.CONNECT_REFUSED, Outcome.TLS_ERROR]
)
def test_where_everything_that_was_asked_of_a_host_had_trouble_no_link_of_it_dies(outcome: Outcome) -> None:
    apart = timedelta(hours=72)
    assert walk(*[outcome] * 9, apart=apart, whole_host=True).state == LinkState.FAILING
    assert walk(*[outcome] * 3, apart=apart).state == LinkState.DEAD


@pytest.mark.parametrize("outcome", [GONE, Outcome.GONE, Outcome.SOFT_404, Outcome.DNS_NXDOMAIN])
def test_a_host_that_says_of_every_link_that_it_is_not_there_did_not_fail(outcome: Outcome) -> None:
    assert walk(*[outcome] * 3, apart=timedelta(hours=72), whole_host=True).state == LinkState.DEAD


@pytest.mark.parametrize(
    ("outcome", "due"),
    [
        (Outcome.OK, timedelta(days=7)),
        (Outcome.NOT_MODIFIED, timedelta(days=7)),
        (Outcome.REDIRECT_SAME_SITE, timedelta(days=7)),
        (Outcome.REDIRECT_CROSS_SITE, timedelta(days=7)),
        (GONE, timedelta(hours=72)),
        (Outcome.FORBIDDEN, timedelta(days=14)),
        (Outcome.ROBOTS_DISALLOWED, timedelta(days=14)),
    ],
)
def test_a_link_is_asked_again_when_its_state_says(outcome: Outcome, due: timedelta) -> None:
    assert after(Standing(), outcome, START).due_at == START + due


@pytest.mark.parametrize("outcome", NEVER_DEAD)
def test_who_refuses_us_adds_no_failure_and_takes_none_away(outcome: str) -> None:
    apart = timedelta(hours=72)
    assert walk(*[Outcome(outcome)] * 12, apart=apart).state == LinkState.UNVERIFIABLE
    twice = walk(GONE, GONE, Outcome(outcome), apart=apart)
    assert (twice.state, twice.failures) == (LinkState.UNVERIFIABLE, 2)
    assert after(twice, GONE, START + 3 * apart).state == LinkState.DEAD


@pytest.mark.parametrize("outcome", [Outcome.TLS_ERROR, Outcome.PROTOCOL_ERROR])
def test_trouble_that_may_as_well_be_ours_is_nobodys_failure(outcome: Outcome) -> None:
    standing = Standing()
    for place in range(6):
        standing = after(standing, outcome, START + place * timedelta(hours=72), in_doubt=True)
    assert (standing.state, standing.failures) == (LinkState.UNVERIFIABLE, 0)


def test_a_dead_link_that_moved_is_alive_again() -> None:
    apart = timedelta(hours=72)
    assert walk(GONE, GONE, GONE, Outcome.REDIRECT_CROSS_SITE, apart=apart) == Standing(
        LinkState.MOVED, due_at=START + 3 * apart + timedelta(days=7)
    )
