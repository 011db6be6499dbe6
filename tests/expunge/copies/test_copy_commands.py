"""`check` and `apply` on what was downloaded, as commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.expunge.copies.test_tar import pack, samples, unpack
from tests.expunge.formats import url_of
from tests.expunge.runs import expunge, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text("".join(f"{url_of(number)}\n" for number in range(10)))
    release_of(tmp_path / "base.txt", [url_of(1), url_of(3)], tmp_path / "release")
    (tmp_path / "mine").mkdir()
    pack(tmp_path / "mine/a.tar", samples(1, 2))
    pack(tmp_path / "mine/b.tar", samples(4))
    (tmp_path / "mine/urls.txt").write_text(f"{url_of(3)}\n{url_of(5)}\n")
    return tmp_path / "mine"


def test_a_copy_is_checked_planned_changed_and_checked(mine: Path) -> None:
    release = mine.parent / "release"
    said = expunge("check", mine, "--release", release)
    assert said.returncode == 1
    assert "AFFECTED: 2 of 5 rows are removed" in said.stdout
    before = {name: (mine / name).read_bytes() for name in names_in(mine)}

    planned = expunge("apply", release, mine, "--dry-run")
    assert planned.returncode == 0
    assert "a.tar: 1 samples in 3 files: 00001 (10,240 bytes to write anew)" in planned.stdout
    assert "urls.txt: 1 rows: 0 (" in planned.stdout
    assert "2 of 5 rows are removed" in planned.stdout
    listed = json.loads(expunge("apply", release, mine, "--dry-run", "--in-place", "--format", "json").stdout)
    assert [change["name"] for change in listed["changes"]] == ["a.tar", "urls.txt"]
    assert url_of(1) not in planned.stdout + planned.stderr + json.dumps(listed)
    assert {name: (mine / name).read_bytes() for name in names_in(mine)} == before

    done = expunge("apply", release, mine, "--in-place")
    assert done.returncode == 0
    assert "2 of 5 rows removed from 2 of 3 shards, 3 in place, verified." in done.stderr
    assert set(unpack(mine / "a.tar")) == set(samples(2))
    assert (mine / "b.tar").read_bytes() == before["b.tar"]
    assert expunge("check", mine, "--release", release).returncode == 0
    again = expunge("apply", release, mine, "--in-place", "--format", "json")
    assert json.loads(again.stdout)["removed"] == 0
    assert expunge("apply", release, mine, "--dry-run", "--format", "json").stdout.count('"changes": []') == 1


@pytest.mark.parametrize("options", [(), ("--in-place", "--output", "x")])
def test_where_to_write_must_be_said_once(options: tuple[str, ...], mine: Path) -> None:
    said = expunge("apply", mine.parent / "release", mine, *options)
    assert said.returncode == 2
    assert "Name a new folder with --output, or ask for --in-place" in said.stderr


def test_nothing_that_can_be_looked_at_is_undetermined_or_nothing(mine: Path) -> None:
    release = mine.parent / "release"
    pack(mine / "c.tar", {"00009.jpg": b"9"})
    said = expunge("check", mine / "c.tar", "--release", release)
    assert said.returncode == 3
    assert "UNDETERMINED" in said.stdout
    assert "nothing tells where its samples come from" in said.stdout
    (mine.parent / "empty").mkdir()
    (mine.parent / "empty/notes.pdf").write_text("x")
    assert expunge("check", mine.parent / "empty", "--release", release).returncode == 128
    pack(mine.parent / "empty/none.tar", {})
    assert expunge("check", mine.parent / "empty", "--release", release).returncode == 128


def test_a_bad_tar_is_one_sentence(mine: Path) -> None:
    (mine / "a.tar").write_bytes(b"x" * 2000)
    said = expunge("apply", mine.parent / "release", mine, "--in-place")
    assert said.returncode == 127
    assert "error: a.tar: is damaged after the beginning" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_copy_that_another_run_left_half_changed_is_finished_first(mine: Path) -> None:
    release = mine.parent / "release"
    (mine / ".urls.txt.expunge-swap").write_text('{"renamed": [], "deleted": []}')
    said = expunge("check", mine, "--release", release)
    assert said.returncode == 2
    assert "an apply --in-place was stopped before its end" in said.stderr
    assert expunge("apply", release, mine, "--in-place").returncode == 0
    assert names_in(mine) == {"a.tar", "b.tar", "urls.txt"}
