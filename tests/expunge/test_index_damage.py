"""A damaged index: it is never believed, and built again. Merged arrays: made once there are enough shards."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from expunge.index import BadIndex, build_index, merge_shards, read_versions
from expunge.index.arrays import SortedArray
from expunge.keys import KeyKind
from expunge.lists import parse_entry
from tests.expunge.formats import PARQUET, make_rows, url_of, write_shard
from tests.expunge.runs import flip_byte, shards_of
from tests.expunge.test_index_build import C1, ask, assert_same_as_scan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def indexed(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of a version of ten shards and of its index, merged."""
    for number in range(10):
        write_shard(tmp_path / "data", f"{number}", make_rows(20 + number), PARQUET[0])
    build_index(shards_of(tmp_path / "data"), tmp_path / "index", name="v", kinds=[C1])
    return tmp_path / "data", tmp_path / "index"


def test_a_damaged_file_is_built_again_wherever_the_damage_is(indexed: tuple[Path, Path]) -> None:
    data, folder = indexed
    chance = random.Random(5)
    for path in [*folder.glob("??/*/*.idx"), *folder.glob("??/*/*.parquet")]:
        flip_byte(path, chance.randrange(path.stat().st_size))
    built = build_index(shards_of(data), folder, name="v", kinds=[C1])
    assert (built.indexed, built.reused) == (10, 0)
    (found,) = ask(folder, url_of(3))
    assert_same_as_scan(found, data, [parse_entry(url_of(3))])


def test_a_damaged_version_file_is_written_again_and_another_ones_is_named(
    indexed: tuple[Path, Path],
) -> None:
    data, folder = indexed
    (file,) = (folder / "versions").glob("*.json")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with pytest.raises(BadIndex, match=r"v\.json is damaged"):
        build_index(shards_of(data), folder, name="other", kinds=[C1])
    built = build_index(shards_of(data), folder, name="v", kinds=[C1])
    assert (built.indexed, built.reused) == (0, 10)
    assert file.read_bytes() == whole


def test_a_missing_file_is_built_again(indexed: tuple[Path, Path]) -> None:
    data, folder = indexed
    next(folder.glob("??/*/*.idx")).unlink()
    next(iter(sorted(folder.glob("??/*/*.parquet"), reverse=True))).write_bytes(b"")
    built = build_index(shards_of(data), folder, name="v", kinds=[C1])
    assert built.indexed in {1, 2}
    assert built.indexed + built.reused == 10


def test_a_damaged_merged_array_is_passed_over_and_built_again(indexed: tuple[Path, Path]) -> None:
    data, folder = indexed
    (merged,) = (folder / "merged").glob("*/*.idx")
    for place in (0, merged.stat().st_size // 2, merged.stat().st_size - 1):
        flip_byte(merged, place)
        (found,) = ask(folder, url_of(3))
        assert_same_as_scan(found, data, [parse_entry(url_of(3))])
        build_index(shards_of(data), folder, name="v", kinds=[C1])
        (again,) = (folder / "merged").glob("*/*.idx")
        with SortedArray(again) as array:
            array.prove()


def test_a_merged_array_of_another_kind_is_never_asked_and_is_removed(indexed: tuple[Path, Path]) -> None:
    """Whole, and of the same shards and columns: only its kind tells that it holds other keys."""
    data, folder = indexed
    build_index(shards_of(data), folder, name="v", kinds=[KeyKind.URL_RAW])
    (merged,) = (folder / "merged" / C1).glob("*.idx")
    (other,) = (folder / "merged" / KeyKind.URL_RAW).glob("*.idx")
    whole = merged.read_bytes()
    merged.write_bytes(other.read_bytes())
    (found,) = ask(folder, url_of(3))
    assert_same_as_scan(found, data, [parse_entry(url_of(3))])
    assert merge_shards(folder, C1, read_versions(folder)[0].shards) == 10
    assert merged.read_bytes() == whole


def test_what_a_lookup_found_damaged_is_merged_anew_without_reading_the_rest(
    indexed: tuple[Path, Path],
) -> None:
    data, folder = indexed
    (merged,) = (folder / "merged").glob("*/*.idx")
    whole = merged.read_bytes()
    shards = read_versions(folder)[0].shards
    flip_byte(merged, 0)
    assert merge_shards(folder, C1, shards) == 0
    (found,) = ask(folder, url_of(3))
    assert_same_as_scan(found, data, [parse_entry(url_of(3))])
    assert not merged.exists()
    assert merge_shards(folder, C1, shards) == 10
    assert merged.read_bytes() == whole


def test_shards_are_merged_only_when_there_are_enough_and_each_once(
    indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    _, folder = indexed
    assert len(list((folder / "merged").glob("*/*.idx"))) == 1
    more = tmp_path / "more"
    for number in range(7):
        write_shard(more, f"{number}", make_rows(50 + number), PARQUET[0])
    build_index(shards_of(more), folder, name="w", kinds=[C1])
    assert len(list((folder / "merged").glob("*/*.idx"))) == 1
    write_shard(more, "8", make_rows(60), PARQUET[0])
    build_index(shards_of(more), folder, name="w", kinds=[C1])
    merged = sorted((folder / "merged").glob("*/*.idx"))
    assert len(merged) == 2
    held = []
    for path in merged:
        with SortedArray(path) as array:
            held += [digest for digest, _ in array.about["shards"]]
    assert len(held) == len(set(held)) == 18
