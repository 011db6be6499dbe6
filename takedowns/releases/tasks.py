"""What workers do for releases: the handler of each kind of job, and beat's round."""

from __future__ import annotations

from celery import shared_task

from registry.jobs.handlers import register
from takedowns.releases import services
from takedowns.releases.services.build import BUILD, PUBLISH

register(BUILD, services.release_build_run, services.release_build_failed)
register(PUBLISH, services.release_publish_run, services.release_publish_failed)


@shared_task(ignore_result=True)
def releases_due() -> None:
    """Beat: build and publish what is due."""
    services.releases_due()
