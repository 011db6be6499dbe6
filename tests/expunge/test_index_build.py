"""Building an index: it answers as a scan does, and it is built once."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.errors import UsageError
from expunge.index import KeyIndex, build, build_index, locate_versions, merging, read_versions
from expunge.index.arrays import SortedArray
from expunge.index.builder import index_files, is_indexed
from expunge.keys import KeyKind, keys_of_url
from expunge.lists import parse_entry
from expunge.locate import locate
from expunge.shards import open_shard
from tests.expunge.formats import ALL, PARQUET, Layout, make_rows, md5_of, url_of, write_shard
from tests.expunge.runs import names_in, shards_of

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.index import Found
    from expunge.lists import Entry

C1, RAW, HOST = KeyKind.URL_C1, KeyKind.URL_RAW, KeyKind.HOST


def ask(folder: Path, *keys: str) -> list[Found]:
    """What the index in `folder` finds in each version."""
    entries = [parse_entry(key) for key in keys]
    with KeyIndex(folder) as index:
        return locate_versions(index, entries, read_versions(folder))


def assert_same_as_scan(
    found: Found, data: Path, entries: list[Entry], columns: dict[str, str] | None = None
) -> None:
    """Whatever a scan of the shards finds, with the entry behind each row."""
    scanned = locate(shards_of(data), entries, columns=columns)
    assert found.complete == (not scanned.missing_kinds)
    assert found.located.rows == scanned.rows
    assert found.located.counts.tolist() == scanned.counts.tolist()
    for one, other in zip(found.located.shards, scanned.shards, strict=True):
        assert (one.name, one.total, one.binding) == (other.name, other.total, other.binding)
        assert one.rows.tolist() == other.rows.tolist()
        assert one.entries.tolist() == other.entries.tolist()
        assert one.raw_keys == other.raw_keys


@pytest.mark.parametrize("layout", ALL, ids=str)
def test_every_format_is_indexed_as_it_is_scanned(tmp_path: Path, layout: Layout) -> None:
    data, folder = tmp_path / "data", tmp_path / "index"
    write_shard(data, "one", make_rows(40), layout)
    write_shard(data, "two", make_rows(25), layout)
    build_index(shards_of(data), folder, name="v1", memory=600)
    given = [url_of(3), url_of(39), "host:img2.example.com", "domain:example.com", url_of(99)]
    if not layout.is_plain:
        given += [f"md5:{md5_of(7)}", "id:24", "text:plain"]
    entries = [parse_entry(key) for key in given]
    (found,) = ask(folder, *given)
    assert_same_as_scan(found, data, entries)
    assert [entry.line for entry in found.located.unmatched] == [0]


URLS = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "http://a.example/1",
            "HTTP://A.example/1",
            "http://a.example/2",
            "http://b.a.example/",
            "s3://x/y",
            "",
        ]
    ),
    st.integers(0, 40).map("https://img.example.com/{}".format),
)


FILL = [f"https://fill.example/{n}" for n in range(60)]  # a column must be half URLs at least to carry them


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    shards=st.lists(
        st.lists(st.one_of(URLS, st.lists(URLS, max_size=3)), max_size=30), min_size=1, max_size=10
    ),
    memory=st.sampled_from([1, 1000, 1 << 30]),
    wanted=st.lists(URLS.filter(bool), min_size=1, max_size=4, unique=True),
)
def test_lookup_is_a_scan_for_any_shards(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    shards: list[list[str | list[str | None] | None]],
    memory: int,
    wanted: list[str],
) -> None:
    """Duplicates, nulls, lists, shards that repeat one another, merged or not, spilled or not."""
    tmp_path = tmp_path_factory.mktemp("any")
    monkeypatch.setattr(merging, "MERGE_FROM", 3)
    data = tmp_path / "data"
    data.mkdir()
    for number, values in enumerate(shards):
        if number % 2:  # lists in every other one
            listed = [value if isinstance(value, list) else None for value in values]
            column = pa.array([*listed, FILL], pa.list_(pa.string()))
        else:
            column = pa.array(
                [None if isinstance(value, list) else value for value in values] + FILL, pa.string()
            )
        pq.write_table(pa.table({"url": column}), data / f"{number}.parquet", row_group_size=7)
    entries = {}
    for url in wanted:
        for key in (f"url:{url}", *(f"{kind}:{value}" for kind, value in keys_of_url(url).items())):
            try:
                entry = parse_entry(key)
            except Exception:  # noqa: BLE001  a public suffix is not for removing
                continue
            entries[entry.kind, entry.key] = entry
    build_index(shards_of(data), tmp_path / "index", memory=memory)
    with KeyIndex(tmp_path / "index") as index:
        (found,) = locate_versions(index, [*entries.values()], read_versions(tmp_path / "index"))
    assert_same_as_scan(found, data, [*entries.values()])


def test_every_row_of_a_duplicated_url_is_found_across_spilled_runs(tmp_path: Path) -> None:
    count = 30_000
    urls = [f"https://img.example.com/{n % 3 or n}" for n in range(count)]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"url": urls}), tmp_path / "data/a.parquet", row_group_size=1000)
    build_index(shards_of(tmp_path / "data"), tmp_path / "index", kinds=[C1, HOST], memory=100_000)
    (found,) = ask(tmp_path / "index", "https://img.example.com/1")
    assert found.located.positions["a.parquet"].tolist() == list(range(1, count, 3))
    (found,) = ask(tmp_path / "index", "host:img.example.com")
    assert len(found.located.positions["a.parquet"]) == count


def test_the_archive_is_sorted_and_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"url": [url_of(1), None, url_of(0), url_of(1)]}), tmp_path / "data/a.parquet")
    (shard,) = shards_of(tmp_path / "data")
    build_index([shard], tmp_path / "index", kinds=[RAW])
    _, archive = index_files(tmp_path / "index", open_shard(shard).digest(), RAW)
    with pq.ParquetFile(archive) as file:
        table = file.read()
        said = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
        encodings = file.metadata.row_group(0).column(0).encodings
    keys = [int(keys_of_url(url_of(n))[RAW][:16], 16) for n in (1, 0, 1)]
    assert table.to_pylist() == [
        {"prefix": prefix, "row": row} for prefix, row in sorted(zip(keys, (0, 2, 3), strict=True))
    ]
    assert "DELTA_BINARY_PACKED" in encodings
    assert said == {
        "expunge.format": "expunge-index/1",
        "expunge.kind": "url.raw.sha256",
        "expunge.shard": open_shard(shard).digest(),
        "expunge.row_format": ".parquet",
        "expunge.column": "url",
        "expunge.rows": "4",
        "expunge.keyless": "1",
    }


def test_a_shard_in_two_versions_is_indexed_once(tmp_path: Path) -> None:
    write_shard(tmp_path / "old", "same", make_rows(30), PARQUET[0])
    write_shard(tmp_path / "old", "gone", make_rows(10), PARQUET[0])
    write_shard(tmp_path / "new", "renamed", make_rows(30), PARQUET[0])
    first = build_index(shards_of(tmp_path / "old"), tmp_path / "index", name="old")
    second = build_index(shards_of(tmp_path / "new"), tmp_path / "index", name="new")
    assert (first.indexed, first.reused, second.indexed, second.reused) == (2, 0, 0, 1)
    assert (second.rows, second.indexed_rows) == (30, 0)
    new, old = ask(tmp_path / "index", url_of(4))
    assert {name: rows.tolist() for name, rows in old.located.positions.items()} == {
        "gone.parquet": [4],
        "same.parquet": [4],
    }
    assert {name: rows.tolist() for name, rows in new.located.positions.items()} == {"renamed.parquet": [4]}


def test_only_the_kinds_asked_for_are_indexed_and_more_can_follow(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(30), PARQUET[0])
    shards = shards_of(tmp_path / "data")
    assert build_index(shards, tmp_path / "index", name="v", kinds=[C1]).kinds == (C1,)
    (found,) = ask(tmp_path / "index", url_of(4), "host:img1.example.com")
    assert found.not_indexed == {HOST: ["a.parquet"]}
    assert not found.complete
    more = build_index(shards, tmp_path / "index", name="v", kinds=[C1, HOST])
    assert (more.indexed, more.reused) == (1, 0)
    (found,) = ask(tmp_path / "index", url_of(4), "host:img1.example.com")
    assert found.complete
    assert len(found.located.positions["a.parquet"]) == 7


def test_a_kind_that_no_column_carries_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(3), PARQUET[0])
    with pytest.raises(UsageError, match=r"No column carries content\.sha1"):
        build_index(shards_of(tmp_path / "data"), tmp_path / "index", kinds=[KeyKind.SHA1])


@pytest.mark.parametrize("name", ["\n", " ", "a\tb", "x" * 400])
def test_a_name_that_cannot_be_kept_is_refused(tmp_path: Path, name: str) -> None:
    write_shard(tmp_path / "data", "a", make_rows(3), PARQUET[0])
    with pytest.raises(UsageError, match="--name"):
        build_index(shards_of(tmp_path / "data"), tmp_path / "index", name=name)


@pytest.mark.parametrize("name", ["..", "a/b", "2B en@1", "é%2F"])
def test_any_other_name_stays_inside_the_folder(tmp_path: Path, name: str) -> None:
    write_shard(tmp_path / "data", "a", make_rows(3), PARQUET[0])
    build_index(shards_of(tmp_path / "data"), tmp_path / "index", name=name)
    assert [version.name for version in read_versions(tmp_path / "index")] == [name]
    assert len(list((tmp_path / "index/versions").iterdir())) == 1
    assert names_in(tmp_path) >= {"index/versions"}


def test_the_same_bytes_under_two_names_are_one_shard(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.ndjson"):
        (tmp_path / name).write_text("".join(f'{{"url": "{url_of(n)}"}}\n' for n in range(9)))
    build_index(shards_of(tmp_path), tmp_path / "index")
    (found,) = ask(tmp_path / "index", url_of(7))
    assert {name: rows.tolist() for name, rows in found.located.positions.items()} == {
        "a.jsonl": [7],
        "b.ndjson": [7],
    }


@pytest.mark.parametrize("names", [("a.csv", "b.txt"), ("a.txt", "b.csv")])
def test_the_same_bytes_as_another_format_are_refused_for_they_are_other_rows(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    listed = "url\n" + "".join(f"{url_of(n)}\n" for n in range(9))
    for number, name in enumerate(names):
        (tmp_path / f"{number}").mkdir()
        for folder in (f"{number}", "both"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(listed)
    one, other, both = (shards_of(tmp_path / folder) for folder in ("0", "1", "both"))
    refusal = f"{names[1]} and {names[0]} hold the same bytes"
    with pytest.raises(UsageError, match=refusal):
        build_index(both, tmp_path / "index", workers=1)
    # What the refused run had built of one of them says nothing of the other.
    build_index(other, tmp_path / "index")
    (found,) = ask(tmp_path / "index", url_of(7))
    assert_same_as_scan(found, tmp_path / "1", [parse_entry(url_of(7))])
    with pytest.raises(UsageError, match="hold the same bytes"):
        build_index(one, tmp_path / "index")
    (found,) = ask(tmp_path / "index", url_of(7))
    assert_same_as_scan(found, tmp_path / "1", [parse_entry(url_of(7))])


def test_what_a_stopped_run_built_of_another_format_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its rows is one further down, and would be looked for where it is not."""
    (tmp_path / "a.csv").write_text("url\n" + "".join(f"{url_of(n)}\n" for n in range(9)))
    (tmp_path / "b.txt").write_bytes((tmp_path / "a.csv").read_bytes())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_version", stop)
        with pytest.raises(KeyboardInterrupt):
            build_index(shards_of(tmp_path / "b.txt"), tmp_path / "index", kinds=[C1])
    assert list((tmp_path / "index").glob("??/*/*.idx"))
    built = build_index(shards_of(tmp_path / "a.csv"), tmp_path / "index", kinds=[C1])
    assert (built.indexed, built.reused) == (1, 0)
    (found,) = ask(tmp_path / "index", url_of(7))
    assert [shard.positions.tolist() for shard in found.located.shards] == [[7]]


