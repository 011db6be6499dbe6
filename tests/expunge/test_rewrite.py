"""Shards written of which the digest is known: believed while they are written, held against the bytes when they are verified."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from expunge.clean import clean
from expunge.errors import VerificationFailed
from expunge.lists import parse_entry
from expunge.manifest import file_digest
from expunge.shards.shard import ShardBytes
from tests.expunge.formats import PARQUET, TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import CREATED, shards_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from expunge.clean import CleanResult
    from expunge.shards import ShardFile

TOUCHED, UNTOUCHED = "one.parquet", "two.csv"
WRONG = "0" * 64


@pytest.fixture
def base(tmp_path: Path) -> list[ShardFile]:
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    write_shard(tmp_path / "base", "two", make_rows(10), TEXT[0])
    return shards_of(tmp_path / "base")


def released(shards: Sequence[ShardFile], output: Path, *, link: bool = True) -> CleanResult:
    entries = [parse_entry(url_of(15))]
    return clean(shards, entries, output, dataset="links", version="1", created=CREATED, link=link)


def known(shards: Sequence[ShardFile], **wrong: str) -> list[ShardFile]:
    """The shards with their digests, or these wrong ones by the beginning of a name."""
    return [
        replace(shard, sha256=wrong.get(shard.name.split(".")[0], file_digest(shard.path)))
        for shard in shards
    ]


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
def test_a_release_of_shards_whose_digests_are_known_is_the_same(
    base: list[ShardFile], tmp_path: Path, *, link: bool
) -> None:
    assert {shard.name for shard in base} == {TOUCHED, UNTOUCHED}
    one = released(base, tmp_path / "one", link=link)
    other = released(known(base), tmp_path / "other", link=link)
    assert one.root == other.root
    assert one.release == other.release


def test_a_shard_whose_digest_is_known_is_linked_without_being_read(
    base: list[ShardFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    digest = ShardBytes.digest

    def noted(self: ShardBytes) -> str:
        hashed.append(self.file.name)
        return digest(self)

    monkeypatch.setattr(ShardBytes, "digest", noted)
    released(known(base), tmp_path / "known")
    assert hashed == [TOUCHED]  # by the verification
    released(base, tmp_path / "unknown")
    assert sorted(hashed[1:]) == [TOUCHED, UNTOUCHED]


@pytest.mark.parametrize("which", ["one", "two"], ids=["touched", "untouched"])
def test_verification_refuses_a_wrong_digest(base: list[ShardFile], tmp_path: Path, which: str) -> None:
    with pytest.raises(VerificationFailed, match=f"{which}.*digest|{which}.*not what was written"):
        released(known(base, **{which: WRONG}), tmp_path / "release")
    assert not (tmp_path / "release").exists()
