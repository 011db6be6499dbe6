"""Every format does what the interface promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from expunge.errors import BadShard, UsageError, VerificationFailed
from expunge.shards import Cut, Shard, ShardFile, inspect_shard, open_shard
from tests.expunge.formats import (
    ALL,
    PARQUET,
    TEXT,
    Layout,
    blanked_rows,
    expected_rows,
    make_rows,
    make_text,
    plain_bytes,
    read_rows,
    url_of,
    write_shard,
)

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 20
# The first row, both sides of a row-group boundary, the last row.
REMOVED = (0, 6, 7, 13, 19)

every_layout = pytest.mark.parametrize("layout", ALL, ids=str)
text_layout = pytest.mark.parametrize("layout", TEXT, ids=str)
# Compressed pages cannot be searched, and a shorter text file is a text file.
searchable_layout = pytest.mark.parametrize(
    "layout", [*TEXT, *(one for one in PARQUET if one.parquet.get("compression") == "none")], ids=str
)
framed_layout = pytest.mark.parametrize(
    "layout", [*PARQUET, *(one for one in TEXT if one.extension.endswith((".gz", ".zst")))], ids=str
)


def opened(path: Path, *, may_be_empty: bool = False) -> Shard:
    return open_shard(ShardFile(path, path.name, may_be_empty))


def cut(path: Path, positions: tuple[int, ...], blank: tuple[str, ...] | None = None) -> Path:
    """Rewrite the shard beside itself and hold the result against it."""
    target = path.with_name(f"new-{path.name}")
    shard, rows = opened(path), np.array(positions, dtype=np.int64)
    written = shard.rewrite(target, Cut.of_rows(rows, blank))
    shard.compare(opened(target, may_be_empty=True), Cut.of_rows(rows, blank))
    assert written.bytes == target.stat().st_size
    assert written.sha256 == opened(target, may_be_empty=True).digest()
    return target


@every_layout
def test_it_reads_every_row_in_order(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    shard = opened(write_shard(tmp_path, "part", rows, layout))
    name = next(column.name for column in shard.columns if column.name.lower() == "url")
    batches = list(shard.batches([name]))
    found = [value for batch in batches for value in batch.arrays[name].to_pylist()]
    assert [value.decode() if isinstance(value, bytes) else value for value in found] == [
        row.url for row in rows
    ]
    assert [batch.first for batch in batches] == list(np.cumsum([0, *[b.rows for b in batches]])[:-1])


@every_layout
def test_it_tells_what_a_shard_is(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(COUNT), layout)
    facts = inspect_shard(ShardFile(path, path.name))
    assert (facts.rows, facts.format, facts.bytes) == (COUNT, layout.extension, path.stat().st_size)
    assert facts.row_groups == (
        -(-COUNT // layout.parquet.get("row_group_size", COUNT)) if layout.is_parquet else 0
    )


@every_layout
def test_a_rewritten_shard_has_every_other_row_in_order(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    found = read_rows(cut(write_shard(tmp_path, "part", rows, layout), REMOVED))
    assert found == expected_rows([row for row in rows if row.id not in REMOVED], layout)


@every_layout
def test_all_rows_can_go(tmp_path: Path, layout: Layout) -> None:
    path = cut(write_shard(tmp_path, "part", make_rows(COUNT), layout), tuple(range(COUNT)))
    assert sum(batch.rows for batch in opened(path, may_be_empty=True).batches([])) == 0


@every_layout
def test_a_blanked_row_stays_and_holds_nothing(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    path = write_shard(tmp_path, "part", rows, layout)
    roles = {"url", "text", "md5"}
    blank = tuple(column.name for column in opened(path).columns if column.name.lower() in roles)
    found = read_rows(cut(path, REMOVED, blank))
    assert found == blanked_rows(rows, layout, set(REMOVED))


@every_layout
def test_rewriting_twice_gives_the_same_bytes(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(COUNT), layout)
    first = cut(path, REMOVED).read_bytes()
    (tmp_path / f"new-{path.name}").unlink()
    assert cut(path, REMOVED).read_bytes() == first


@text_layout
def test_every_byte_of_the_rows_that_stay_survives(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    path = write_shard(tmp_path, "part", rows, layout)
    whole = make_text(rows, layout)
    assert plain_bytes(path) == whole
    # What must go is what the file has more than the file without that row; the last row is left for the next test.
    kept = [row for row in rows if row.id not in REMOVED or row.id == COUNT - 1]
    assert plain_bytes(cut(path, REMOVED[:-1])) == make_text(kept, layout)


@text_layout
def test_without_the_last_row_the_one_before_keeps_its_line_break(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    path = write_shard(tmp_path, "part", rows, layout)
    rest = plain_bytes(cut(path, (COUNT - 1,)))
    assert make_text(rows, layout).startswith(rest)
    assert rest.endswith(b"\r\n" if layout.crlf else b"\n")


@searchable_layout
def test_no_removed_url_is_left_in_the_bytes(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(COUNT), layout)
    target = cut(path, REMOVED)
    data = target.read_bytes() if layout.is_parquet else plain_bytes(target)
    assert not [number for number in REMOVED if url_of(number).encode() in data]
    assert url_of(1).encode() in data  # so that the search is known to find what is there


@every_layout
def test_a_changed_row_in_what_was_written_is_noticed(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    path = write_shard(tmp_path, "part", rows, layout)
    changed = [*rows[:9], rows[10], *rows[10:]]
    other = write_shard(tmp_path, "other", changed, layout)
    with pytest.raises(VerificationFailed, match=rf"part\.{layout.extension}"):
        opened(path).compare(opened(other), Cut())


@every_layout
def test_a_row_too_many_or_too_few_is_noticed(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(COUNT)
    one, other = (
        opened(write_shard(tmp_path, name, rows[:n], layout)) for name, n in (("a", COUNT), ("b", 19))
    )
    for expected, found in ((one, other), (other, one)):
        with pytest.raises(VerificationFailed):
            expected.compare(found, Cut())


@every_layout
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(COUNT), layout)
    shard = opened(path)
    write_shard(tmp_path, "part", make_rows(COUNT + 1), layout)
    for read in (lambda: list(shard.batches([])), shard.digest, lambda: shard.copy(tmp_path / "copy")):
        with pytest.raises(BadShard, match=r"part.* changed while it was read"):
            read()
        (tmp_path / "copy").unlink(missing_ok=True)


def test_a_file_that_goes_away_is_named(tmp_path: Path) -> None:
    shard = opened(write_shard(tmp_path, "part", make_rows(3), TEXT[0]))
    shard.file.path.unlink()
    with pytest.raises(BadShard, match=r"part\.csv: went away"):
        shard.check_unchanged()
    with pytest.raises(BadShard, match=r"part\.csv: cannot be read: No such file"):
        shard.digest()


@framed_layout
def test_a_truncated_or_damaged_file_is_refused(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(2000), layout)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BadShard, match=rf"part\.{layout.extension}"):
        list(opened(path).batches([]))


@every_layout
def test_an_empty_file_is_refused(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / f"part.{layout.extension}"
    path.touch()
    with pytest.raises(BadShard, match=r"part.* is empty"):
        opened(path)


@every_layout
def test_random_bytes_are_refused(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / f"part.{layout.extension}"
    path.write_bytes(np.random.default_rng(7).bytes(4096))
    with pytest.raises(BadShard, match=rf"part\.{layout.extension}"):
        list(opened(path).batches([]))


@every_layout
def test_a_file_with_the_extension_of_another_format_is_refused(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(COUNT), layout)
    wrong = path.rename(tmp_path / ("part.parquet" if not layout.is_parquet else "part.csv"))
    with pytest.raises(BadShard, match=r"part\."):
        list(opened(wrong).batches([]))


def test_a_folder_or_a_pipe_is_no_shard(tmp_path: Path) -> None:
    import os

    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("folder.csv", "pipe.csv"):
        with pytest.raises(BadShard, match=rf"{name}: is not a file"):
            opened(tmp_path / name)


def test_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part.xlsx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"part\.xlsx has no extension of a shard"):
        opened(tmp_path / "part.xlsx")


def test_an_error_keeps_its_words_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(BadShard("a.csv: is empty.", "/data/a.csv")))
    assert (str(error), error.path) == ("a.csv: is empty.", "/data/a.csv")
