"""The engine on real lists with a real history, where they are at hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from random import Random

import pytest

from tests.expunge.runs import expunge

LISTS = Path(__file__).parents[3] / "shared/data/test-lists"

pytestmark = pytest.mark.skipif(not LISTS.is_dir(), reason="the lists are not part of the repository")


@pytest.mark.parametrize(
    ("old", "new", "rows", "added", "removed"),
    [
        ("2021-01-01", "2023-01-01", (35_735, 36_961), 8_563, 7_337),
        ("2023-01-01", "2025-01-01", (36_961, 38_167), 2_650, 1_444),
    ],
)
def test_the_figures_are_those_of_the_collection(
    old: str, new: str, rows: tuple[int, int], added: int, removed: int
) -> None:
    run = expunge("diff", LISTS / old, LISTS / new, "--by-shard", "--format", "json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["old"]["rows"], said["new"]["rows"]) == rows
    assert (said["added"], said["removed"], said["common"]) == (added, removed, rows[0] - removed)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    folder = tmp_path_factory.mktemp("lists")
    urls: list[str] = []
    for path in sorted((LISTS / "2023-01-01").glob("**/*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as source:
            urls += [row["url"] for row in csv.DictReader(source)]
    gone = set(Random(7).sample(sorted(set(urls)), 500))
    (folder / "remove.txt").write_text("".join(f"{url}\n" for url in sorted(gone)), encoding="utf-8")
    run = expunge(
        "clean",
        LISTS / "2023-01-01",
        "--remove",
        folder / "remove.txt",
        "--output",
        folder / "release",
        "--quiet",
    )
    assert run.returncode == 0, run.stderr
    return folder / "release", gone


def test_every_other_byte_stays(release: tuple[Path, set[str]]) -> None:
    folder, gone = release
    from expunge.keys import canonical_url

    forms = {canonical_url(url) or url for url in gone}
    names = {path.relative_to(folder / "data") for path in (folder / "data").rglob("*.csv")}
    assert names == {path.relative_to(LISTS / "2023-01-01") for path in (LISTS / "2023-01-01").rglob("*.csv")}
    removed = 0
    for name in names:
        lines = (LISTS / "2023-01-01" / name).read_bytes().decode().splitlines(keepends=True)
        records = list(_records(lines))
        kept = [raw for raw, url in records if (canonical_url(url) or url) not in forms]
        removed += len(records) - len(kept)
        assert (folder / "data" / name).read_bytes() == "".join(kept).encode(), name
    assert removed >= 500


def _records(lines: list[str]) -> list[tuple[str, str]]:
    """Each record's text with its URL; a record ends where its quotes are closed."""
    records: list[tuple[str, str]] = []
    record = ""
    for line in lines:
        record += line
        if record.count('"') % 2 == 0:
            fields = (
                next(csv.reader([record]), [""])
                if "\n" not in record.rstrip("\r\n")
                else next(csv.reader(record.splitlines(keepends=True)))
            )
            records.append((record, fields[0] if fields else ""))
            record = ""
    return records


def test_apply_brings_the_copy_to_it(release: tuple[Path, set[str]], tmp_path: Path) -> None:
    folder, _ = release
    old = LISTS / "2023-01-01"
    assert expunge("check", old, "--release", folder).returncode == 1
    assert expunge("apply", folder, old, "--output", tmp_path / "copy").returncode == 0
    for path in (folder / "data").rglob("*.csv"):
        assert (tmp_path / "copy" / path.relative_to(folder / "data")).read_bytes() == path.read_bytes()
    assert expunge("check", tmp_path / "copy", "--release", folder).returncode == 0
    assert expunge("verify", folder, "--integrity-only").returncode == 0
