"""Random Parquet files by several writers, and what several readers find in them.

Each file comes from a seed: `random_file(folder, seed)` writes it, `random_cut(file, seed)` takes rows or cells out, and
`READERS` tell what stays. Nothing here uses the engine but for `Cut`.
"""

from __future__ import annotations

import atexit
import string
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import fastparquet
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.shards.cut import Cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CODECS = ("none", "snappy", "gzip", "brotli", "lz4", "zstd")

MOST_ROWS = 400


@dataclass(frozen=True)
class ParquetFile:
    """A file that was written: by whom, and with which settings, as words."""

    path: Path
    writer: str
    settings: str

    @property
    def rows(self) -> int:
        return int(pq.read_metadata(self.path).num_rows)

    def __str__(self) -> str:
        return f"{self.path.name} by {self.writer} with {self.settings}"


def random_file(folder: Path, seed: int, writers: Sequence[str] = ()) -> ParquetFile:
    """Write the file of a seed, by one of these writers or of all."""
    random = Random(seed)
    writer = random.choice(list(writers or WRITERS))
    path = folder / f"{seed}.parquet"
    rows = random.choice([1, 2, random.randrange(1, 40), random.randrange(1, MOST_ROWS)])
    settings = WRITERS[writer](path, rows, random)
    return ParquetFile(path, writer, settings)


def random_cut(file: ParquetFile, seed: int) -> Cut:
    """Rows, cells or elements of the file to take out: few of them, most of them, or all."""
    random = Random(-seed - 1)
    rows = file.rows
    share = random.choice([1 / max(rows, 1), 0.02, 0.3, 0.9, 1.0])
    schema = pq.read_schema(file.path)
    if random.random() < 0.6:
        return Cut(drop=_some(range(rows), share, random))
    nullable = [field.name for field in schema if field.nullable and schema.names.count(field.name) == 1]
    names = random.sample(nullable, min(len(nullable), random.randrange(1, 4)))
    null = {name: _some(range(rows), share, random) for name in names}
    drop = _some(range(rows), share, random) if random.random() < 0.3 else np.zeros(0, np.int64)
    return Cut(drop=drop, null=null, elements=_some_elements(file, schema, share, random))


def _some(rows: range, share: float, random: Random) -> np.ndarray[Any, np.dtype[np.int64]]:
    count = min(len(rows), max(1, round(share * len(rows))))
    return np.array(sorted(random.sample(rows, count)), dtype=np.int64)


def _some_elements(
    file: ParquetFile, schema: pa.Schema, share: float, random: Random
) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    lists = [f.name for f in schema if pa.types.is_list(f.type) or pa.types.is_large_list(f.type)]
    if not lists or random.random() < 0.5:
        return {}
    name = random.choice(lists)
    values = pq.read_table(file.path, columns=[name]).column(name).to_pylist()
    pairs = [(row, place) for row, value in enumerate(values) for place in range(len(value or ()))]
    taken = sorted(random.sample(pairs, round(share * len(pairs))))
    return {name: np.array(taken, dtype=np.int64).reshape(-1, 2)}


def without(rows: list[dict[str, Any]], cut: Cut) -> list[dict[str, Any]]:
    """Rows as Python values without what the cut takes out: the plainest way to say what is right."""
    changed = [dict(row) for row in rows]
    for name, pairs in cut.elements.items():
        for row, place in reversed(pairs.tolist()):
            changed[row][name] = [*changed[row][name][:place], *changed[row][name][place + 1 :]]
    for name, places in cut.null.items():
        for row in places.tolist():
            changed[row][name] = None
    gone = set(cut.drop.tolist())
    return [row for place, row in enumerate(changed) if place not in gone]


# What goes into the files.


def _word(random: Random) -> str:
    return "".join(random.choices(string.ascii_lowercase + "é☃", k=random.choice([0, 3, 8, 60])))


def _maybe(random: Random, value: Any) -> Any:
    return None if random.random() < 0.15 else value


def random_column(kind: pa.DataType, rows: int, random: Random) -> pa.Array:
    """Random values of a type, some of them null, some there often."""
    few = [_value(kind, random) for _ in range(random.choice([1, 3, 50]))]
    often = random.random() < 0.5
    values = [_maybe(random, random.choice(few) if often else _value(kind, random)) for _ in range(rows)]
    if pa.types.is_dictionary(kind):
        shared = pa.array([*values, "never in any row"], pa.string()).dictionary_encode()
        return shared.slice(0, rows).cast(kind)
    return pa.array(values, kind)


