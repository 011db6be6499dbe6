"""What a spliced file shares with its base byte for byte, and what is said of the rest."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from expunge.errors import BadShard, VerificationFailed
from expunge.shards import Cut, Shard, ShardFile, open_shard
from expunge.splice.footer import MAGIC, ColumnChunk, Footer, FooterError
from expunge.splice.indexes import OffsetIndex, read_beside
from expunge.splice.pages import DATA_V2, first_headers
from expunge.splice.source import Source
from expunge.splice.thrift import Kind, decode, encode_value
from tests.expunge.formats import url_of
from tests.expunge.runs import expunge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 60


def opened(path: Path) -> Shard:
    return open_shard(ShardFile(path, path.name))


def rows_of(*rows: int) -> Cut:
    return Cut(drop=np.array(rows, dtype=np.int64))


def write(path: Path, **options: Any) -> Path:
    table = pa.table(
        {
            "url": [url_of(n) for n in range(ROWS)],
            "n": list(range(ROWS)),
            "tags": [[url_of(n), "x"] if n % 3 else None for n in range(ROWS)],
            "box": [{"a": n, "b": str(n)} for n in range(ROWS)],
        }
    )
    pq.write_table(table, path, **{"row_group_size": 20, "compression": "zstd", **options})
    return path


def spliced(path: Path, cut: Cut) -> Path:
    target = path.with_name(f"new-{path.name}")
    assert opened(path).rewrite(target, cut).method == "spliced"
    opened(path).compare(opened(target), cut)
    return target


def chunks(path: Path) -> list[list[bytes]]:
    """The bytes of each column chunk, by row group."""
    with Source.open(path) as source:
        return [[source.read(*chunk.extent) for chunk in group.columns] for group in source.footer.groups]


def test_row_groups_without_a_removed_row_are_copied(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")
    old, new = chunks(path), chunks(spliced(path, rows_of(25)))
    assert (new[0], new[2]) == (old[0], old[2])
    assert not set(new[1]) & set(old[1])


def test_cells_cost_the_chunks_of_their_columns_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")
    rows = np.array([25], dtype=np.int64)
    pairs = np.array([[1, 0]], dtype=np.int64)
    old = chunks(path)
    new = chunks(spliced(path, Cut(null={"box": rows}, elements={"tags": pairs})))
    same = [
        [one == other for one, other in zip(*groups, strict=True)] for groups in zip(old, new, strict=True)
    ]
    assert same == [
        [True, True, False, True, True],
        [True, True, True, False, False],
        [True, True, True, True, True],
    ]


def test_a_group_that_loses_all_rows_is_left_out_and_the_others_are_numbered(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")

    def number(footer: Footer) -> None:
        for place, group in enumerate(footer.groups):
            group.ordinal = place

    with_changed_footer(path, number)
    target = spliced(path, rows_of(*range(20), 45))
    with Source.open(target) as source:
        groups = source.footer.groups
        assert [group.rows for group in groups] == [20, 19]
        assert [group.ordinal for group in groups] == [0, 1]
        for group in groups:
            assert group.file_offset == group.columns[0].extent[0]
            assert group.total_byte_size == sum(chunk.meta.uncompressed_size for chunk in group.columns)
            assert group.total_compressed_size == sum(chunk.meta.compressed_size for chunk in group.columns)
    assert spliced(target, rows_of(*range(39))).stat().st_size < path.stat().st_size / 2
    assert pq.read_table(tmp_path / "new-new-part.parquet").num_rows == 0


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_page_indexes_are_carried_over_or_made_anew(tmp_path: Path, version: str) -> None:
    options: dict[str, Any] = {"data_page_size": 1, "write_batch_size": 5, "data_page_version": version}
    path = write(tmp_path / "part.parquet", write_page_index=True, **options)
    target = spliced(path, rows_of(25))
    with Source.open(target) as source:
        for group in source.footer.groups:
            for leaf, chunk in zip(source.footer.leaves, group.columns, strict=True):
                beside = read_beside(source.read, chunk)
                assert beside.column_index
                locations = OffsetIndex(decode(beside.offset_index)[0]).locations
                assert locations[0].offset == chunk.meta.data_page_offset
                assert locations[-1].offset + locations[-1].compressed_size == chunk.extent[1]
                for one, other in pairwise(locations):
                    assert one.offset + one.compressed_size == other.offset
                headers = first_headers(source, chunk.meta.data_page_offset, chunk.extent[1], most=99)
                assert len(headers) == len(locations) > 1 or leaf.repetition
                assert {header.type == DATA_V2 for header in headers} == {version == "2.0"}


@pytest.mark.parametrize(
    "parameters",
    [{"ndv": 20, "fpp": 0.1}, {"ndv": 100_000, "fpp": 0.01}, {"ndv": 100_000, "fpp": 1e-8}],
    ids=["small", "large", "seldom wrong"],
)
def test_bloom_filters_are_carried_over_or_made_anew_in_their_size(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    path = write(tmp_path / "part.parquet", bloom_filter_options={"url": parameters})
    target = spliced(path, rows_of(25))
    with Source.open(path) as base, Source.open(target) as made:
        filters = [
            [
                [read_beside(source.read, chunk).bloom_filter for chunk in group.columns]
                for group in source.footer.groups
            ]
            for source in (base, made)
        ]
    old, new = filters
    assert (old[0], old[2]) == (new[0], new[2])
    assert [len(one) for one in old[1]] == [len(one) for one in new[1]]
    assert old[1][0] != new[1][0]
    assert not any(old[1][1:])


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"compression": "gzip"}, lambda chunk: chunk.meta.codec),
        ({"compression": {"url": "brotli", "n": "snappy"}}, lambda chunk: chunk.meta.codec),
        ({"use_dictionary": ["url"]}, lambda chunk: chunk.has_dictionary),
        (
            {"use_dictionary": False, "column_encoding": {"n": "DELTA_BINARY_PACKED"}},
            lambda c: c.meta.encodings,
        ),
        ({"use_dictionary": False, "use_byte_stream_split": ["n"]}, lambda chunk: chunk.meta.encodings),
        ({"version": "1.0"}, lambda chunk: chunk.meta.encodings),
        ({"write_statistics": False}, lambda chunk: bool(chunk.meta.statistics.struct)),
        ({"write_statistics": ["n"]}, lambda chunk: sorted(chunk.meta.statistics.struct)),
        ({"write_page_checksum": True}, lambda chunk: chunk.meta.codec),
    ],
    ids=[
        "one codec",
        "a codec each",
        "one dictionary",
        "delta",
        "split bytes",
        "old version",
        "no statistics",
        "statistics of one",
        "checksums",
    ],
)
def test_new_chunks_are_written_as_the_old_ones_were(
    tmp_path: Path, options: dict[str, Any], fact: Callable[[ColumnChunk], Any]
) -> None:
    path = write(tmp_path / "part.parquet", **options)
    target = spliced(path, rows_of(25))
    with Source.open(path) as base, Source.open(target) as made:
        for old, new in zip(base.footer.groups, made.footer.groups, strict=True):
            assert [fact(chunk) for chunk in old.columns] == [fact(chunk) for chunk in new.columns]
            for source, group in ((base, old), (made, new)):
                header = first_headers(source, *group.columns[0].extent, most=1)[0]
                assert header.has_checksum == options.get("write_page_checksum", False)


def test_rows_that_go_leave_a_group_sorted_and_cells_do_not(tmp_path: Path) -> None:
    sorting = [pq.SortingColumn(1), pq.SortingColumn(0)]
    path = write(tmp_path / "part.parquet", sorting_columns=sorting)
    rows = np.array([25], dtype=np.int64)

    def sorted_by(cut: Cut) -> list[int]:
        target = spliced(path, cut)
        found = [len(pq.read_metadata(target).row_group(n).sorting_columns) for n in range(3)]
        target.unlink()
        return found

    assert sorted_by(Cut(drop=rows)) == [2, 2, 2]
    assert sorted_by(Cut(null={"url": rows})) == [2, 1, 2]  # still sorted by the first
    assert sorted_by(Cut(null={"n": rows})) == [2, 0, 2]


def test_all_else_that_the_footer_says_is_kept_as_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")
    data = path.read_bytes()
    with Source.open(path) as source:
        footer = source.footer
    unknown = {30: (Kind.STRUCT, encode_value(Kind.STRUCT, {7: (Kind.DOUBLE, b"12345678")}))}
    footer.fields.update(unknown)
    path.write_bytes(data[: footer.start] + footer.encode(footer.groups))
    with Source.open(spliced(path, rows_of(25))) as made:
        assert made.footer.fields[30] == unknown[30]
        assert made.footer.fields[2] == footer.fields[2]
        assert made.footer.created_by == footer.created_by


def with_changed_footer(path: Path, change: Callable[[Footer], None]) -> None:
    """Write the file again with another footer over the same pages."""
    data = path.read_bytes()
    with Source.open(path) as source:
        footer = source.footer
    change(footer)
    path.write_bytes(data[: footer.start] + footer.encode(footer.groups))


def test_a_chunk_that_reaches_into_the_footer_has_the_file_rewritten(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")

    def lengthen(footer: Footer) -> None:
        footer.groups[-1].columns[-1].meta.compressed_size += 10

    with_changed_footer(path, lengthen)
    target = tmp_path / "new.parquet"
    made = opened(path).rewrite(target, rows_of(25))
    assert (made.method, made.rows) == ("rewritten", ROWS - 1)
    assert made.reason == "a column chunk lies outside the file"
    opened(path).compare(opened(target), rows_of(25))
    assert made.sha256 == opened(target).digest()
    assert pq.read_table(target).equals(pq.read_table(path).filter([n != 25 for n in range(ROWS)]))


def test_a_file_of_a_writer_that_was_wrong_about_sizes_is_rewritten(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")

    def claim(footer: Footer) -> None:
        footer.fields[6] = Kind.BINARY, encode_value(Kind.BINARY, b"parquet-mr version 1.2.8")

    with_changed_footer(path, claim)
    assert opened(path).rewrite(tmp_path / "new.parquet", rows_of(25)).method == "rewritten"
    with pytest.raises(FooterError, match="wrong about the sizes"), Source.open(path):
        pass


def test_the_command_says_which_shard_was_written_anew_and_why(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    path = write(base / "part.parquet")
    write(base / "spliced.parquet")

    def claim(footer: Footer) -> None:
        footer.fields[6] = Kind.BINARY, encode_value(Kind.BINARY, b"parquet-mr version 1.2.8")

    with_changed_footer(path, claim)
    (tmp_path / "list.txt").write_text(url_of(25))
    output = tmp_path / "release"
    made = expunge("clean", base, "--remove", tmp_path / "list.txt", "--output", output)
    assert made.returncode == 0
    reason = "its writer was wrong about the sizes of column chunks"
    assert f"warning: part.parquet was written anew whole: {reason}.\n" in made.stderr
    assert "spliced.parquet was" not in made.stderr


@pytest.mark.parametrize("plaintext_footer", [False, True])
def test_an_encrypted_file_is_refused(tmp_path: Path, *, plaintext_footer: bool) -> None:
    class Keys(pe.KmsClient):  # type: ignore[misc]  # PyArrow ships no types
        def wrap_key(self, key_bytes: bytes, _name: str) -> bytes:
            return key_bytes

        def unwrap_key(self, wrapped_key: bytes, _name: str) -> bytes:
            return wrapped_key

    keys = pe.EncryptionConfiguration(
        footer_key="k", column_keys={"k": ["n"]}, plaintext_footer=plaintext_footer, double_wrapping=False
    )
    properties = pe.CryptoFactory(lambda _: Keys()).file_encryption_properties(pe.KmsConnectionConfig(), keys)
    path = tmp_path / "part.parquet"
    with pq.ParquetWriter(path, pa.schema([("n", pa.int64())]), encryption_properties=properties) as writer:
        writer.write_table(pa.table({"n": [1, 2]}))
    with pytest.raises(BadShard, match=r"part\.parquet: is encrypted"):
        opened(path).rewrite(tmp_path / "new.parquet", rows_of(0))


@pytest.mark.parametrize("year", [1600, 2300, 9999])
def test_times_that_would_become_others_are_refused(tmp_path: Path, year: int) -> None:
    path = tmp_path / "part.parquet"
    times = pa.array([np.datetime64(f"{year}-01-01T00:00:00.000001"), None], pa.timestamp("us"))
    pq.write_table(pa.table({"t": times, "n": [1, 2]}), path, use_deprecated_int96_timestamps=True)
    with pytest.raises(BadShard, match="before 1677 or after 2262"):
        opened(path).rewrite(tmp_path / "new.parquet", rows_of(1))


def test_columns_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["a", "b"]), pa.array([1, 2]), pa.array([3, 4])], ["url", "x", "x"]
    )
    pq.write_table(table, tmp_path / "part.parquet")
    target = spliced(tmp_path / "part.parquet", rows_of(0))
    assert [column.to_pylist() for column in pq.ParquetFile(target).read().columns] == [["b"], [2], [4]]


@pytest.mark.parametrize("damage", ["page", "order", "bloom filter", "index"])
def test_a_damaged_splice_is_noticed(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "part.parquet", write_page_index=True, bloom_filter_options={"url": {"ndv": 20}})
    target = spliced(path, rows_of(25))
    data = bytearray(target.read_bytes())
    with Source.open(target) as source:
        chunk = source.footer.groups[0].columns[0]
        place = {
            "page": chunk.extent[1] - 1,
            "bloom filter": chunk.meta.bloom_filter_offset + chunk.meta.bloom_filter_length - 1,
            "index": chunk.column_index_offset + 4,
            "order": 0,
        }[damage]
        data[place] ^= 1
        if damage == "order":
            data = bytearray(MAGIC + data[4 : source.footer.start]) + source.footer.encode(
                source.footer.groups[::-1]
            )
    target.write_bytes(bytes(data))
    with pytest.raises((VerificationFailed, BadShard)):
        opened(path).compare(opened(target), rows_of(25))


def test_a_missing_row_group_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")
    target = spliced(path, rows_of(25))

    def shorten(footer: Footer) -> None:
        del footer.groups[-1]

    with_changed_footer(target, shorten)
    with pytest.raises(VerificationFailed, match="row group 2 differs"):
        opened(path).compare(opened(target), rows_of(25))


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\0" * 8 + b"PAR1", b"PAR1\0\xff\xff\xff\x7fPAR1"],
    ids=["nothing", "a beginning", "no length", "no footer", "a length beyond the file"],
)
def test_what_is_no_parquet_file_has_no_footer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(data)
    with pytest.raises(FooterError), Source.open(path):
        pass


def test_a_row_group_with_fewer_rows_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet")

    def claim(footer: Footer) -> None:
        footer.groups[1].rows += 1
        footer.fields[3] = Kind.I64, encode_value(Kind.I64, ROWS + 1)

    with_changed_footer(path, claim)
    with pytest.raises(BadShard, match=r"part\.parquet: "):
        opened(path).rewrite(tmp_path / "new.parquet", rows_of(25))
