from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.links.outcomes import Outcome
from registry.links.states import (
    ABSENT,
    ALIVE,
    APART,
    EXCLUDED,
    MOVED,
    REFUSES_US,
    TROUBLE,
    LinkState,
    Standing,
    after,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
# Hours until the next attempt, what it saw, and whether its whole host failed.
ATTEMPTS = st.lists(st.tuples(st.integers(1, 200), st.sampled_from(Outcome), st.booleans()), max_size=30)


def walk(
    *attempts: tuple[int, Outcome, bool] | tuple[int, Outcome],
) -> list[tuple[datetime, Outcome, Standing]]:
    standing, at, steps = Standing(), START, []
    for hours, outcome, *whole in attempts:
        at += timedelta(hours=hours)
        standing = after(standing, outcome, at, whole_host=bool(whole and whole[0]))
        steps.append((at, outcome, standing))
    return steps


def state_after(*attempts: tuple[int, Outcome, bool] | tuple[int, Outcome]) -> LinkState:
    return walk(*attempts)[-1][2].state


def test_every_outcome_belongs_to_one_group() -> None:
    groups = [ALIVE, MOVED, ABSENT, TROUBLE, REFUSES_US, EXCLUDED]
    assert sorted(o for group in groups for o in group) == sorted(Outcome)


def test_a_link_is_dead_after_three_failures_far_apart() -> None:
    assert state_after((1, Outcome.NOT_FOUND)) == LinkState.FAILING
    assert state_after((1, Outcome.NOT_FOUND), (72, Outcome.NOT_FOUND)) == LinkState.FAILING
    assert state_after((1, Outcome.NOT_FOUND), (72, Outcome.NOT_FOUND), (72, Outcome.GONE)) == LinkState.DEAD


def test_failures_on_the_same_day_count_once() -> None:
    assert state_after(*[(1, Outcome.NOT_FOUND)] * 50) == LinkState.FAILING


def test_a_dead_link_that_answers_is_alive_and_starts_anew() -> None:
    dead = [(72, Outcome.NOT_FOUND)] * 3
    assert state_after(*dead, (720, Outcome.OK)) == LinkState.ALIVE
    assert state_after(*dead, (720, Outcome.OK), (72, Outcome.NOT_FOUND)) == LinkState.FAILING


def test_a_host_that_fails_as_a_whole_counts_once_however_long() -> None:
    assert state_after(*[(80, Outcome.SERVER_ERROR, True)] * 20) == LinkState.FAILING
    assert state_after(*[(80, Outcome.CONNECT_TIMEOUT)] * 20) == LinkState.FAILING
    assert (
        state_after((80, Outcome.SERVER_ERROR, True), (80, Outcome.NOT_FOUND), (80, Outcome.NOT_FOUND))
        == LinkState.DEAD
    )
    assert state_after(*[(80, Outcome.SERVER_ERROR, False)] * 3) == LinkState.DEAD


@pytest.mark.parametrize(("failures", "days"), [(3, 30), (4, 90), (5, 180), (9, 180)])
def test_the_dead_are_looked_at_again(failures: int, days: int) -> None:
    at, _, standing = walk(*[(72, Outcome.GONE)] * failures)[-1]
    assert standing.due_at == at + timedelta(days=days)


def test_an_excluded_link_is_never_due() -> None:
    assert after(Standing(LinkState.ALIVE), Outcome.POLICY_NO_FETCH, START) == Standing(LinkState.EXCLUDED)


@given(ATTEMPTS)
def test_no_link_is_dead_whose_last_attempt_was_refused_or_answered(
    attempts: list[tuple[int, Outcome, bool]],
) -> None:
    for _, outcome, standing in walk(*attempts):
        if outcome not in ABSENT | TROUBLE:
            assert standing.state != LinkState.DEAD


@given(ATTEMPTS)
def test_a_dead_link_failed_three_times_far_apart_since_it_last_answered(
    attempts: list[tuple[int, Outcome, bool]],
) -> None:
    steps = walk(*attempts)
    for place, (_, _, standing) in enumerate(steps):
        if standing.state != LinkState.DEAD:
            continue
        failed: list[datetime] = []
        for at, outcome, _ in reversed(steps[: place + 1]):
            if outcome in ALIVE | MOVED | EXCLUDED:
                break
            if outcome in ABSENT | TROUBLE:
                failed.append(at)
        assert len(failed) >= 3
        assert failed[0] - failed[-1] >= 2 * APART


@given(ATTEMPTS, st.sampled_from(sorted(ALIVE)), st.integers(1, 200))
def test_any_answer_forgets_every_failure(
    attempts: list[tuple[int, Outcome, bool]], good: Outcome, hours: int
) -> None:
    at, _, standing = walk(*attempts, (hours, good))[-1]
    assert standing == Standing(LinkState.ALIVE, due_at=at + timedelta(days=7))


@given(ATTEMPTS)
def test_every_link_but_an_excluded_one_is_due_again_later(attempts: list[tuple[int, Outcome, bool]]) -> None:
    for at, _, standing in walk(*attempts):
        excluded = standing.state == LinkState.EXCLUDED
        assert standing.due_at is None if excluded else standing.due_at and standing.due_at > at


# The hours and days of a link's life, in numbers that stand here and are not read from the code.
JUST_UNDER = timedelta(hours=72) - timedelta(seconds=1)
GONE, HANGS, FAILS = Outcome.NOT_FOUND, Outcome.CONNECT_TIMEOUT, Outcome.SERVER_ERROR
# As the notes on links have it: whoever answers so has not said that the link is dead.
NEVER_DEAD = (
    "auth_required", "forbidden", "legal_block", "bot_challenge", "rate_limited", "client_error", "too_large",
    "invalid_url", "ssrf_blocked", "robots_disallowed", "opted_out",
)  # fmt: skip


def every(*outcomes: Outcome, apart: timedelta, whole_host: bool = False) -> Standing:
    """What is known of a link after these attempts, as far apart as that."""
    standing = Standing()
    for place, outcome in enumerate(outcomes):
        standing = after(standing, outcome, START + place * apart, whole_host=whole_host)
    return standing


def test_a_failure_counts_72_hours_after_the_one_before_and_not_a_second_earlier() -> None:
    assert every(GONE, GONE, apart=JUST_UNDER).failures == 1
    assert every(GONE, GONE, apart=timedelta(hours=72)).failures == 2
    # Of five that are each a little too early every other one counts, so that three take six days all the same.
    early = [every(*[GONE] * looks, apart=JUST_UNDER) for looks in (3, 4, 5)]
    assert [(one.failures, one.state) for one in early] == [(2, "failing"), (2, "failing"), (3, "dead")]


def test_what_came_too_early_moves_nothing() -> None:
    standing = every(GONE, GONE, apart=timedelta(hours=71))
    assert standing.failed_at == START


@pytest.mark.parametrize("of_host", [HANGS, Outcome.DNS_FAILURE])
def test_of_a_host_that_was_silent_as_a_whole_one_failure_counts_and_no_more(of_host: Outcome) -> None:
    """Two failures of three have to be the link's own."""
    apart = timedelta(hours=72)
    assert every(of_host, of_host, GONE, apart=apart).state == LinkState.FAILING
    assert every(GONE, of_host, of_host, apart=apart).state == LinkState.FAILING
    assert every(of_host, of_host, of_host, of_host, GONE, apart=apart).state == LinkState.FAILING
    assert every(of_host, GONE, GONE, apart=apart).state == LinkState.DEAD
    assert every(of_host, of_host, GONE, GONE, apart=apart).state == LinkState.DEAD


@pytest.mark.parametrize(
    "outcome", [FAILS, Outcome.RESET, Outcome.READ_TIMEOUT, Outcome.CONNECT_REFUSED, Outcome.TLS_ERROR]
)
def test_where_everything_that_was_asked_of_a_host_had_trouble_no_link_of_it_dies(outcome: Outcome) -> None:
    apart = timedelta(hours=72)
    assert every(*[outcome] * 9, apart=apart, whole_host=True).state == LinkState.FAILING
    assert every(*[outcome] * 3, apart=apart).state == LinkState.DEAD


@pytest.mark.parametrize("outcome", [GONE, Outcome.GONE, Outcome.SOFT_404, Outcome.DNS_NXDOMAIN])
def test_a_host_that_says_of_every_link_that_it_is_not_there_did_not_fail(outcome: Outcome) -> None:
    assert every(*[outcome] * 3, apart=timedelta(hours=72), whole_host=True).state == LinkState.DEAD


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
    assert every(*[Outcome(outcome)] * 12, apart=apart).state == LinkState.UNVERIFIABLE
    twice = every(GONE, GONE, Outcome(outcome), apart=apart)
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
    assert every(GONE, GONE, GONE, Outcome.REDIRECT_CROSS_SITE, apart=apart) == Standing(
        LinkState.MOVED, due_at=START + 3 * apart + timedelta(days=7)
    )
