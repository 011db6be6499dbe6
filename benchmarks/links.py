"""Checking links end to end: a real PostgreSQL and Valkey, worker processes, and a scripted server with many hosts.

    python benchmarks/links.py                    10,000 links
    python benchmarks/links.py --full             1,000,000 links

Every host has two links and is asked one thing at a time, a second apart: its robots.txt, then each link. So how many
links a second there are by the clock is a matter of how many hosts are under way, that is of workers, until the cores are
busy, also with the server that is asked, which a production machine does not run. What a link costs is CPU time: of the
workers, the database and the broker together. The server keeps the time between any two requests of a host, and this ends
with an error where one came too early or a link was not asked.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from measure import Figures, Goal, Job, finish, parse_options
from scripted import serve
from server import ROOT, server

if TYPE_CHECKING:
    from collections.abc import Callable

PER_HOST = 2
ADDRESSES = 2_000  # one of them is asked but 20 times a second
WORKERS = 12
LONGEST = 3_600
EACH = 0.5  # seconds between two looks
WAKES = 10  # looks
LONG_ENOUGH = 100_000  # links, for the clock: of a short run half is the seconds that each host is left alone
POLITE = 0.99  # of a second, by the server's clock

FOUND = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n"
NONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

FILL = """
INSERT INTO registry_host (name, due_at, next_at, delay, fails, covers_subdomains)
SELECT 'h' || n || '.example.com', now(), now(), 1, 0, false FROM generate_series(0, %(hosts)s - 1) AS n;
INSERT INTO registry_link (key, url, host_id, state, outcome, status, target, opt_outs, failures, host_failures, due_at)
SELECT sha256(url::bytea), url, id, 'unchecked', '', 0, '', '{}', 0, 0, now()
FROM (SELECT id, 'http://' || name || ':%(port)s/' || id || '-' || n || '.jpg' AS url
      FROM registry_host, generate_series(1, %(each)s) AS n) AS made;
INSERT INTO registry_panelrow (panel_id, link_id, shard_id, row, hashes)
SELECT %(panel)s, id, %(shard)s, id, '{}' FROM registry_link;
ANALYZE;
"""


class Log:
    """What the hosts were asked, none of which has a robots.txt."""

    def __init__(self) -> None:
        self.links = 0
        self.closest = math.inf  # seconds between two requests of a host
        self._asked: dict[bytes, float] = {}

    def answer(self, asked: bytes) -> bytes:
        """Answer one short request."""
        now = time.monotonic()
        host = asked[asked.index(b"\r\nHost: ") + 8 :].split(b"\r\n", 1)[0]
        self.closest = min(self.closest, now - self._asked.get(host, -math.inf))
        self._asked[host] = now
        if b" /robots.txt " in asked[:24]:
            return NONE
        self.links += 1
        return FOUND


def address(number: int) -> bytes:
    """The hosts share some addresses, as many do in a rented server: that of h258.example.com is 127.1.1.2."""
    return bytes((127, 1, *divmod(number % ADDRESSES, 256)))


def workers(environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """One Celery worker with its pool."""
    options = f"--concurrency={WORKERS} -Q links --loglevel=warning --without-gossip --without-mingle"
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "registry.celery", "--quiet", "worker", *options.split()],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )


def spent(processes: list[psutil.Process]) -> float:
    """CPU seconds of these processes, and of those that they have waited for."""
    seconds = 0.0
    for one in processes:
        with suppress(psutil.NoSuchProcess):  # a worker of the database that ended
            seconds += sum(one.cpu_times()[:4])
    return seconds


def watch(
    pool: psutil.Process, servers: dict[str, list[psutil.Process]], is_done: Callable[[], bool]
) -> Figures:
    """Wait, and say what it took: seconds, CPU seconds of each of ours, and the most that one worker process held."""

    def used() -> dict[str, float]:
        return {
            "workers": spent([pool, *pool.children(recursive=True)]),
            **{name: spent(processes) for name, processes in servers.items()},
        }

    began, peak = time.perf_counter(), 0
    before = used()
    while not is_done():
        if time.perf_counter() - began > LONGEST:
            sys.exit("not done within the hour")
        for child in pool.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # one that made room for another
                peak = max(peak, child.memory_info().rss)
        time.sleep(EACH)
    parts = {f"CPU of {name}": seconds - before[name] for name, seconds in used().items()}
    return {"wall": time.perf_counter() - began, "cpu": sum(parts.values()), "peak": peak, **parts}


def servers_of(folder: Path) -> dict[str, list[psutil.Process]]:
    """The processes of the database and of the broker."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        for name in ("postgres", "valkey"):
            if line[1:4] == ["-m", "registry.embedded.keeper", name] and str(folder) in " ".join(line):
                found[name] = [process, *process.children(recursive=True)]
    return found