def _value(kind: pa.DataType, random: Random) -> Any:
    if pa.types.is_integer(kind):
        low = -(1 << kind.bit_width - 1) if pa.types.is_signed_integer(kind) else 0
        return random.choice([low, 0, 1, random.randrange(low, low + (1 << kind.bit_width))])
    if pa.types.is_floating(kind):
        number = random.choice([0.0, -0.0, float("nan"), float("inf"), random.uniform(-9, 9)])
        return np.float16(number) if kind.bit_width == 16 else number
    if pa.types.is_boolean(kind):
        return random.random() < 0.5
    if pa.types.is_decimal(kind):
        return Decimal(random.randrange(-(10**kind.precision) + 1, 10**kind.precision)).scaleb(-kind.scale)
    if pa.types.is_timestamp(kind):
        return datetime(2021, 1, 1, tzinfo=UTC if kind.tz else None) + timedelta(
            seconds=random.randrange(10**8)
        )
    if pa.types.is_date(kind):
        return date(2021, 1, 1) + timedelta(days=random.randrange(1000))
    if pa.types.is_fixed_size_binary(kind):
        return random.randbytes(kind.byte_width)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return random.randbytes(random.randrange(20))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_maybe(random, _value(kind.value_type, random)) for _ in range(random.randrange(4))]
    if pa.types.is_map(kind):
        keys = {_word(random) for _ in range(random.randrange(3))}
        return [(key, _maybe(random, _value(kind.item_type, random))) for key in sorted(keys)]
    if pa.types.is_struct(kind):
        return {field.name: _maybe(random, _value(field.type, random)) for field in kind}
    return _word(random)


_TYPES: tuple[pa.DataType, ...] = (
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.binary(4),
    pa.bool_(),
    pa.int8(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint32(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(7, 2),
    pa.decimal128(25, 3),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("ms", tz="UTC"),
    pa.dictionary(pa.int32(), pa.string()),
    pa.list_(pa.string()),
    pa.list_(pa.float64()),
    pa.large_list(pa.int64()),
    pa.struct([("a", pa.string()), ("b", pa.float32())]),
    pa.map_(pa.string(), pa.int32()),
    pa.list_(pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))])),
    pa.struct([("in", pa.struct([("deep", pa.list_(pa.binary()))]))]),
    pa.map_(pa.string(), pa.list_(pa.float64())),
)

# What every writer can write and every reader read.
_COMMON: tuple[pa.DataType, ...] = (
    pa.string(),
    pa.int32(),
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.timestamp("us"),
)


def _table(kinds: Sequence[pa.DataType], rows: int, random: Random) -> pa.Table:
    chosen = [pa.string(), *random.choices(kinds, k=random.randrange(1, 7))]
    names = ["url", *(random.choice([f"c{n}", f"with.dot{n}", f"ünï {n}"]) for n in range(1, len(chosen)))]
    return pa.table(
        {name: random_column(kind, rows, random) for name, kind in zip(names, chosen, strict=True)}
    )


# Who writes them.


@cache
def one_duckdb() -> duckdb.DuckDBPyConnection:
    """One database a process, which takes longer to make than a file to read."""
    database = duckdb.connect(config={"threads": 1})
    database.execute("SET enable_progress_bar = false")
    atexit.register(one_duckdb.cache_clear)  # while the library still is whole
    return database


