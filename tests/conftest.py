"""A real PostgreSQL and a real Valkey for the tests that use them, started by the first that does.

pytest-xdist's workers share the two servers; each has a database and a Valkey database number of its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from psycopg.conninfo import conninfo_to_dict

from registry.embedded import Servers, start, wait_until_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.processes import Gunicorn, Worker


def pytest_configure(config: pytest.Config) -> None:
    # How long an example takes says more about the machine than about the code.
    hypothesis.settings.register_profile("expunge", deadline=None)
    hypothesis.settings.load_profile("expunge")
    # No test reaches another machine; these are options of pytest-socket.
    config.option.allow_hosts = "127.0.0.0/8,::1"
    config.option.allow_unix_socket = True


# The files that take longest, the longest first.
LONG = (
    "project/test_doors.py",
    "browser/test_every_page.py",
    "project/test_demo.py",
    "project/test_benchmarks.py",
    "registry/links/test_kill_site.py",
    "expunge/copies/test_img2dataset.py",
    "takedowns/test_paging.py",
    "registry/links/test_politeness_kept.py",
    "registry/links/content/test_placeholders.py",
    "properties/test_release_properties.py",
    "project/test_migrations.py",
    "registry/links/test_behaviours.py",
    "registry/links/content/test_reading.py",
    "browser/test_keyboard.py",
    "expunge/test_diff_sharing.py",
    "browser/test_without_scripts.py",
    "registry/links/test_hostile_answers.py",
    "registry/datasets/test_real_lists.py",
    "registry/datasets/test_ingest_worker.py",
    "expunge/test_cli_processes.py",
    "project/test_leaks.py",
    "expunge/copies/test_copy_commands.py",
    "registry/links/test_crowds.py",
    "expunge/test_signing.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker of xdist begin with some of the long files, so that none is left at the end for one alone.

    `--dist worksteal` cuts the list into as many equal parts as there are workers.
    """
    if not hasattr(config, "workerinput"):
        return
    workers = config.workerinput["workercount"]
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    long = sorted((item for item in items if item.path in ranks), key=lambda item: ranks[item.path])
    rest = [item for item in items if item.path not in ranks]
    part = len(items) // workers
    items.clear()
    for number in range(workers):
        first = [item for item in long if ranks[item.path] % workers == number]
        fill = max(0, part - len(first))
        items += first + rest[:fill]
        del rest[:fill]
    items += rest


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that started the others ends last
        wait_until_stopped(
            Path(os.environ["EXPUNGE_TEST_VAR"]) / "servers"
        )  # tests/settings.py removes it at exit


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Both embedded servers, and the settings pointing to them."""
    from django.conf import settings

    from registry.celery import app

    with start(Path(os.environ["EXPUNGE_TEST_VAR"]) / "servers", throwaway=True) as running:
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        running.broker_url += f"?virtual_host={number}"
        app.conf.update(broker_url=running.broker_url)
        settings.BROKER_URL = settings.CELERY_BROKER_URL = running.broker_url
        settings.DATABASES["default"]["HOST"] = conninfo_to_dict(running.database_url)["host"]
        yield running


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    servers: Servers, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """pytest-django asks for this before it makes the test database."""
    from django.apps import apps
    from django.db.models.signals import post_migrate

    post_migrate.connect(_seed, sender=apps.get_app_config("takedowns"))


def _seed(**_: object) -> None:
    """Put back what migrations wrote, after a test that emptied the database: in any order tests find a new site."""
    from takedowns.reports.categories import seed_categories
    from takedowns.reports.models import Category

    seed_categories(Category)


@pytest.fixture
def worker(transactional_db: None, servers: Servers) -> Iterator[Worker]:
    """A real Celery worker process on the test's database and broker, with an empty queue."""
    from tests.processes import Worker

    with Worker(servers) as running:
        yield running


@pytest.fixture
def live_site(transactional_db: None, servers: Servers) -> Iterator[Gunicorn]:
    """A real gunicorn on the test's database and broker; its `url` has no slash at the end."""
    from tests.processes import Gunicorn

    with Gunicorn(servers) as running:
        yield running