def check(links: int, folder: Path, port: int, dns: int) -> Figures:
    """Check that many links, all of which are due."""
    targets = ",".join(f"127.1.{n >> 8}.{n & 255}:{port}" for n in range(ADDRESSES))
    settings = {
        "LINKS_BATCHES": str(WORKERS),
        "LINKS_TEST_TARGETS": targets,
        "NAME_SERVERS": f"127.0.0.1:{dns}",
    }
    with server(folder, **settings) as environment:
        from datetime import UTC, date, datetime

        from django.db import connection

        from registry.accounts.models import Organisation
        from registry.datasets.models import Dataset, Shard, Version
        from registry.links.models import Host, Link, LinkPolicy, Observation, Panel
        from registry.links.schedule import is_anything_due
        from registry.links.tasks import links_check

        organisation = Organisation.objects.create(slug="bench", name="Bench")
        dataset = Dataset.objects.create(organisation=organisation, slug="bench", name="Bench")
        version = Version.objects.create(
            dataset=dataset, name="1", dated=date(2025, 1, 1), columns={"url": "url"}
        )
        Panel.objects.create(version=version, size=links)
        LinkPolicy.objects.create(dataset=dataset, daily_budget=links)
        shard = Shard.objects.create(digest="0" * 64, bytes=1, rows=links, format="csv", schema=[])
        names = {"hosts": links // PER_HOST, "each": PER_HOST, "port": port}
        with connection.cursor() as cursor:
            for statement in FILL.split(";\n"):
                if statement.strip():
                    given = {**names, "panel": version.pk, "shard": shard.pk}
                    cursor.execute(statement.replace("%(port)s", str(port)), given)
        begin = datetime.now(UTC)
        pool = workers(environment, folder)
        try:
            time.sleep(5)  # the pool is there
            wakes = 0
            # By an index: looking takes no time from what is measured.
            left = Host.objects.filter(due_at__lte=begin)

            def is_done() -> bool:
                """Whether nothing is left; as beat does, wakes who may have ended when all that was left had to rest."""
                nonlocal wakes
                if not left.exists():
                    return True
                for _ in range(WORKERS if wakes % WAKES == 0 and is_anything_due() else 0):
                    links_check.apply_async(expires=WAKES * EACH)
                wakes += 1
                return False

            figures = watch(psutil.Process(pool.pid), servers_of(folder), is_done)
        finally:
            pool.terminate()
            pool.wait(30)
        found = Counter(Link.objects.values_list("outcome", flat=True))
        if Observation.objects.count() != links or found != {"ok": links}:
            sys.exit(f"not every link was found alive: {dict(found)}")
    return figures


def main() -> None:
    """Start the server, check, and hold its log against what is polite."""
    if sys.argv[1:] == ["--serve"]:
        log = Log()
        serve(log.answer, address)
        print(json.dumps([log.links, log.closest]), flush=True)
        return
    options = parse_options(__doc__, rows=10_000, full=1_000_000, rounds=1)
    asked = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert asked.stdin is not None
    assert asked.stdout is not None
    port, dns = map(int, asked.stdout.readline().split())
    try:
        with tempfile.TemporaryDirectory(dir=options.data) as folder:
            figures = check(options.rows, Path(folder), port, dns)
        server_asked = psutil.Process(asked.pid)
        figures["CPU of the server that is asked"] = spent([server_asked, *server_asked.children()])
    finally:
        asked.stdin.close()
        said = asked.stdout.readline()
        asked.wait(10)
    links, closest = json.loads(said)
    if links != options.rows or closest < POLITE:
        sys.exit(f"{links:,} links were asked, some of one host {closest:.3f} s apart")
    figures |= {
        "links per second": options.rows / figures["wall"],
        "links per CPU second": options.rows / figures["cpu"],
        "least seconds between requests": closest,
    }
    goals = [
        Goal("links/s that two cores pay for", 2 * figures["links per CPU second"], 3_000, at_least=True),
        Goal("MB a worker process", figures["peak"] / 1e6, 150),
    ]
    if options.rows >= LONG_ENOUGH:
        goals.append(Goal("links/s by the clock", figures["links per second"], 3_000, at_least=True))
    sizes = {"links": options.rows, "hosts": options.rows // PER_HOST, "worker processes": WORKERS}
    finish("links", options, [Job("check links end to end", sizes, figures, {}, goals)])


if __name__ == "__main__":
    main()
