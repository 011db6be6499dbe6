"""What the broker's messages call. None carries anything: what is due stands in the database."""

from __future__ import annotations

from celery import shared_task

from registry.jobs.handlers import register
from registry.links import panel, schedule, services

register(panel.KIND, panel.panel_draw_run)


@shared_task(ignore_result=True)
def links_check() -> None:
    """Check one batch of what is due, and wake the next if there is more. Twice or never does no harm."""
    if services.links_check() and schedule.is_anything_due():
        links_check.apply_async(expires=60)


@shared_task(ignore_result=True)
def links_wake() -> None:
    """Beat: wake a worker when something is due; this is also what takes up the links of one that died."""
    if schedule.is_anything_due():
        links_check.apply_async(expires=60)


@shared_task(ignore_result=True)
def links_tidy() -> None:
    """Beat: drop observations that are too old, and look again at what was excluded."""
    services.history_expire()
    services.links_review()
