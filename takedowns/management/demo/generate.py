"""A seeded dataset in the shape of LAION's, a part of it as CSV, and three reports about its rows.

A row shows a picture. A picture has one address, which its rows may spell differently, and a content, which another
picture may share. Reports name addresses, a host or contents; which rows they are about follows from these numbers
alone, so what the engine finds can be held against it. All hosts are reserved for examples, and nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

SEED = 20_231_220
SHARDS = 4
SHARD_ROWS = 50_000
GROUP_ROWS = 16_384
SUBSET_PART = 10  # one row of so many

GALLERY = "gallery.example.net"  # the host that is reported
BESIDE = "cdn.gallery.example.net"  # not the same host: its rows stay
ZONES = ("example.com", "example.net", "example.org", "shop.example", "travel.example", "photos.example")
KEPT_NOTE = "Published by its author under CC0 on the same page; the row stays."

PLAIN, RESPELLED, KEPT, ABSENT, REPEATED = 280, 80, 20, 40, 3  # addresses of the first report
UNREADABLE = ("my portfolio, all of it", "sha256:not-a-digest")
HASHES, HASHES_ABSENT = 100, 20  # of the third report

WORDS = [
    *(
        "a",
        "red",
        "small",
        "old",
        "view of",
        "the harbour",
        "mountain",
        "bridge",
        "market",
        "winter",
        "garden",
        "cat",
    ),
    *(
        "bicycle,",
        "lamp",
        "station",
        "boat",
        "in",
        "at",
        "light",
        '"untitled"',
        "morning",
        "portrait",
        "café",
    ),
    *("Zürich", "東京", "street", "detail", "with", "print", "poster", "for sale"),
]


@dataclass(frozen=True, slots=True)
class Report:
    """A report as its sender writes it, and what is to come of it."""

    category: str
    description: str
    contact: str
    lines: list[str]
    kept: range  # lines, from 0, whose rows the maintainer keeps
    outcomes: dict[str, int]  # items by outcome
    located: Flags  # rows of the dataset that an item names
    rows: Flags  # those of them that go


@dataclass(frozen=True, slots=True)
class Data:
    """The dataset, the rows of it that make up the subset, and the reports."""

    table: pa.Table
    subset: Numbers
    reports: tuple[Report, Report, Report]

    @property
    def gone(self) -> Flags:
        """Rows that go, whichever report names them."""
        gone: Flags = np.logical_or.reduce([report.rows for report in self.reports])
        return gone


@dataclass(frozen=True, slots=True)
class Rows:
    """What each row shows: its picture, and whether its URL and its MD5 are there."""

    picture: Numbers
    has_url: Flags
    has_md5: Flags


@dataclass(frozen=True, slots=True)
class Pictures:
    """What each picture is, by its number."""

    on_host: Flags
    content: Numbers
    address: list[str]
    md5: list[str]  # of each content, by the content's number


def generate(seed: int = SEED, rows: int = SHARDS * SHARD_ROWS) -> Data:
    """Make everything in memory; the same seed gives the same. `rows` is at least 20,000, or there is too little to report."""
    rng = np.random.default_rng(seed)
    picture = np.arange(rows)
    copies = rng.choice(rows, rows // 50, replace=False)
    originals = np.setdiff1d(picture, copies)
    picture[copies] = rng.choice(originals, len(copies))  # in whatever shard
    shown = Rows(picture, has_url=rng.random(rows) >= 0.002, has_md5=rng.random(rows) >= 0.02)

    content = np.arange(rows)
    mirrors = rng.choice(rows, rows // 100, replace=False)
    content[mirrors] = rng.choice(np.setdiff1d(content, mirrors), len(mirrors))

    hosts = _hosts()
    # Few hosts hold most pictures; the two that a report is about are apart.
    host = (rng.zipf(1.3, rows) - 1) % (len(hosts) - 2) + 2
    host[rng.random(rows) < 0.008] = 0
    host[rng.random(rows) < 0.002] = 1
    address = [_address(number, hosts[place]) for number, place in enumerate(host.tolist())]
    md5 = [hashlib.md5(f"{seed} {number}".encode()).hexdigest() for number in range(rows)]  # noqa: S324  LAION's column is one

    spelled = rng.integers(0, len(SPELLINGS) * 20, rows)  # one row in twenty is spelled in another way
    urls = [
        (SPELLINGS[way](address[number]) if way < len(SPELLINGS) else address[number]) if there else None
        for number, way, there in zip(picture.tolist(), spelled.tolist(), shown.has_url.tolist(), strict=True)
    ]
    contents = content[picture]
    hashes = [
        md5[number] if there else None
        for number, there in zip(contents.tolist(), shown.has_md5.tolist(), strict=True)
    ]
    words = np.array(WORDS)[rng.integers(0, len(WORDS), (rows, 7))]
    captioned = rng.random(rows) >= 0.01
    table = pa.table(
        {
            "URL": pa.array(urls, pa.string()),
            "TEXT": pa.array(
                [" ".join(line) if there else None for line, there in zip(words, captioned, strict=True)],
                pa.string(),
            ),
            "WIDTH": pa.array(rng.integers(64, 4096, rows), pa.int32()),
            "HEIGHT": pa.array(rng.integers(64, 4096, rows), pa.int32()),
            "similarity": pa.array(np.round(rng.normal(0.33, 0.03, rows), 6)),
            "punsafe": pa.array(np.round(rng.beta(0.4, 6, rows), 6)),
            "md5": pa.array(hashes, pa.string()),
        }
    )
    subset = np.sort(rng.choice(rows, rows // SUBSET_PART, replace=False))
    return Data(table, subset, _reports(rng, shown, Pictures(host == 0, content, address, md5)))


def write(data: Data, dataset: Path, subset: Path) -> None:
    """Write the shards of both into the folders; a file that is there is whole, because it got its name last."""
    per_shard = len(data.table) // SHARDS
    for number in range(SHARDS):
        shard = data.table.slice(number * per_shard, per_shard)
        _write_once(
            dataset / f"part-{number:05}.parquet",
            partial(parquet.write_table, shard, row_group_size=GROUP_ROWS, compression="zstd"),
        )
    _write_once(subset / "subset.csv", partial(csv.write_csv, data.table.take(data.subset)))


def _write_once(path: Path, write_to: Callable[[Path], object]) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    write_to(aside)
    with aside.open("rb") as written:
        os.fsync(written.fileno())
    aside.rename(path)


def _reports(rng: np.random.Generator, shown: Rows, pictures: Pictures) -> tuple[Report, Report, Report]:
    count = len(pictures.address)
    on_host, address, md5 = pictures.on_host, pictures.address, pictures.md5
    contents = pictures.content[shown.picture]
    seen = np.zeros(count, bool)
    seen[shown.picture[shown.has_url]] = True  # pictures that at least one row has the address of
    times = np.bincount(shown.picture, minlength=count)

    # Some of the pictures have several rows, some are on the reported host, so that reports overlap.
    several = rng.choice(np.flatnonzero(seen & ~on_host & (times > 1)), 60, replace=False)
    overlapping = rng.choice(np.flatnonzero(seen & on_host), 12, replace=False)
    chosen = np.concatenate([several, overlapping])
    rest = np.setdiff1d(np.flatnonzero(seen & ~on_host & (times == 1)), chosen)
    chosen = rng.permutation(
        np.concatenate([chosen, rng.choice(rest, PLAIN + RESPELLED - len(chosen), replace=False)])
    )
    kept = rng.choice(np.setdiff1d(rest, chosen), KEPT, replace=False)
    by_address = Report(
        category="opt_out",
        description="These are my photographs. I do not want them in a dataset that models are trained on.",
        contact="photographer@example.org",
        lines=_address_lines(chosen, kept, address, count),
        kept=range(PLAIN + RESPELLED, PLAIN + RESPELLED + KEPT),
        outcomes={
            "remove": PLAIN + RESPELLED,
            "reject": KEPT,
            "not_found": ABSENT,
            "invalid": len(UNREADABLE),
            "duplicate": REPEATED,
        },
        located=np.isin(shown.picture, np.concatenate([chosen, kept])) & shown.has_url,
        rows=np.isin(shown.picture, chosen) & shown.has_url,
    )
    hosted = on_host[shown.picture] & shown.has_url
    by_host = Report(
        category="licence",
        description=f"Everything on {GALLERY} is published for viewing only; its terms forbid any other use.",
        contact="rights@example.net",
        lines=[f"host:{GALLERY}"],
        kept=range(0),
        outcomes={"remove": 1},
        located=hosted,
        rows=hosted,
    )
    # Contents that a row has the hash of, apart from those of the pictures that are kept.
    hashed = np.unique(contents[shown.has_md5])
    hashed = np.setdiff1d(hashed, contents[np.isin(shown.picture, kept)])
    shared = np.flatnonzero(np.bincount(contents, minlength=count) > 1)
    hits = np.unique(
        np.concatenate(
            [
                rng.choice(np.intersect1d(hashed, candidates), wanted, replace=False)
                for candidates, wanted in (
                    (shared, 30),
                    (contents[by_address.rows], 8),
                    (contents[by_host.rows], 10),
                )
            ]
        )
    )
    more = rng.choice(np.setdiff1d(hashed, hits), HASHES - len(hits), replace=False)
    hits = rng.permutation(np.concatenate([hits, more]))
    hit = np.isin(contents, hits) & shown.has_md5
    by_content = Report(
        category="poisoning",
        description="The files behind these hashes were swapped after the crawl. The captions describe something else.",
        contact="",
        lines=[f"md5:{md5[number]}" for number in hits.tolist()]
        + [
            f"md5:{hashlib.md5(f'absent {number}'.encode()).hexdigest()}"  # noqa: S324  as above
            for number in range(HASHES_ABSENT)
        ],
        kept=range(0),
        outcomes={"remove": HASHES, "not_found": HASHES_ABSENT},
        located=hit,
        rows=hit,
    )
    return by_address, by_host, by_content


def _address_lines(chosen: Numbers, kept: Numbers, address: list[str], count: int) -> list[str]:
    """The first report: as the dataset spells it, in another way, to be kept, absent, unreadable, said twice."""
    plain = [address[number] for number in chosen[:PLAIN].tolist()]
    respelled = [
        SPELLINGS[place % len(SPELLINGS)](address[number])
        for place, number in enumerate(chosen[PLAIN:].tolist())
    ]
    absent = [_address(count + number, f"img1.{ZONES[0]}") for number in range(ABSENT)]
    repeated = [SPELLINGS[0](url) for url in plain[:REPEATED]]
    return [
        *plain,
        *respelled,
        *(address[number] for number in kept.tolist()),
        *absent,
        *UNREADABLE,
        *repeated,
    ]


def _hosts() -> list[str]:
    return [GALLERY, BESIDE, *(f"img{number}.{ZONES[number % len(ZONES)]}" for number in range(1, 1500))]


def _address(number: int, host: str) -> str:
    """The address of a picture; one in sixteen has a letter that needs an escape, one in eleven has no TLS."""
    scheme = "http" if number % 11 == 0 else "https"
    folder = "caf%C3%A9" if number % 16 == 0 else f"{number % 89:02}"
    query = f"?w={640 + number % 7}" if number % 5 == 0 else ""
    return f"{scheme}://{host}/{folder}/{number:08}.jpg{query}"


def _upper_case_host(url: str) -> str:
    scheme, _, host, path = url.split("/", 3)
    return f"{scheme.upper()}//{host.upper()}/{path}"


def _default_port(url: str) -> str:
    scheme, _, host, path = url.split("/", 3)
    return f"{scheme}//{host}:{80 if scheme == 'http:' else 443}/{path}"


def _fragment(url: str) -> str:
    return f"{url}#photo"


def _dot_segments(url: str) -> str:
    scheme, _, host, path = url.split("/", 3)
    return f"{scheme}//{host}/old/.././{path}"


def _lower_case_escapes(url: str) -> str:
    return url.replace("%C3%A9", "%c3%a9")


# Other ways to write an address, which are the same address by the canonical form c1.
SPELLINGS: tuple[Callable[[str], str], ...] = (
    _upper_case_host,
    _default_port,
    _fragment,
    _dot_segments,
    _lower_case_escapes,
)
