"""Many rows into a table at once, by PostgreSQL's COPY.

`bulk_create` writes a statement with a parameter for each value; for 100,000 rows that costs ten times as long as the
insert itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import Model
    from psycopg import Copy


def copy_rows(model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Insert rows, each with a value for every one of `columns`, in the caller's transaction; returns how many.

    Columns are those of the table (`report_id`, not `report`). Values are written as they are: no default and no check of
    Django's applies, the database's do, and a column that is left out needs a default there (an id has one).
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table),  # noqa: SLF001  -- _meta is Django's documented API
        sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
    count = 0
    with copying(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


@contextmanager
def copying(statement: sql.Composable) -> Iterator[Copy]:
    """Write rows into a COPY … FROM STDIN. What the database says against it is raised as Django's errors, as elsewhere."""
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        yield copy


def insert_missing(
    model: type[Model], columns: Sequence[str], query: sql.Composable, parameters: Sequence[Any] = ()
) -> None:
    """Insert those rows of a query that conflict with none, in the caller's transaction.

    The query gives `columns` in their order; others get Django's defaults.
    """
    others = {
        field.column: field.get_db_prep_save(field.get_default(), connection)
        for field in model._meta.concrete_fields  # noqa: SLF001  -- _meta is Django's documented API
        if field.column and not field.primary_key and field.column not in columns
    }
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM ({}) AS found ON CONFLICT DO NOTHING").format(
        sql.Identifier(model._meta.db_table),  # noqa: SLF001  -- the same
        sql.SQL(", ").join(map(sql.Identifier, [*columns, *others])),
        sql.SQL(", ").join([sql.SQL("found.*"), *[sql.Placeholder()] * len(others)]),
        query,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*others.values(), *parameters])
