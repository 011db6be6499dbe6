"""The Celery application and its clock. The database is the truth; a message only wakes somebody up."""

from __future__ import annotations

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, worker_init, worker_process_init
from django.conf import settings

from expunge.keys import registrable_domain
from registry.lib.broker_loss import outlive_the_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
# A worker of Celery's would run Django's checks, for which it loads every page (14 MB), and heed none of what they find.
os.environ.setdefault("CELERY_SKIP_CHECKS", "yes")

outlive_the_broker()
app = Celery("expunge")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    [
        "registry.jobs",
        "registry.datasets",
        "registry.links",
        "takedowns.reports",
        "takedowns.cases",
        "takedowns.releases",
    ],
)


def beat_schedule() -> dict[str, dict[str, Any]]:
    """What beat sends, and how often in seconds: name -> entry."""
    schedule: dict[str, dict[str, Any]] = {
        # A job whose worker died shows no progress any more; somebody else takes it up.
        "jobs_resume": {
            "task": "registry.jobs.tasks.jobs_resume",
            "schedule": 15.0,
            "options": {"expires": 15},
        },
        "links_wake": {
            "task": "registry.links.tasks.links_wake",
            "schedule": 15.0,
            "options": {"expires": 15},
        },
        "links_prioritise": {
            "task": "registry.links.tasks.links_prioritise",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "links_tidy": {
            "task": "registry.links.tasks.links_tidy",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "opt_outs_wake": {
            "task": "registry.links.tasks.opt_outs_wake",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "domains_wake": {
            "task": "registry.links.tasks.domains_wake",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "takeovers_sweep": {
            "task": "registry.links.tasks.takeovers_sweep",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
    }
    if settings.RELEASE_SCHEDULE:
        schedule["releases_due"] = {
            "task": "takedowns.releases.tasks.releases_due",
            "schedule": settings.RELEASE_SCHEDULE,
            "options": {"expires": settings.RELEASE_SCHEDULE},
        }
    return schedule


app.conf.beat_schedule = beat_schedule()


@worker_init.connect
def load_what_processes_share(**_signal: Any) -> None:
    """Read the public suffix list before worker processes are forked: each of them would, in a tenth of a second."""
    registrable_domain("example.com")


@worker_process_init.connect
def leave_what_is_loaded(**_signal: Any) -> None:
    """Let the garbage collector of a worker process not look at the code and models again and again: they stay."""
    gc.freeze()
    gc.set_threshold(10_000)
    task_postrun.connect(collect_what_a_task_left)


def collect_what_a_task_left(**_signal: Any) -> None:
    """Let go of it before the next task adds its own. In a worker process alone, where there is little else to look at."""
    gc.collect()


@setup_logging.connect
def keep_django_logging(**_signal: Any) -> None:
    """Stop Celery from setting up logs of its own: Django's LOGGING stands."""
