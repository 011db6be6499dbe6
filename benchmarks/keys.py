"""How fast keys are computed, in CPU seconds of one core, beside DuckDB's sha256 and a plain loop in the same run.

    python benchmarks/keys.py                     1,000,000 URLs, then 1,000,000 mutated ones held against the parser
    python benchmarks/keys.py --full              as many URLs, ten times as many mutated

One URL in twenty is not its own c1 form, so that the parser has to decide on it; in published lists of links it is one in
two hundred. The mutated URLs prove that the fast path says what the parser says: the first that differs ends the run.
"""

from __future__ import annotations

import random
import string
import sys
import time
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
from measure import Goal, Job, finish, parse_options, take_turns, timed

from expunge.keys import KeyKind, canonical_url, url_keys

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterable

    from measure import Figures

BATCH = 65_536
GOALS = {"url.raw.sha256": 2.0, "url.c1.sha256": 1.0}
"""Million rows a second on one core."""

SEEDS = (
    "https://img1.example.com/wp-content/uploads/a_b-c.jpg?w=300&h=%C3%A9",
    "http://a-b.example.co.uk/a/b/../c/.d/%2E%2e/e~f;g=1,2@3:4",
    "https://user:pass@x.de:8080/^/{a}|b?q='r'#s",
    "HTTP://xn--bcher-kva.example/%7Ea/./b//c?",
    "https://[2001:db8::1]/a",
    "http://127.0.0.1/a",
    "https://x.de/",
)
ESCAPES = (
    r"%2E %2e %2F %5E %5e %41 %4 % /. /.. ../ // -- xn-- xn--a .1 1.2 .0x 0x7f :80 :443 '' ?? ## @ @@ \ "
)
LETTERS = "éß\u3164\u3002\uff0e\u2603\U0001f600\x00\x7f\u200d\u00ad"
PIECES = [*string.printable, *LETTERS, *ESCAPES.split()]


def make_urls(count: int) -> list[pa.Array]:
    """Batches of URLs as image links look."""
    rng = np.random.default_rng(2026)
    digits = rng.bytes(16 * count).hex()
    unusual = (
        "HTTPS://IMG{}.example.com/{}/{}.jpg",
        "https://img{}.example.com/{}/größe {}.jpg",
        "https://img{}.example.com/{}/{}.jpg#top",
    )
    usual = "https://img{}.example.com/{}/wp-content/uploads/{}.jpg"
    urls = [
        (usual if row % 20 else unusual[row % 3]).format(host, digits[32 * row : 32 * row + 16], row)
        for row, host in enumerate(rng.integers(0, 20_000, count).tolist())
    ]
    return [pa.array(urls[first : first + BATCH]) for first in range(0, count, BATCH)]


def plain_loop(batch: pa.Array) -> list[bytes]:
    """What anybody would write."""
    return [sha256(url.encode()).digest() for url in batch.to_pylist()]


def duckdb_sha256(connection: duckdb.DuckDBPyConnection) -> Callable[[pa.Array], object]:
    """DuckDB on one thread, to digests."""

    def run(batch: pa.Array) -> object:
        table = pa.table({"url": batch})
        return connection.from_arrow(table).select("unhex(sha256(url))").to_arrow_table()

    return run


def cost(job: Callable[[pa.Array], object], batches: list[pa.Array]) -> Figures:
    """What a job takes for all batches, in this process, which has read them already."""
    with timed() as figures:
        for batch in batches:
            job(batch)
    return figures


def mutated(count: int, chance: random.Random) -> Iterable[str]:
    """URLs that differ from the seeds in one to four places."""
    for _ in range(count):
        url = chance.choice(SEEDS)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(url) + 1)
            url = url[:at] + chance.choice(PIECES) + url[at + chance.choice((0, 0, 1, 2)) :]
        yield url


def fuzz(count: int, seed: int) -> int:
    """Hold the keys of columns of mutated URLs against the parser, one by one. Returns how many differ."""
    chance = random.Random(seed)
    kinds = (KeyKind.URL_RAW, KeyKind.URL_C1)
    for first in range(0, count, BATCH):
        urls = list(mutated(min(BATCH, count - first), chance))
        found = url_keys(kinds, pa.array(urls))
        for url, raw, c1 in zip(urls, *(found[kind].to_pylist() for kind in kinds), strict=True):
            canonical = canonical_url(url)
            expected = None if canonical is None else sha256(canonical.encode()).digest()
            if c1 != expected or raw != sha256(url.encode()).digest():
                print(f"keys differ from the parser's: {url!a} (seed {seed})")
                return 1
    return 0


def _fuzzing(parser: ArgumentParser) -> None:
    parser.add_argument("--fuzz", type=int, help="mutated URLs: 1,000,000, --full 10,000,000; 0 for none")
    parser.add_argument("--seed", type=int, default=2026)


def main() -> None:
    """Measure and compare."""
    options = parse_options(__doc__, rows=1_000_000, full=1_000_000, rounds=5, full_rounds=5, add=_fuzzing)
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    raw, c1, host, domain = KeyKind.URL_RAW, KeyKind.URL_C1, KeyKind.HOST, KeyKind.DOMAIN
    peers: dict[str, Callable[[pa.Array], object]] = {
        "plain loop, raw": plain_loop,
        "DuckDB, raw": duckdb_sha256(connection),
    }
    kinds_of = {
        " + ".join(kinds): kinds
        for kinds in ((raw,), (c1,), (raw, c1), (host,), (domain,), (raw, c1, host, domain))
    }
    batches = make_urls(options.rows)
    work = {name: partial(url_keys, kinds) for name, kinds in kinds_of.items()} | peers
    found = take_turns({name: partial(cost, job, batches) for name, job in work.items()}, options.rounds)
    jobs = []
    for name in kinds_of:
        rate = options.rows / found[name]["cpu"] / 1e6
        goals = (
            [Goal("million rows per CPU second", rate, GOALS[name], at_least=True)] if name in GOALS else []
        )
        beside = {peer: found[peer] for peer in peers} if name == raw else {}
        jobs.append(Job(f"keys {name}", {"rows": options.rows}, found[name], beside, goals))

    count = (10_000_000 if options.full else 1_000_000) if options.fuzz is None else options.fuzz
    began = time.monotonic()
    differ = fuzz(count, options.seed)
    finish("keys", options, jobs, fuzzed=count, seed=options.seed, differ=differ)
    if count:
        verdict = "DIFFER" if differ else "as the parser says"
        print(f"{count:,} mutated URLs, seed {options.seed}: {verdict} ({time.monotonic() - began:.0f} s)")
    if differ:
        sys.exit(1)


if __name__ == "__main__":
    main()