def test_a_shard_whose_columns_carry_no_key_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(3), PARQUET[0])
    pq.write_table(pa.table({"size": [1, 2]}), tmp_path / "data/b.parquet")
    with pytest.raises(UsageError, match=r"^b\.parquet: None of the 1 columns"):
        build_index(shards_of(tmp_path / "data"), tmp_path / "index")
    with pytest.raises(UsageError, match=r"^b\.parquet: None of the 1 columns"):
        locate(shards_of(tmp_path / "data"), [parse_entry(url_of(1))])


def test_nothing_temporary_is_left(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(30), PARQUET[0])
    build_index(shards_of(tmp_path / "data"), tmp_path / "index", memory=1)
    assert not [name for name in names_in(tmp_path / "index") if "partial" in name or "tmp" in name]


def test_what_a_killed_run_left_is_removed_a_day_later(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(30), PARQUET[0])
    shards = shards_of(tmp_path / "data")
    build_index(shards, tmp_path / "index")
    (tmp_path / "index/versions/.old.partial").touch()
    (tmp_path / "index/versions/.new.partial").touch()
    os.utime(tmp_path / "index/versions/.old.partial", (0, time.time() - 100_000))
    build_index(shards, tmp_path / "index")
    left = [path.name for path in (tmp_path / "index/versions").glob(".*.partial")]
    assert left == [".new.partial"]


