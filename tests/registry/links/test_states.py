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
