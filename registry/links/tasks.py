"""What the broker's messages call. None carries anything: what is due stands in the database."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from registry.jobs.handlers import register
from registry.links import panel, priorities, schedule, services
from registry.links.content import recorded
from registry.links.domains import census, registrations, takeovers
from registry.links.opt_outs import services as opt_outs

# The database was started anew under a task: it is tried again, over half a minute and more. Beat comes later anyway.
_DATABASE_GONE = (OperationalError, InterfaceError)
_TIMES = 6

register(panel.KIND, panel.panel_draw_run)
register(recorded.KIND, recorded.recorded_read_run)


@shared_task(ignore_result=True, autoretry_for=_DATABASE_GONE, retry_backoff=1, max_retries=_TIMES)
def links_check() -> None:
    """Check one batch of what is due, and wake the next, which ends at once where nothing is. Twice or never does no harm."""
    if services.links_check():
        links_check.apply_async(expires=60)


@shared_task(ignore_result=True, autoretry_for=_DATABASE_GONE, retry_backoff=1, max_retries=_TIMES)
def links_wake() -> None:
    """Beat: wake a worker when something is due; this is also what takes up the links of one that died."""
    if schedule.is_anything_due():
        links_check.apply_async(expires=60)


@shared_task(ignore_result=True)
def links_prioritise() -> None:
    """Beat: let links come first to which something happened."""
    priorities.links_prioritise()


@shared_task(ignore_result=True)
def links_tidy() -> None:
    """Beat: drop observations that are too old, look again at what was excluded, apply opt-outs to what is new.

    And let be due what a clock that was ahead put off.
    """
    services.history_expire()
    services.links_review()
    schedule.links_never_ahead(timezone.now())
    opt_outs.opt_outs_spread()


@shared_task(ignore_result=True)
def opt_outs_read() -> None:
    """Read the opt-out files that somebody asked for."""
    opt_outs.opt_outs_read()


@shared_task(ignore_result=True)
def opt_outs_wake() -> None:
    """Beat: wake a worker where an opt-out file is to be read that nobody has."""
    if opt_outs.opt_outs_waiting().exists():
        opt_outs_read.apply_async(expires=300)


@shared_task(ignore_result=True)
def domains_wake() -> None:
    """Beat: enrol new hosts, and wake a worker for the domains that are due and for the registries to ask."""
    census.hosts_enrol()
    now = timezone.now()
    if census.domains_ready(now).exists():
        domains_census.apply_async(expires=300)
    if registrations.candidates(now).exists():
        registries_ask.apply_async(expires=300)


@shared_task(ignore_result=True)
def domains_census() -> None:
    """Ask the resolvers for one batch of domains; the next is woken where there is more."""
    if census.domains_census() and census.domains_ready(timezone.now()).exists():
        domains_census.apply_async(expires=300)


@shared_task(ignore_result=True)
def registries_ask() -> None:
    """Ask one registry about its candidates; the next is woken where one told something, after the pause between two."""
    if registrations.registries_ask() and registrations.candidates(timezone.now()).exists():
        registries_ask.apply_async(countdown=5, expires=300)


@shared_task(ignore_result=True)
def takeovers_sweep() -> None:
    """Beat: note domains that changed hands, let them be reported, and forget changes that are too old."""
    takeovers.takeovers_find()
    while takeovers.takeovers_tell():
        pass
    census.changes_expire(timezone.now())
