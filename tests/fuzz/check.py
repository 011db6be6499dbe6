"""One random Parquet file, cut at random, with all that must be true of the result."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from expunge.shards import Cut, Method, Shard, ShardFile, open_shard
from expunge.splice import splice as splicing
from expunge.splice.paging import write_pages
from expunge.splice.source import Source
from expunge.splice.style import CODECS
from tests.expunge.parquet_files import (
    READERS,
    WRITERS,
    ParquetFile,
    found_by,
    random_cut,
    random_file,
    without,
)
from tests.expunge.parquet_leaks import leaks, missing
from tests.expunge.parquet_stored import stored_leaks
from tests.fuzz.large import TABLE_READERS, large_cut, large_file, table_without, tables_of
from tests.fuzz.pages import paged_cut, paged_file
from tests.fuzz.spark import read_spark, why_not, write_spark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from expunge.splice.paged import Paged

# One file in so many is large.
LARGE_EVERY = 100

# And one in so many by Spark, which takes longer than the others.
SPARK_EVERY = 8

# And one in so many has many small pages a chunk.
PAGES_EVERY = 3


_CODECS = {**CODECS, 5: "old lz4"}


class DifferenceError(AssertionError):
    """A reader finds something else than it should, or the file tells of what was removed."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that passed: who wrote it, its codec, how it was cut, what of it, how many chunks by pages, and who read it."""

    writer: str
    codec: str
    method: Method
    cut: str
    large: bool
    by_pages: int
    readers: tuple[str, ...]


def check_seed(folder: Path, seed: int, writers: Sequence[str] = ()) -> Checked:
    """Make the file of a seed in `folder`, cut it, and look at the result.

    Raises `DifferenceError`, and what the engine raises. The file stays where it is if so, and is removed otherwise.
    """
    if not writers and Random(f"large {seed}").randrange(LARGE_EVERY) == 0:
        file = large_file(folder, seed)
        checked = check_file(file, large_cut(file, seed), large=True)
    elif not writers and Random(f"pages {seed}").randrange(PAGES_EVERY) == 0:
        file = paged_file(folder, seed)
        checked = check_file(file, paged_cut(file, seed))
    else:
        file = _file(folder, seed, writers)
        checked = check_file(file, random_cut(file, seed))
    file.path.unlink()
    return checked


def _file(folder: Path, seed: int, writers: Sequence[str]) -> ParquetFile:
    if not writers and why_not() is None and Random(f"spark {seed}").randrange(SPARK_EVERY) == 0:
        path = folder / f"{seed}.parquet"
        random = Random(seed)
        rows = random.choice([1, 2, random.randrange(1, 400)])
        return ParquetFile(path, "spark", write_spark(path, rows, random))
    return random_file(folder, seed, writers or tuple(WRITERS))


def check_file(file: ParquetFile, cut: Cut, *, large: bool = False) -> Checked:
    """Cut a file and look at the result. Raises `DifferenceError`, naming the file, and what the engine raises."""
    try:
        return _check(file, cut, large=large)
    except DifferenceError as error:
        raise DifferenceError(f"{error}; {file}; {cut}") from error


def _check(file: ParquetFile, cut: Cut, *, large: bool) -> Checked:
    target = file.path.with_suffix(".cut.parquet")
    base = _opened(file.path)
    by_pages: list[Paged] = []

    def noted(*arguments: Any) -> Paged | None:
        paged = write_pages(*arguments)
        by_pages.extend([paged] if paged else [])
        return paged

    with patch.object(splicing, "write_pages", noted):
        made = base.rewrite(target, cut)
    base.compare(_opened(target), cut)
    _expect(made.rows == file.rows - len(cut.drop), "the count of rows is wrong")
    _expect(made.bytes == target.stat().st_size, "the count of bytes is wrong")
    _expect(made.sha256 == _opened(target).digest(), "the digest is wrong")
    readers = _read_tables(file, target, cut) if large else _read_rows(file, target, cut)
    _expect("pyarrow" in readers, "PyArrow does not read the base")
    if made.method == "spliced":
        found = missing(file.path, target, cut) + leaks(file.path, target)
        found += [] if large else stored_leaks(file.path, target, cut)
        _expect(not found, "; ".join(found[:5]))
    target.unlink()
    with Source.open(file.path) as source:
        codec = _CODECS[source.footer.groups[0].columns[0].meta.codec]
    what = "+".join(
        name
        for name, there in (("rows", len(cut.drop)), ("cells", cut.null), ("elements", cut.elements))
        if there
    )
    return Checked(file.writer, codec, made.method, what, large, len(by_pages), readers)


def _read_rows(file: ParquetFile, target: Path, cut: Cut) -> tuple[str, ...]:
    """Have every reader that reads the base read the result, as Python values."""
    read: list[str] = []
    for name, reader in READERS.items():
        rows = found_by(name, file, cut)
        if rows is not None:
            _expect_rows(name, reader(target), without(rows, cut))
            read.append(name)
    if file.writer == "spark":
        _expect_rows("spark", read_spark(target), without(read_spark(file.path), cut))
        read.append("spark")
    return tuple(read)


def _expect_rows(reader: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        _expect(repr(one) == repr(other), f"{reader} finds {one!r} in row {number}, not {other!r}")
    _expect(len(found) == len(expected), f"{reader} finds {len(found)} rows, not {len(expected)}")


def _read_tables(file: ParquetFile, target: Path, cut: Cut) -> tuple[str, ...]:
    """Have every reader that reads the base read the result, as tables: PyArrow's row filter says what is right."""
    read: list[str] = []
    for name, reader in TABLE_READERS.items():
        base = tables_of(name, file)
        if base is not None:
            _expect(reader(target).equals(table_without(base, cut)), f"{name} finds other rows")
            read.append(name)
    return tuple(read)


def _opened(path: Path) -> Shard:
    return open_shard(ShardFile(path, path.name, may_be_empty=True))


def _expect(true: bool, otherwise: str) -> None:  # noqa: FBT001  the condition is what the function is about
    if not true:
        raise DifferenceError(otherwise)
