"""Files of every writer, cut at random: every reader finds in the result what the cut leaves of the base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fastparquet
import numpy as np
import pandas as pd
import pytest

from expunge.shards import Cut, Shard, ShardFile, open_shard
from tests.expunge.parquet_files import WRITERS, ParquetFile, random_cut, random_file
from tests.fuzz.check import check_file

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 12


def opened(path: Path) -> Shard:
    return open_shard(ShardFile(path, path.name))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_reader_finds_what_is_left(tmp_path: Path, writer: str, seed: int) -> None:
    """A small share of `make fuzz`."""
    file = random_file(tmp_path, seed, [writer])
    checked = check_file(file, random_cut(file, seed))
    assert checked.method == "spliced", file
    assert len(checked.readers) > 1, file


@pytest.mark.parametrize("writer", WRITERS)
def test_a_splice_gives_the_same_bytes_again(tmp_path: Path, writer: str) -> None:
    file = random_file(tmp_path, 5, [writer])
    cut = random_cut(file, 5)
    made = [opened(file.path).rewrite(tmp_path / f"{n}.parquet", cut).sha256 for n in range(2)]
    assert made[0] == made[1] == opened(tmp_path / "0.parquet").digest()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_cut_of_nothing_keeps_every_chunk(tmp_path: Path, writer: str) -> None:
    file = random_file(tmp_path, 3, [writer])
    opened(file.path).rewrite(tmp_path / "new.parquet", Cut())
    opened(file.path).compare(opened(tmp_path / "new.parquet"), Cut())


def test_categories_of_which_none_is_left_are_still_read_by_fastparquet(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    frame = pd.DataFrame({"n": [1, 2], "kind": pd.Series(["only one", None], dtype="category")})
    fastparquet.write(str(path), frame, compression="UNCOMPRESSED")
    file = ParquetFile(path, "fastparquet", "categories")
    checked = check_file(file, Cut(drop=np.array([0], dtype=np.int64)))
    assert "fastparquet" in checked.readers