def _by_pyarrow(path: Path, rows: int, random: Random) -> str:
    table = _table(_TYPES, rows, random)
    if random.random() < 0.1:
        required = table.schema.field(0).with_nullable(False)
        table = table.set_column(0, required, pa.array([_word(random) for _ in range(rows)]))
    settings: dict[str, Any] = {
        "row_group_size": random.choice([1, 7, 64, 10_000]),
        "compression": random.choice([*CODECS, {name: random.choice(CODECS) for name in table.column_names}]),
        "use_dictionary": random.choice([True, False]),
        "data_page_version": random.choice(["1.0", "2.0"]),
        "data_page_size": random.choice([None, 1, 200]),
        "write_batch_size": random.choice([None, 1, 9]),
        "dictionary_pagesize_limit": random.choice([None, 50]),
        "write_statistics": random.random() < 0.8,
        "write_page_index": random.random() < 0.5,
        "write_page_checksum": random.random() < 0.3,
        "store_schema": random.random() < 0.8,
        "version": random.choice(["1.0", "2.4", "2.6"]),
        "use_deprecated_int96_timestamps": random.random() < 0.3,
        "store_decimal_as_integer": random.random() < 0.3,
        "use_compliant_nested_type": random.random() < 0.8,
    }
    if any(pa.types.is_nested(kind) for kind in table.schema.types):
        # Or PyArrow writes pages that it does not read.
        settings["dictionary_pagesize_limit"] = None
        if settings["use_dictionary"] and settings["data_page_size"] == 1:
            settings["data_page_size"] = 200
    if random.random() < 0.4:
        options = {"ndv": random.choice([10, 1000]), "fpp": random.choice([0.01, 0.1])}
        settings["bloom_filter_options"] = {"url": options}
    if not settings["use_dictionary"] and random.random() < 0.5:
        settings["column_encoding"] = {"url": random.choice(["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])}
    if random.random() < 0.3:
        table = table.replace_schema_metadata({"origin": "crawl 7"})
    pq.write_table(table, path, **settings)
    return f"{settings} for {[str(kind) for kind in table.schema.types]}"


def _by_duckdb(path: Path, rows: int, random: Random) -> str:
    columns = random.sample(
        [
            "(i % 100)::TINYINT a",
            "i b",
            "(random() * 100)::DECIMAL(9, 2) c",
            "((random() - 0.5) * 100)::DECIMAL(30, 3) d",
            "TIMESTAMP '2021-01-01' + INTERVAL (i) SECOND e",
            "CASE WHEN i % 5 = 0 THEN NULL ELSE [i, NULL, i + 1] END f",
            "{'x': i, 'y': [i::VARCHAR]} g",
            "i::HUGEINT h",
            "MAP([i::VARCHAR], ['x']) m",
            "TIME '10:00' t",
            "uuid() u",
            "i::UBIGINT v",
            "DATE '2021-01-01' w",
            "TIMESTAMPTZ '2021-01-01' z",
            "(['red', 'green', 'blue'])[1 + i % 2]::ENUM('red', 'green', 'blue') n",
            "random() p",
            "i % 3 q",
            "('text ' || i)::BLOB r",
        ],
        k=random.randrange(1, 8),
    )
    codec = random.choice(["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"])
    version = random.choice(["V1", "V2"])
    rows *= random.choice([1, 20])
    database = one_duckdb()
    database.execute("SELECT setseed(0.5)")
    database.execute(
        f"COPY (SELECT CASE WHEN i % 7 = 3 THEN NULL ELSE 'https://a.example/' || i END AS url, "
        f"{', '.join(columns)} FROM range({rows}) AS r(i)) TO '{path}' "
        f"(FORMAT parquet, ROW_GROUP_SIZE 2048, CODEC {codec}, PARQUET_VERSION {version})"
    )
    return f"{codec}, {version}, {columns}"


def _by_polars(path: Path, rows: int, random: Random) -> str:
    table = _table(
        (*_COMMON, pa.list_(pa.string()), pa.struct([("a", pa.float32())]), pa.uint16()), rows, random
    )
    frame = pl.DataFrame(table)
    if random.random() < 0.5:
        kinds = [random.choice(["a", "b", None]) for _ in range(rows)]
        kind = pl.Categorical() if random.random() < 0.5 else pl.Enum(["a", "b", "c"])
        frame = frame.with_columns(kind=pl.Series(kinds, dtype=kind))
    settings: dict[str, Any] = {
        "compression": random.choice(["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4"]),
        "row_group_size": random.choice([7, 64, None]),
        "data_page_size": random.choice([None, 100]),
        "statistics": random.choice([True, False, "full"]),
    }
    frame.write_parquet(path, **settings)
    return f"{settings} for {frame.schema}"


def _by_fastparquet(path: Path, rows: int, random: Random) -> str:
    frame = _table(_COMMON, rows, random).to_pandas()
    if random.random() < 0.5:
        frame["kind"] = frame["url"].astype("category")
    settings: dict[str, Any] = {
        "compression": random.choice([None, "SNAPPY", "GZIP", "ZSTD", "BROTLI"]),
        "row_group_offsets": random.choice([7, 64, 10_000]),
        "stats": random.choice([True, False, "auto"]),
        "times": random.choice(["int64", "int96"]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fastparquet.write(str(path), frame, **settings)
    return f"{settings} for {dict(frame.dtypes)}"


WRITERS: dict[str, Callable[[Path, int, Random], str]] = {
    "pyarrow": _by_pyarrow,
    "duckdb": _by_duckdb,
    "polars": _by_polars,
    "fastparquet": _by_fastparquet,
}


# Who reads them.


def read_pyarrow(path: Path) -> list[dict[str, Any]]:
    return list(pq.ParquetFile(path).read().to_pylist())


def read_duckdb(path: Path) -> list[dict[str, Any]]:
    found = one_duckdb().execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def read_polars(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path, use_statistics=False).to_dicts()


def read_fastparquet(path: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with path.open("rb") as source:
            frame = fastparquet.ParquetFile(source).to_pandas().astype(object)
    return [
        {str(name): None if value is None or value != value else value for name, value in row.items()}  # noqa: PLR0124  NaN and NaT
        for row in frame.to_dict("records")
    ]


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "pyarrow": read_pyarrow,
    "duckdb": read_duckdb,
    "polars": read_polars,
    "fastparquet": read_fastparquet,
}


def found_by(reader: str, file: ParquetFile, cut: Cut) -> list[dict[str, Any]] | None:
    """What a reader finds in a file, or None where it cannot read such files, or would not after such a cut.

    fastparquet knows no nested values beyond those in pages of its own making, reads some pages of version 2 wrongly, and
    takes for granted that a column of numbers in which pandas had no null one has none.
    """
    if reader == "fastparquet":
        nested = any(pa.types.is_nested(kind) for kind in pq.read_schema(file.path).types)
        if nested or cut.null or "'data_page_version': '2.0'" in file.settings:
            return None
    try:
        return READERS[reader](file.path)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001  whatever each of them says
        return None
