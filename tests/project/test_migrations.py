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


def test_they_run_forward_back_and_forward_again(empty_database: dict[str, str]) -> None:
    for arguments in (
        ["migrate"],
        ["migrate", "takedowns", "zero"],
        ["migrate", "registry", "zero"],
        ["migrate"],
    ):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--verbosity=0", "--no-input"],
            cwd=settings.BASE_DIR,
            env=empty_database,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
    with psycopg.connect(empty_database["DATABASE_URL"]) as connection:
        triggers = connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgtrigger%'"
        ).fetchone()
        categories = connection.execute("SELECT count(*) FROM takedowns_category").fetchone()
    assert triggers
    assert triggers[0] >= 7
    assert categories
    assert categories[0] > 0
