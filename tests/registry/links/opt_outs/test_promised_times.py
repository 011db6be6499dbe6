"""How long an owner's file is looked for, and how often, in numbers that stand here."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.links.models import Host
from registry.links.opt_outs.services import opt_out_ask, opt_out_until, opt_outs_due, opt_outs_waiting

pytestmark = pytest.mark.django_db
A_MINUTE = timedelta(minutes=1)


def host(**fields: object) -> Host:
    return Host.objects.create(**({"name": "a.example.com"} | fields))


@pytest.mark.parametrize(
    ("age", "waits"), [(timedelta(days=3) - A_MINUTE, True), (timedelta(days=3) + A_MINUTE, False)]
)
def test_it_is_looked_for_during_three_days(age: timedelta, *, waits: bool) -> None:
    asked = timezone.now() - age
    one = host(opt_out_asked_at=asked)
    assert opt_outs_waiting().exists() is waits
    assert opt_out_until(one) == asked + timedelta(days=3)


@pytest.mark.parametrize(
    ("age", "due"), [(timedelta(hours=1) - A_MINUTE, False), (timedelta(hours=1) + A_MINUTE, True)]
)
def test_who_did_not_tell_is_asked_again_in_an_hour(age: timedelta, *, due: bool) -> None:
    now = timezone.now()
    host(opt_out_asked_at=now - timedelta(hours=5), opt_out_tried_at=now - age)
    assert opt_outs_due(timezone.now()).exists() is due


@pytest.mark.parametrize(
    ("age", "anew"), [(timedelta(hours=1) - A_MINUTE, False), (timedelta(hours=1) + A_MINUTE, True)]
)
def test_whoever_names_a_host_again_has_it_looked_for_again_an_hour_later(
    age: timedelta, *, anew: bool
) -> None:
    before = timezone.now() - age
    host(opt_out_asked_at=before)
    opt_out_ask("a.example.com")
    assert (Host.objects.get().opt_out_asked_at != before) is anew


def test_what_was_read_is_not_waited_for_and_a_host_that_rests_is_not_asked() -> None:
    now = timezone.now()
    one = host(opt_out_asked_at=now - timedelta(hours=2), next_at=now + timedelta(hours=1))
    assert opt_outs_waiting().exists()
    assert not opt_outs_due(now).exists()
    Host.objects.filter(pk=one.pk).update(opt_out_read_at=now, next_at=now)
    assert not opt_outs_waiting().exists()
