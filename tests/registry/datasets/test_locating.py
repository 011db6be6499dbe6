"""Finding rows in many versions: with an index, without, and with one that lies, always what reading every shard finds."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import pytest

from expunge.errors import BadShard
from expunge.index.builder import index_files
from expunge.keys import KeyKind, canonical_url, url_domain, url_host
from expunge.lists import Entry
from expunge.locate import locate
from registry.datasets import key_index, locating, store
from registry.datasets.locating import rows_named
from registry.datasets.selectors import version_shards
from registry.jobs.models import Job
from tests.factories import make_dataset, make_rows, make_version, run_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

Pairs = dict[str, set[tuple[int, int]]]


def entry(kind: KeyKind, key: bytes) -> Entry:
    return Entry(kind=kind, key=key, text="", line=0)


def url_entry(url: str) -> Entry:
    return entry(KeyKind.URL_C1, hashlib.sha256(str(canonical_url(url)).encode()).digest())


def md5_entry(url: str) -> Entry:
    return entry(KeyKind.MD5, hashlib.md5(url.encode()).digest())


def named(versions: Iterable[Version], entries: Sequence[Entry]) -> Pairs:
    """What the site finds: (row, entry) pairs by digest."""
    found = rows_named(versions, entries)
    return {
        digest: set(zip(hits.rows.tolist(), hits.entries.tolist(), strict=True))
        for digest, hits in found.items()
    }


def read(versions: Iterable[Version], entries: Sequence[Entry]) -> Pairs:
    """The same by the engine alone, which reads every shard of every version by itself."""
    found: Pairs = {}
    for version in versions:
        for file in version_shards(version):
            (hits,) = locate([file], entries, columns=version.columns).shards
            if len(hits.rows):
                pairs = zip(hits.rows.tolist(), hits.entries.tolist(), strict=True)
                found.setdefault(file.path.name, set()).update(pairs)
    return found


def make_indexed(**fields: Any) -> Version:
    version = make_version(**fields)
    key_index.index_start(version)
    run_jobs()
    return version


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a shard whole is a failure of the test."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a shard was read whole")

    monkeypatch.setattr(locating, "locate", refuse)


# The same as reading everything


def random_rows(
    rng: random.Random, count: int, columns: dict[str, str], *, lists: bool
) -> list[dict[str, Any]]:
    """Rows with few hosts, URLs that repeat in other spellings, nulls, and lists of URLs where asked for."""

    def url() -> str | None:
        host = rng.choice(["a.example.com", "B.example.com", "example.org", "a.github.io", "127.0.0.1:8080"])
        spelling = rng.choice(["{}", "{}#top", "{}?q=%c3%a4", "{}^"])
        return (
            rng.choice([None, "not a url"])
            if rng.random() < 0.1
            else spelling.format(f"{rng.choice(['http', 'https'])}://{host}/{rng.randrange(count // 3)}.jpg")
        )

    def digest(size: int) -> str | None:
        value = hashlib.sha256(str(rng.randrange(count // 2)).encode()).hexdigest()[: size * 2]
        return None if rng.random() < 0.1 else value

    return [
        {
            columns["url"]: [url() for _ in range(rng.randrange(4))] if lists else url(),
            columns["text"]: rng.choice([None, "", f"caption {rng.randrange(count // 4)}"]),
            columns["md5"]: digest(16),
            columns["sha256"]: digest(32),
            columns["id"]: str(rng.randrange(count * 2)),
        }
        for _ in range(count)
    ]


def random_entries(
    rng: random.Random, rows: Sequence[dict[str, Any]], columns: dict[str, str]
) -> list[Entry]:
    """Keys of every kind, most of values that are there and some of none."""
    found: list[Entry] = []
    for row in rng.sample(list(rows), 12):
        given = row[columns["url"]]
        for url in [one for one in (given if isinstance(given, list) else [given]) if one]:
            found.append(entry(KeyKind.URL_RAW, hashlib.sha256(url.encode()).digest()))
            if canonical_url(url):
                found.append(url_entry(url))
        if row[columns["text"]] is not None:
            found.append(entry(KeyKind.TEXT, hashlib.sha256(row[columns["text"]].encode()).digest()))
        for kind, role in ((KeyKind.MD5, "md5"), (KeyKind.SHA256, "sha256")):
            if row[columns[role]]:
                found.append(entry(kind, bytes.fromhex(row[columns[role]])))
        found.append(entry(KeyKind.ROW_ID, row[columns["id"]].encode()))
    rules = [
        entry(KeyKind.HOST, str(url_host("https://a.example.com/")).encode()),
        entry(KeyKind.DOMAIN, str(url_domain("https://a.example.com/")).encode()),
        entry(KeyKind.DOMAIN, b"a.github.io"),
    ]
    absent = [
        url_entry("https://absent.example/"),
        entry(KeyKind.HOST, b"absent.example"),
        entry(KeyKind.SHA1, b"x" * 20),
    ]
    return list(dict.fromkeys(found + rng.sample(rules, 2) + absent))


USUAL = {"url": "url", "text": "text", "md5": "md5", "sha256": "sha256", "id": "id"}
RENAMED = {"url": "link", "text": "words", "md5": "sum", "sha256": "long_sum", "id": "number"}


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_what_reading_every_shard_finds(seed: int) -> None:
    rng = random.Random(seed)
    rows = random_rows(rng, 60, USUAL, lists=False)
    shared = random_rows(rng, 40, USUAL, lists=False)
    renamed = random_rows(rng, 50, RENAMED, lists=True)
    dataset = make_dataset()
    versions = [
        make_version(dataset, "1", {"a.parquet": rows, "b.csv": shared, "twice.csv": shared}, columns=USUAL),
        make_version(dataset, "2", {"b.csv": shared, "c.parquet": shared + rows}, columns=USUAL),
        make_version(dataset, "3", {"l.parquet": renamed}, columns=RENAMED),
    ]
    entries = [*random_entries(rng, rows + shared, USUAL), *random_entries(rng, renamed, RENAMED)]
    entries = list(dict.fromkeys(entries))
    wanted = read(versions, entries)
    assert len(wanted) == 4
    assert named(versions, entries) == wanted  # nothing is indexed yet
    key_index.index_start(versions[1])
    run_jobs()
    assert {key_index.index_coverage(version) for version in versions} == {(2, 2), (1, 1)}
    assert named(versions, entries) == wanted
    for path in sorted(key_index.index_folder().rglob("*.idx"))[::3]:
        path.unlink()
    assert named(versions, entries) == wanted


def test_the_index_alone_finds_them(no_reading: None) -> None:
    version = make_indexed(shards={"a.parquet": make_rows(50), "b.csv": make_rows(50, start=40)})
    entries = [url_entry("https://img.example.com/45.jpg"), entry(KeyKind.HOST, b"img.example.com")]
    digests = dict(version.version_shards.values_list("path", "shard_id"))
    found = named([version], entries)
    assert found[digests["a.parquet"]] == {(45, 0)} | {(row, 1) for row in range(50)}
    assert found[digests["b.csv"]] == {(5, 0)} | {(row, 1) for row in range(50)}


@pytest.mark.usefixtures("no_reading")
def test_merged_indexes_answer_as_the_shards_own_do() -> None:
    shards = {f"{number}.parquet": make_rows(20, start=number * 10) for number in range(9)}
    version = make_indexed(shards=shards)
    assert list(key_index.index_folder().glob("merged/*/*.idx"))
    entries = [url_entry(f"https://img.example.com/{number}.jpg") for number in (0, 15, 95, 99)]
    assert named([version], entries) == read([version], entries)


def test_nothing_is_read_for_no_entries_or_no_versions() -> None:
    assert rows_named([make_version()], []) == {}
    assert rows_named([], [url_entry("https://img.example.com/1.jpg")]) == {}


# What is not indexed is read, and indexed by a job


def test_a_version_that_was_searched_without_an_index_gets_one() -> None:
    version = make_version(shards={"a.csv": make_rows(5)})
    rows_named([version], [url_entry("https://img.example.com/1.jpg")])
    (job,) = Job.objects.all()
    assert (job.kind, job.subject_id) == ("index_build", version.pk)
    run_jobs()
    assert key_index.index_coverage(version) == (1, 1)
    rows_named([version], [url_entry("https://img.example.com/1.jpg")])
    assert Job.objects.count() == 1


def test_it_tells_whoever_waits_how_far_it_is() -> None:
    told: list[str] = []
    version = make_version(shards={"a.csv": make_rows(5)})
    entries = [url_entry("https://img.example.com/1.jpg")]
    rows_named([version], entries, lambda stage, _done, _total: told.append(stage))
    assert told[:2] == ["Looking in the key index", "Locating rows"]
    run_jobs()
    told.clear()
    rows_named([version], entries, lambda stage, _done, _total: told.append(stage))
    assert told == ["Looking in the key index", "Reading the rows that the key index names"]


# What cannot be trusted


def array_of(version: Version, kind: KeyKind) -> Path:
    return index_files(key_index.index_folder(), version.shards.get().digest, kind)[0]


def test_a_byte_damaged_anywhere_changes_no_answer_and_is_mended() -> None:
    version = make_indexed(shards={"a.csv": make_rows(30)})
    entries = [url_entry("https://img.example.com/7.jpg")]
    array = array_of(version, KeyKind.URL_C1)
    whole = array.read_bytes()
    wanted = read([version], entries)
    for place in [*range(0, len(whole), 977), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        array.write_bytes(damaged)
        assert named([version], entries) == wanted
        run_jobs()
        assert array.read_bytes() in {whole, bytes(damaged)}  # what no answer rests on may stay
    array.write_bytes(whole[: len(whole) // 2])
    assert named([version], entries) == wanted
    run_jobs()
    assert array.read_bytes() == whole


def test_one_bad_index_does_not_make_the_other_shards_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = {f"{number}.csv": make_rows(20, start=number * 20) for number in range(5)}
    version = make_indexed(shards=shards)
    bad = version.version_shards.get(path="3.csv").shard_id
    index_files(key_index.index_folder(), bad, KeyKind.URL_C1)[0].write_bytes(b"no index")
    looked: list[str] = []

    def spy(files: Any, *args: Any, **options: Any) -> object:
        looked.extend(file.path.name for file in files)
        return locate(files, *args, **options)

    monkeypatch.setattr(locating, "locate", spy)
    entries = [url_entry(f"https://img.example.com/{number}.jpg") for number in (3, 70, 99)]
    assert named([version], entries) == read([version], entries)
    assert looked == [bad]


def test_the_index_of_another_shard_under_this_ones_name_is_not_believed() -> None:
    version = make_indexed(shards={"a.csv": make_rows(30)})
    other = make_indexed(shards={"a.csv": make_rows(30, host="other.example")})
    array_of(version, KeyKind.URL_C1).write_bytes(array_of(other, KeyKind.URL_C1).read_bytes())
    entries = [url_entry("https://img.example.com/7.jpg"), url_entry("https://other.example/7.jpg")]
    assert named([version], entries) == read([version], entries)
    run_jobs()
    assert array_of(version, KeyKind.URL_C1).read_bytes() != array_of(other, KeyKind.URL_C1).read_bytes()


def test_an_index_of_a_column_that_the_version_no_longer_declares_is_built_anew() -> None:
    rows = [{**row, "old": row["url"].replace("img", "old")} for row in make_rows(10)]
    version = make_indexed(shards={"a.csv": rows}, columns={"url": "old"})
    version.columns = {"url": "url"}
    version.save()
    entries = [url_entry("https://img.example.com/7.jpg")]
    assert named([version], entries) == {version.shards.get().digest: {(7, 0)}}
    run_jobs()
    assert b'"column":"url"' in array_of(version, KeyKind.URL_C1).read_bytes()


def test_versions_that_bind_one_shard_differently_are_both_searched_and_do_not_rebuild_each_others_index() -> (
    None
):
    rows = [{**row, "old": row["url"].replace("img", "old")} for row in make_rows(10)]
    dataset = make_dataset()
    versions = [
        make_version(dataset, role, {"a.csv": rows}, columns={"url": role, "md5": ""})
        for role in ("url", "old")
    ]
    entries = [url_entry("https://img.example.com/7.jpg"), url_entry("https://old.example.com/3.jpg")]
    wanted = {versions[0].shards.get().digest: {(7, 0), (3, 1)}}
    assert named(versions, entries) == wanted == read(versions, entries)
    run_jobs()
    jobs = Job.objects.count()
    for _ in range(2):
        assert named(versions, entries) == wanted
    assert Job.objects.count() == jobs


def test_a_key_that_only_begins_like_a_rows_names_nothing() -> None:
    version = make_indexed(shards={"a.csv": make_rows(30)})
    near = bytearray(md5_entry("https://img.example.com/7.jpg").key)
    near[-1] ^= 1
    assert named([version], [entry(KeyKind.MD5, bytes(near))]) == {}
    assert not run_jobs()  # it is no reason to build anything


def test_an_object_that_was_changed_is_not_answered_for_by_its_index() -> None:
    version = make_indexed(shards={"a.csv": make_rows(30)})
    path = store.object_path(version.shards.get().digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"/7.jpg", b"/8.jpg"))
    entries = [url_entry("https://img.example.com/7.jpg"), md5_entry("https://img.example.com/8.jpg")]
    assert named([version], entries) == read([version], entries) == {path.name: {(8, 1)}}


def test_an_object_that_cannot_be_read_is_told_plainly() -> None:
    version = make_indexed(shards={"a.parquet": make_rows(30)})
    path = store.object_path(version.shards.get().digest)
    path.chmod(0o600)
    path.write_bytes(b"\x00\xff" * 100)
    with pytest.raises(BadShard):
        rows_named([version], [url_entry("https://img.example.com/7.jpg")])
