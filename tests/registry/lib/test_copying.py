from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from registry.lib.copying import copy_rows
from registry.links.models import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("name", "next_at", "delay", "fails", "covers_subdomains")
ROW = ("a.example.com", "2026-01-01T00:00Z", 1.0, 0, False)


@pytest.mark.django_db
def test_it_writes_rows_and_says_how_many() -> None:
    assert copy_rows(Host, COLUMNS, [ROW, ("b.example.com", *ROW[1:])]) == 2
    assert Host.objects.count() == 2


@pytest.mark.django_db
def test_what_the_database_refuses_is_raised_as_by_any_other_statement() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        copy_rows(Host, COLUMNS, [ROW, ROW])
    assert not Host.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_meanwhile_is_told_like_one_that_is_gone() -> None:
    other = connections.create_connection("default")

    def rows() -> Iterator[tuple[object, ...]]:
        yield ROW
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [ours])

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (ours,) = cursor.fetchone()
    try:
        with pytest.raises(OperationalError):
            copy_rows(Host, COLUMNS, rows())
    finally:
        other.close()
        connection.close()