def test_many_shards_make_several_merged_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_MERGED", 4)
    for number in range(9):
        write_shard(tmp_path / "data", f"{number}", make_rows(20 + number), PARQUET[0])
    build_index(shards_of(tmp_path / "data"), tmp_path / "index", kinds=[C1])
    assert len(list((tmp_path / "index/merged").glob("*/*.idx"))) == 3
    (found,) = ask(tmp_path / "index", url_of(25), url_of(1))
    assert_same_as_scan(found, tmp_path / "data", [parse_entry(url_of(25)), parse_entry(url_of(1))])


def test_another_column_means_another_index(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = pa.table({"url": [url_of(1), url_of(2)], "href": [url_of(2), url_of(1)]})
    pq.write_table(table, tmp_path / "data/a.parquet")
    shards = shards_of(tmp_path / "data")
    digest = open_shard(shards[0]).digest()
    build_index(shards, tmp_path / "index", name="v", kinds=[C1])
    assert is_indexed(tmp_path / "index", digest, C1, "url", ".parquet")
    assert not is_indexed(tmp_path / "index", digest, C1, "href", ".parquet")
    built = build_index(shards, tmp_path / "index", name="v", kinds=[C1], columns={"url": "href"})
    assert built.indexed == 1
    (found,) = ask(tmp_path / "index", url_of(1))
    assert found.located.positions["a.parquet"].tolist() == [1]


def test_two_runs_at_once_leave_one_whole_index(tmp_path: Path) -> None:
    for number in range(9):
        write_shard(tmp_path / "data", f"{number}", make_rows(200 + number), PARQUET[0])
    context = multiprocessing.get_context("spawn")
    runs = [
        context.Process(target=_build, args=(tmp_path / "data", tmp_path / "index", name)) for name in "abc"
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
        assert run.exitcode == 0
    built = build_index(shards_of(tmp_path / "data"), tmp_path / "index", name="d")
    assert (built.indexed, built.reused) == (0, 9)
    for found in ask(tmp_path / "index", url_of(150)):
        assert sum(map(len, found.located.positions.values())) == 9


def _build(data: Path, folder: Path, name: str) -> None:
    build_index(shards_of(data), folder, name=name)


def test_workers_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "RANGE_PAIRS", 100)
    for number in range(9):
        write_shard(tmp_path / "data", f"{number}", make_rows(400 + 77 * number), PARQUET[0])
    for name, workers in (("one", 1), ("two", 2)):
        build_index(shards_of(tmp_path / "data"), tmp_path / name, name="v", workers=workers, memory=5000)
    files = names_in(tmp_path / "one")
    assert files == names_in(tmp_path / "two")
    for name in files:
        if name.endswith((".idx", ".parquet")):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_rows_without_a_key_are_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    column = pa.array([[url_of(1), None], None, [], ["nonsense"]], pa.list_(pa.string()))
    pq.write_table(pa.table({"url": column}), tmp_path / "data/a.parquet")
    (shard,) = shards_of(tmp_path / "data")
    build_index([shard], tmp_path / "index", kinds=[C1])
    array, _ = index_files(tmp_path / "index", open_shard(shard).digest(), C1)
    with SortedArray(array) as opened:
        assert (opened.count, opened.about["keyless"], opened.about["rows"]) == (1, 2, 4)
        assert np.concatenate([rows for _, rows in opened.chunks(9)]).tolist() == [0]
