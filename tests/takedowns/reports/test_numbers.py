"""Public numbers follow each other without gaps."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
import time_machine
from django.db import connection, transaction

from takedowns.reports.models import Counter
from takedowns.reports.numbers import number_next


@pytest.mark.django_db
@time_machine.travel("2026-03-01", tick=False)
def test_each_series_counts_for_itself_from_one() -> None:
    assert [number_next("RPT"), number_next("RPT"), number_next("CASE")] == [
        "RPT-2026-0001",
        "RPT-2026-0002",
        "CASE-2026-0001",
    ]


@pytest.mark.django_db
def test_a_new_year_starts_at_one() -> None:
    with time_machine.travel("2026-12-31T23:59:59Z", tick=False):
        number_next("RPT")
    with time_machine.travel("2027-01-01", tick=False):
        assert number_next("RPT") == "RPT-2027-0001"


@pytest.mark.django_db
@time_machine.travel("2026-03-01", tick=False)
def test_it_goes_on_beyond_four_digits() -> None:
    Counter.objects.create(series="RPT-2026", last=9_999)
    assert number_next("RPT") == "RPT-2026-10000"


@pytest.mark.django_db(transaction=True)
def test_a_number_of_a_transaction_that_failed_is_given_again() -> None:
    with transaction.atomic():
        number_next("RPT")
        transaction.set_rollback(True)
    assert number_next("RPT").endswith("-0001")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_numbers_without_gap_or_repeat() -> None:
    given: list[str] = []
    start = Barrier(6)

    def take() -> None:
        start.wait()
        with transaction.atomic():
            given.append(number_next("RPT"))
        connection.close()

    threads = [Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number[-4:] for number in given) == [f"{n:04d}" for n in range(1, 7)]
