"""Public numbers without gaps: RPT-2026-0001, CASE-2026-0001, EXP-2026-0001.

A PostgreSQL sequence would be quicker, but it leaves a gap whenever a transaction rolls back, and a gap in the
numbers of a takedown registry looks like something that was made to disappear. So each series is one row, counted up
in the transaction that uses the number: it rolls back with it, and the row lock makes the next one wait until the
commit. Take the number late in a long transaction, so that nobody waits for long.
"""

from __future__ import annotations

from django.db import connection
from django.utils import timezone


def number_next(prefix: str) -> str:
    """Return the next number of this year's series, such as "RPT-2026-0001". Call it inside a transaction."""
    series = f"{prefix}-{timezone.now().year}"
    with connection.cursor() as cursor:
        # One statement, so that the first two reports of a year cannot both start at 1.
        cursor.execute(
            "INSERT INTO takedowns_counter (series, last) VALUES (%s, 1) "
            "ON CONFLICT (series) DO UPDATE SET last = takedowns_counter.last + 1 RETURNING last",
            [series],
        )
        (last,) = cursor.fetchone()
    return f"{series}-{last:04d}"
