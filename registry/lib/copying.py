"""Many rows into a table at once, by PostgreSQL's COPY.

`bulk_create` writes a statement with a parameter for each value; for 100,000 rows that costs ten times as long as the
insert itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import Model


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
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def copy_missing(model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert those rows that conflict with none, in the caller's transaction; other columns get Django's defaults.

    They are copied into a table of the transaction first, because COPY knows no ON CONFLICT.
    """
    others = {
        field.column: field.get_db_prep_save(field.get_default(), connection)
        for field in model._meta.concrete_fields  # noqa: SLF001  -- _meta is Django's documented API
        if field.column and not field.primary_key and field.column not in columns
    }
    table = model._meta.db_table  # noqa: SLF001  -- the same
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    everything = sql.SQL(", ").join(map(sql.Identifier, [*columns, *others]))
    values = sql.SQL(", ").join([*map(sql.Identifier, columns), *[sql.Placeholder()] * len(others)])
    new = sql.Identifier(f"new_{table}")
    make = sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA")
    insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING")
    with connection.cursor() as cursor:
        cursor.execute(make.format(new, names, sql.Identifier(table)))
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(new, names)) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(insert.format(sql.Identifier(table), everything, values, new), list(others.values()))
        cursor.execute(sql.SQL("DROP TABLE {}").format(new))
