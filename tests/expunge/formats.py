"""The same table in every format, written and read here without the engine, so that each test can run on all of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import md5
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARK = b"\xef\xbb\xbf"

CAPTIONS = ("plain", "with, a comma", 'with "quotes"', "with\na line break", "ünï¢ode ☃", "", None)


@dataclass(frozen=True)
class Row:
    """One row of the table. `url`, `text` and `md5` may be missing."""

    id: int
    url: str | None
    text: str | None
    md5: str | None
    similarity: float | None = None

    @property
    def identity(self) -> tuple[str, str | None, str | None, str | None]:
        """What every format but plain text keeps; an empty text and none are the same in CSV."""
        return str(self.id), self.url or None, self.text or None, self.md5 or None


def make_rows(count: int) -> list[Row]:
    """Rows with distinct URLs on five hosts and all kinds of captions; every ninth has no similarity, or NaN."""
    return [
        Row(
            id=number,
            url=url_of(number),
            text=CAPTIONS[number % len(CAPTIONS)],
            md5=md5_of(number),
            similarity=None if number % 9 == 4 else math.nan if number % 9 == 7 else number / 7,
        )
        for number in range(count)
    ]


def url_of(number: int) -> str:
    """The URL of a row of `make_rows`."""
    return f"https://img{number % 5}.example.com/{number:05d}.jpg"


def md5_of(number: int) -> str:
    """The content hash of a row of `make_rows`."""
    return md5(str(number).encode()).hexdigest()


@dataclass(frozen=True)
class Layout:
    """How a table is laid out in a file. `extension` has no first dot."""

    extension: str
    mark: bool = False
    crlf: bool = False
    final_newline: bool = True
    quote_all: bool = False
    parquet: dict[str, Any] = field(default_factory=dict, hash=False)
    url_type: pa.DataType = field(default_factory=pa.string)
    required: bool = False

    @property
    def is_parquet(self) -> bool:
        return self.extension == "parquet"

    @property
    def is_plain(self) -> bool:
        return self.extension.startswith("txt")

    def __str__(self) -> str:
        flags = [name for name in ("mark", "crlf", "quote_all", "required") if getattr(self, name)]
        options = [f"{name}={value}" for name, value in self.parquet.items()]
        kind = [] if self.url_type == pa.string() else [str(self.url_type)]
        end = [] if self.final_newline else ["no final newline"]
        return " ".join([self.extension, *flags, *end, *kind, *options])


PARQUET = (
    Layout("parquet", parquet={"row_group_size": 7, "compression": "none"}),
    Layout("parquet", parquet={"row_group_size": 7, "compression": "snappy", "use_dictionary": False}),
    Layout("parquet", parquet={"row_group_size": 1000, "compression": "zstd", "write_page_index": True}),
    Layout("parquet", parquet={"row_group_size": 5, "compression": "gzip", "write_statistics": False}),
    Layout("parquet", parquet={"compression": {"url": "lz4", "text": "brotli"}, "row_group_size": 9}),
    Layout("parquet", parquet={"row_group_size": 6, "store_schema": False, "version": "1.0"}),
    Layout("parquet", parquet={"row_group_size": 7}, url_type=pa.large_string()),
    Layout("parquet", parquet={"row_group_size": 7}, url_type=pa.string_view()),
    Layout("parquet", parquet={"row_group_size": 7}, url_type=pa.binary()),
    Layout(
        "parquet",
        parquet={"row_group_size": 7, "compression": "none"},
        url_type=pa.dictionary(pa.int32(), pa.string()),
    ),
    Layout("parquet", parquet={"row_group_size": 7, "use_deprecated_int96_timestamps": True}),
    Layout("parquet", parquet={"row_group_size": 7, "store_decimal_as_integer": True}),
    Layout(
        "parquet",
        parquet={
            "row_group_size": 7,
            "use_dictionary": False,
            "column_encoding": {"url": "DELTA_BYTE_ARRAY", "similarity": "BYTE_STREAM_SPLIT"},
        },
    ),
)
REQUIRED = Layout("parquet", parquet={"row_group_size": 7}, required=True)

_DELIMITED = tuple(
    Layout(f"{form}{compression}", mark=mark, crlf=crlf, final_newline=final, quote_all=quote)
    for form in ("csv", "tsv")
    for compression, mark, crlf, final, quote in (
        ("", False, False, True, False),
        ("", True, True, False, False),
        ("", False, True, True, True),
        (".gz", False, False, False, True),
        (".zst", True, False, True, False),
    )
)
_LINES = tuple(
    Layout(f"{form}{compression}", mark=mark, crlf=crlf, final_newline=final)
    for form in ("jsonl", "ndjson", "txt")
    for compression, mark, crlf, final in (
        ("", False, False, True),
        ("", True, True, False),
        (".gz", False, True, True),
        (".zst", True, False, False),
    )
)
TEXT = _DELIMITED + _LINES
ALL = PARQUET + TEXT


def write_shard(folder: Path, stem: str, rows: Sequence[Row], layout: Layout) -> Path:
    """Write the rows to `folder/stem.extension`."""
    path = folder / f"{stem}.{layout.extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if layout.is_parquet:
        pq.write_table(make_table(rows, layout), path, **layout.parquet)
    else:
        path.write_bytes(_compress(make_text(rows, layout), layout.extension))
    return path


def make_table(rows: Sequence[Row], layout: Layout) -> pa.Table:
    """The rows with more columns, of the types that a rewriting may lose: nested, decimal, timestamp, metadata."""
    url = pa.array([row.url for row in rows], pa.string())
    url = url.dictionary_encode() if pa.types.is_dictionary(layout.url_type) else url.cast(layout.url_type)
    columns: dict[str, pa.Array] = {
        "sample_id": pa.array([row.id for row in rows], pa.int64()),
        "url": url,
        "text": pa.array([row.text for row in rows], pa.string()),
        "similarity": pa.array([row.similarity for row in rows], pa.float64()),
        "md5": pa.array([row.md5 for row in rows], pa.string()),
        "tags": pa.array([[f"t{row.id % 3}"] * (row.id % 3) for row in rows], pa.list_(pa.string())),
        "box": pa.array(
            [{"x": row.id, "y": math.nan} for row in rows], pa.struct({"x": "int32", "y": "float32"})
        ),
        "price": pa.array([Decimal(row.id) / 4 for row in rows], pa.decimal128(9, 2)),
        "seen": pa.array(
            [datetime(2021, 1, 1, 0, row.id % 60, tzinfo=UTC) for row in rows], pa.timestamp("us", "UTC")
        ),
    }
    fields = [
        pa.field(name, array.type, nullable=not (layout.required and name == "url"))
        for name, array in columns.items()
    ]
    schema = pa.schema(fields, metadata={"origin": "crawl 7", "licence": "CC0"})
    return pa.table(list(columns.values()), schema=schema)


def make_text(rows: Sequence[Row], layout: Layout) -> bytes:
    """The bytes of a text format before compression."""
    end = "\r\n" if layout.crlf else "\n"
    form = layout.extension.split(".")[0]
    if form in {"csv", "tsv"}:
        sink = io.StringIO()
        writer = csv.writer(
            sink,
            delimiter="\t" if form == "tsv" else ",",
            lineterminator="\r\n",
            quoting=csv.QUOTE_ALL if layout.quote_all else csv.QUOTE_MINIMAL,
        )
        writer.writerow(["sample_id", "URL", "Text", "similarity", "md5"])
        for row in rows:
            writer.writerow([row.id, row.url, row.text, row.similarity, row.md5])
        text = sink.getvalue()
        text = text if layout.crlf else text.replace("\r\n", "\n")
    elif form == "txt":
        text = "".join(f"{row.url or ''}{end}" for row in rows)
    else:
        text = "".join(json.dumps(_object(row), ensure_ascii=row.id % 2 == 0) + end for row in rows)
    if (
        not layout.final_newline and text != end and not text.endswith(end * 2)
    ):  # an empty last line ends in a break
        text = text.removesuffix(end)
    return (MARK if layout.mark else b"") + text.encode()


def _object(row: Row) -> dict[str, Any]:
    similarity = None if row.similarity is None or math.isnan(row.similarity) else row.similarity
    nested = {"big": 10**30 + row.id, "list": [1, {"url": "not a key"}], "float": 1.10}
    return {
        "sample_id": row.id,
        "url": row.url,
        "text": row.text,
        "similarity": similarity,
        "md5": row.md5,
        "more": nested,
    }


def _compress(data: bytes, extension: str) -> bytes:
    if extension.endswith(".gz"):
        half = len(data) // 2  # two members, as `cat a.gz b.gz` makes them
        return gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0)
    if extension.endswith(".zst"):
        half = len(data) // 2
        return zstd_compress(data[:half]) + zstd_compress(data[half:])
    return data


def zstd_compress(data: bytes) -> bytes:
    """One frame."""
    return bytes(zstd.compress(data))


def plain_bytes(path: Path) -> bytes:
    """The decompressed bytes of a text shard."""
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        return gzip.decompress(data)
    if path.name.endswith(".zst"):
        with zstd.open(io.BytesIO(data)) as frames:
            return bytes(frames.read())
    return data


def read_rows(path: Path) -> list[tuple[str | None, ...]]:
    """The identities of a shard's rows in order; of plain text the URLs alone."""
    form = next(
        part
        for part in path.name.split(".")[1:]
        if part in {"parquet", "csv", "tsv", "jsonl", "ndjson", "txt"}
    )
    if form == "parquet":
        table = pq.read_table(path, columns=["sample_id", "url", "text", "md5"]).to_pylist()
        return [
            _identity({k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()}) for row in table
        ]
    text = plain_bytes(path).decode("utf-8-sig")
    if form == "txt":
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        return [(line.removesuffix("\r") or None,) for line in lines]
    if form in {"csv", "tsv"}:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if form == "tsv" else ",")
        return [_identity({key.lower(): value for key, value in row.items()}) for row in reader]
    return [_identity(json.loads(line)) for line in text.split("\n") if line.strip()]


def _identity(row: dict[str, Any]) -> tuple[str | None, ...]:
    return (str(row["sample_id"]), row["url"] or None, row["text"] or None, row["md5"] or None)


def expected_rows(rows: Sequence[Row], layout: Layout) -> list[tuple[str | None, ...]]:
    """What `read_rows` finds in a shard of these rows."""
    return [(row.url,) if layout.is_plain else row.identity for row in rows]


def blanked_rows(rows: Sequence[Row], layout: Layout, removed: set[int]) -> list[tuple[str | None, ...]]:
    """What `read_rows` finds where the aligned form left the rows with the ids `removed` empty."""
    return [
        found if row.id not in removed else (None,) if layout.is_plain else (str(row.id), None, None, None)
        for row, found in zip(rows, expected_rows(rows, layout), strict=True)
    ]
