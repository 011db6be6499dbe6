"""Whether a column holds one of many values: one parameter for any number of them.

`__in` makes a parameter of each, which Django, psycopg and PostgreSQL then handle one by one; for a thousand values that
takes longer than the query. The array is a constant to the planner, so indexes serve as they do for `__in`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import BooleanField, F, Func, TextField, Value

if TYPE_CHECKING:
    from collections.abc import Iterable


def among_ids(column: str, ids: Iterable[int]) -> Func:
    """The condition that an integer `column`, perhaps of a related model, is one of `ids`."""
    return _among(column, "bigint", ids_array(ids))


def among_bytes(column: str, values: Iterable[bytes]) -> Func:
    """The condition that a binary `column` is one of `values`."""
    return _among(column, "bytea", bytes_array(values))


def ids_array(ids: Iterable[int]) -> str:
    """The text of a PostgreSQL array of these numbers, to be cast to bigint[]."""
    return f"{{{','.join(map(str, ids))}}}"


def bytes_array(values: Iterable[bytes]) -> str:
    """The text of a PostgreSQL array of these values, to be cast to bytea[]; which psycopg is slow to write."""
    return "{" + ",".join([rf'"\\x{value.hex()}"' for value in values]) + "}"


def _among(column: str, kind: str, written: str) -> Func:
    """`written` is the text of a PostgreSQL array."""
    array = Value(written, output_field=TextField())
    return Func(
        F(column),
        array,
        template=f"%(expressions)s::{kind}[])",
        arg_joiner=" = ANY(",
        output_field=BooleanField(),
    )
