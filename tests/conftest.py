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
