"""Checking links end to end: a real PostgreSQL and Valkey, worker processes, and a scripted server with many hosts.

    python benchmarks/links.py                    10,000 links
    python benchmarks/links.py --full             1,000,000 links

Every host has two links and is asked one thing at a time, a second apart: its robots.txt, then each link. So how many
links a second there are is a matter of how many hosts are under way, that is of workers; what a link costs is CPU time,
and that is what counts: of the workers, the database and the broker together, not of the server that is asked, which a
production machine does not run. The server keeps the time between any two requests of a host, and this ends with an error
where one came too early or a link was not asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
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
from server import ROOT, server

if TYPE_CHECKING:
    from collections.abc import Callable

PER_HOST = 2
ADDRESSES = 200
WORKERS = 4
LONGEST = 3_600
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


class Web(asyncio.Protocol):
    """Many hosts, none of which has a robots.txt; keeps when each was asked."""

    asked: dict[bytes, float] = {}  # one log for all connections
    links = 0
    closest = 1e9

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # it is one
        """Remember where to answer."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """One short request, come whole."""
        now = time.monotonic()
        host = data[data.index(b"\r\nHost: ") + 8 :].split(b"\r\n", 1)[0]
        Web.closest = min(Web.closest, now - self.asked.get(host, -1e9))
        self.asked[host] = now
        robots = b" /robots.txt " in data[:24]
        Web.links += not robots
        self.transport.write(NONE if robots else FOUND)


async def serve() -> None:
    """The web and the name server; prints their ports, and the log when its standard input ends."""
    loop = asyncio.get_running_loop()
    web = await loop.create_server(Web, "0.0.0.0", 0, backlog=4096)
    names, _ = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    # Thousands of questions come at once; what does not fit is lost, and asked again a second later.
    names.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
    print(web.sockets[0].getsockname()[1], names.get_extra_info("sockname")[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps([Web.links, Web.closest]), flush=True)


class Names(asyncio.DatagramProtocol):
    """The hosts share some addresses, as many do in a rented server; none has an IPv6 address."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # it is one
        """Remember where to answer."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Repeat the question and answer it: h258.example.com is 127.1.0.58."""
        end = data.index(b"\0", 12) + 5
        is_a = data[end - 4 : end - 2] == b"\0\1"
        number = data[14 : 13 + data[12]]
        if not number.isdigit():  # of somebody else, who thinks that another server is still here
            return
        address = bytes((127, 1, 0, int(number) % ADDRESSES))
        answer = struct.pack(">HHHIH", 0xC00C, 1, 1, 300, 4) + address if is_a else b""
        head = data[:2] + struct.pack(">HHHHH", 0x8580, 1, is_a, 0, 0)
        self.transport.sendto(head + data[12:end] + answer, addr)


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
            peak = max(peak, child.memory_info().rss)
        time.sleep(0.5)
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
    targets = ",".join(f"127.1.0.{n}:{port}" for n in range(ADDRESSES))
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
            for _ in range(WORKERS):
                links_check.apply_async()
            left = Host.objects.filter(
                due_at__lte=begin
            )  # by an index: looking takes no time from what is measured
            figures = watch(psutil.Process(pool.pid), servers_of(folder), lambda: not left.exists())
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
        asyncio.run(serve())
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
        Goal("links/s on two cores", 2 * figures["links per CPU second"], 3_000, at_least=True),
        Goal("MB a worker process", figures["peak"] / 1e6, 150),
    ]
    sizes = {"links": options.rows, "hosts": options.rows // PER_HOST, "worker processes": WORKERS}
    finish("links", options, [Job("check links end to end", sizes, figures, {}, goals)])


if __name__ == "__main__":
    main()
