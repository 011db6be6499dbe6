"""Migrations make the database from nothing, and take it away again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from django.conf import settings

from tests.processes import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.embedded import Servers

import pytest


@pytest.fixture
def empty_database(transactional_db: None, servers: Servers) -> Iterator[dict[str, str]]:
    """The environment of a child process that works on an empty database."""
    given = environment(servers)
    server, name = given["DATABASE_URL"].rsplit("/", 1)
    fresh = f"{name}_migrations"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{fresh}"')
        try:
            yield os.environ | given | {"DATABASE_URL": f"{server}/{quote(fresh)}"}
        finally:
            connection.execute(f'DROP DATABASE "{fresh}" WITH (FORCE)')


def migrate(database: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", *arguments, "--verbosity=0", "--no-input"],
        cwd=settings.BASE_DIR,
        env=database,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"


def ours(connection: psycopg.Connection) -> tuple[int, int]:
    """How many tables and how many triggers of ours there are."""
    tables = "SELECT count(*) FROM pg_tables WHERE tablename ~ '^(registry|takedowns)_'"
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgtrigger%'"
    counts = [connection.execute(query).fetchone() for query in (tables, triggers)]
    assert counts[0]
    assert counts[1]
    return counts[0][0], counts[1][0]


def test_they_run_forward_back_and_forward_again(empty_database: dict[str, str]) -> None:
    with psycopg.connect(empty_database["DATABASE_URL"], autocommit=True) as connection:
        migrate(empty_database)
        made = ours(connection)
        assert made[0] > 40
        assert made[1] >= 7
        # takedowns is built on registry, so all of its migrations go back first.
        migrate(empty_database, "registry", "zero")
        assert ours(connection) == (0, 0)
        migrate(empty_database)
        assert ours(connection) == made
        categories = connection.execute("SELECT count(*) FROM takedowns_category").fetchone()
    assert categories
    assert categories[0] > 0
