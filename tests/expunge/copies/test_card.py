"""A Hugging Face folder can be loaded by `datasets` after it was brought to a release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.apply import apply, plan
from expunge.check import Verdict, check
from expunge.copies.card import Card, Size
from expunge.copies.targets import locked
from expunge.errors import BadShard, UsageError
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, names_in, release_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CARD = """---
license: cc-by-4.0
# counts made by hand
dataset_info:
  features:
  - name: url
    dtype: string
  splits:
  - name: train
    num_bytes: 3000   # in memory
    num_examples: 30
  - name: test
    num_bytes: 1000
    num_examples: 10
  download_size: 1
  dataset_size: 4000
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
# Links
num_examples: 30 is what this text said.
"""

LOAD = """
import json, sys
import datasets
datasets.disable_progress_bars()
loaded = datasets.load_dataset(sys.argv[1], *sys.argv[3:], cache_dir=sys.argv[2])
print(json.dumps({split: rows["url"][:] for split, rows in loaded.items()}))
"""


def load(folder: Path, *config: str) -> Any:
    """What the real `datasets` loads from a folder, without a network."""
    cache = folder.parent / f"cache of {folder.name} {len(list(folder.parent.iterdir()))}"
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, folder, cache, *config],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def write_rows(path: Path, rows: Iterable[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"url": [url_of(row) for row in rows]}), path)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "links"
    for shard in range(3):
        write_rows(folder / f"data/train-{shard:05d}-of-00003.parquet", range(shard * 10, shard * 10 + 10))
    write_rows(folder / "data/test-00000-of-00001.parquet", range(30, 40))
    (folder / "README.md").write_text(CARD)
    (folder / "LICENSE").write_text("CC BY")
    (folder / "assets").mkdir()
    (folder / "assets/logo.png").write_bytes(b"png")
    return folder


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text("".join(f"{url_of(row)}\n" for row in range(50)))
    entries = [url_of(row) for row in (3, *range(10, 20), 35)]
    release_of(tmp_path / "base.txt", entries, tmp_path / "release")
    release_of(tmp_path / "base.txt", entries, tmp_path / "aligned", form="aligned")
    return tmp_path / "release"


def test_it_loads_afterwards_and_would_not_with_the_old_card(
    mine: Path, release: Path, tmp_path: Path
) -> None:
    clean = tmp_path / "clean"
    apply(release, copy_of(mine), clean)
    assert names_in(clean) == names_in(mine)
    assert (clean / "LICENSE").read_text() == "CC BY"
    expected = {
        "train": [url_of(row) for row in range(30) if row != 3 and not 10 <= row < 20],
        "test": [url_of(row) for row in range(30, 40) if row != 35],
    }
    assert load(clean) == expected
    length = sum(path.stat().st_size for path in (clean / "data").iterdir())
    assert (clean / "README.md").read_text() == (
        CARD.replace("3000   #", "1900   #", 1)
        .replace("num_examples: 30\n", "num_examples: 19\n", 1)
        .replace("num_bytes: 1000\n    num_examples: 10", "num_bytes: 900\n    num_examples: 9")
        .replace("download_size: 1\n", f"download_size: {length}\n")
        .replace("dataset_size: 4000", "dataset_size: 2800")
    )
    (clean / "README.md").write_text(CARD)
    assert "NonMatchingSplitsSizesError" in load(clean)


def test_in_place_it_loads_too_and_twice_is_once(mine: Path, release: Path) -> None:
    assert len(load(mine)["train"]) == 30
    planned = plan(release, copy_of(mine))
    assert [(change.name, change.what) for change in planned.changes] == [
        ("data/test-00000-of-00001.parquet", "rows"),
        ("data/train-00000-of-00003.parquet", "rows"),
        ("data/train-00001-of-00003.parquet", "rows"),
        ("README.md", "counts"),
    ]
    with locked([mine]):
        apply(release, copy_of(mine), None)
    assert len(load(mine)["train"]) == 19
    before = {name: (mine / name).read_bytes() for name in names_in(mine) if (mine / name).is_file()}
    assert check(copy_of(mine), release).verdict is Verdict.NOT_AFFECTED
    with locked([mine]):
        apply(release, copy_of(mine), None)
    assert {name: (mine / name).read_bytes() for name in before} == before


def test_a_run_stopped_before_the_card_is_finished_by_the_next(mine: Path, release: Path) -> None:
    with locked([mine / "data"]):
        apply(release, copy_of(mine / "data"), None)  # all but the card
    assert "NonMatchingSplitsSizesError" in load(mine)
    with locked([mine]):
        apply(release, copy_of(mine), None)
    assert len(load(mine)["train"]) == 19


def test_the_aligned_form_leaves_the_card_alone(mine: Path, release: Path, tmp_path: Path) -> None:
    apply(release.with_name("aligned"), copy_of(mine), tmp_path / "clean")
    assert (tmp_path / "clean/README.md").read_text() == CARD
    assert load(tmp_path / "clean")["train"][3] is None


def test_several_configurations_are_counted_apart(release: Path, tmp_path: Path) -> None:
    mine = tmp_path / "links"
    write_rows(mine / "en/train-00000-of-00001.parquet", range(10))
    write_rows(mine / "fr/train-00000-of-00001.parquet", range(20, 30))
    parts = "".join(
        f"- config_name: {name}\n  splits:\n  - name: train\n    num_examples: 10\n" for name in ("en", "fr")
    )
    files = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("en", "fr"))
    (mine / "README.md").write_text(f"---\ndataset_info:\n{parts}configs:\n{files}---\n")
    apply(release, copy_of(mine), tmp_path / "clean")
    card = (tmp_path / "clean/README.md").read_text()
    assert (card.count("num_examples: 9\n"), card.count("num_examples: 10\n")) == (1, 1)
    assert len(load(tmp_path / "clean", "en")["train"]) == 9
    assert len(load(tmp_path / "clean", "fr")["train"]) == 10


def test_the_older_card_in_json_is_corrected_too(release: Path, tmp_path: Path) -> None:
    mine = tmp_path / "links"
    write_rows(mine / "data/train-00000-of-00001.parquet", range(10))
    info: dict[str, Any] = {
        "default": {
            "splits": {
                "train": {"name": "train", "num_bytes": 100, "num_examples": 10, "dataset_name": "links"}
            },
            "download_size": 5,
            "dataset_size": 100,
        }
    }
    (mine / "dataset_infos.json").write_text(json.dumps(info))
    apply(release, copy_of(mine), tmp_path / "clean")
    assert len(load(tmp_path / "clean")["train"]) == 9
    made = json.loads((tmp_path / "clean/dataset_infos.json").read_text())["default"]
    assert made["splits"]["train"] == {
        **info["default"]["splits"]["train"],
        "num_bytes": 90,
        "num_examples": 9,
    }


def test_a_readme_that_is_no_card_is_left_out(release: Path, tmp_path: Path) -> None:
    mine = tmp_path / "links"
    write_rows(mine / "a.parquet", range(10))
    for text in ("# Links\n", "---\nlicense: mit\n---\n", "---\n\n"):
        (mine / "README.md").write_text(text)
        assert ([path.name for path in copy_of(mine).ignored], copy_of(mine).cards) == (["README.md"], [])


@pytest.mark.parametrize("front", ["a: [", "dataset_info: *x", "\t- b"])
def test_a_card_that_cannot_be_read_is_named(front: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "links/a.parquet", range(10))
    (tmp_path / "links/README.md").write_text(f"---\n{front}\n---\n")
    with pytest.raises(BadShard, match=r"README\.md: its metadata cannot be read as YAML"):
        copy_of(tmp_path / "links")


def test_files_of_no_known_split_are_told_of_before_anything_is_written(mine: Path, release: Path) -> None:
    (mine / "README.md").write_text(CARD.replace("path: data/test-*", "path: data/other-*"))
    before = (mine / "data/train-00000-of-00003.parquet").read_bytes()
    with (
        locked([mine]),
        pytest.raises(UsageError, match=r"README\.md counts the rows of split 'test', but no file"),
    ):
        apply(release, copy_of(mine), None)
    assert (mine / "data/train-00000-of-00003.parquet").read_bytes() == before


def test_line_breaks_and_other_characters_of_a_card_stay(tmp_path: Path) -> None:
    text = "---\r\npretty_name: ☃ é\r\ndataset_info:\r\n  splits:\r\n  - {name: train, num_examples: 5}\r\n---\r\n☃\r\n"
    (tmp_path / "README.md").write_bytes(text.encode())
    card = Card(tmp_path / "README.md", "README.md")
    assert card.corrected({"x.parquet": Size(4, 9)}) == text.replace("5}", "4}")
    assert card.corrected({"x.parquet": Size(5, 9)}) is None


def test_a_split_of_which_nothing_is_here_is_left_alone(mine: Path, release: Path, tmp_path: Path) -> None:
    (mine / "data/test-00000-of-00001.parquet").unlink()
    apply(release, copy_of(mine), tmp_path / "clean")
    card = (tmp_path / "clean/README.md").read_text()
    assert "num_examples: 19\n" in card
    assert "num_bytes: 1000\n    num_examples: 10\n" in card
