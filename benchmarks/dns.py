"""How many domains a CPU-second of the census asks resolvers for, beside a plain loop over aiodns in the same run.

    python benchmarks/dns.py                 20,000 domains each
    python benchmarks/dns.py --rows 5000     fewer

Each domain takes two questions, its name servers and its addresses, of a resolver on loopback. The resolver is a process of
its own, so only the asker's CPU time counts, all its threads included. `ask` is the asking and reading alone; `census` is
also what the census then makes of each answer beside the one before, which is all but the one statement that writes it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from measure import Figures, Goal, Job, finish, median, parse_options

ROOT = Path(__file__).resolve().parents[1]
GOAL = 10_000

OURS = """
import json, resource, sys, time
from registry.lib.safe_http.records import records_of

count, port = map(int, sys.argv[1:])
names = [f"d{n}.com" for n in range(count)]
began, used = time.perf_counter(), time.process_time()
found = records_of(names, [f"127.0.0.1:{port}"])
used, took = time.process_time() - used, time.perf_counter() - began
good = sum(one.name_servers == (f"ns1.{name}", f"ns2.{name}") and len(one.addresses) == 1 for name, one in zip(names, found))
print(json.dumps([good, used, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""

CENSUS = """
import json, os, resource, sys, time
nowhere = {"DATABASE_URL": "postgresql://nobody@/nowhere", "BROKER_URL": "redis+socket:///nowhere"}
os.environ |= {"DJANGO_SETTINGS_MODULE": "registry.settings", "EXPUNGE_MODE": "test", "SECRET_KEY": "x" * 50} | nowhere
import django
django.setup()
from datetime import UTC, datetime
from registry.lib.safe_http.records import records_of
from registry.links.domains.models import Domain
from registry.links.domains.states import after_census

count, port = map(int, sys.argv[1:])
now = datetime(2026, 1, 1, tzinfo=UTC)
domains = [
    Domain(name=f"d{n}.com", state="present", seen_at=now, name_servers=["ns1.other.net"] if n % 10 == 0 else [f"ns1.d{n}.com"])
    for n in range(count)
]
began, used = time.perf_counter(), time.process_time()
found = [
    after_census(domain, one, None, now)
    for domain, one in zip(domains, records_of([domain.name for domain in domains], [f"127.0.0.1:{port}"]))
]
used, took = time.process_time() - used, time.perf_counter() - began
good = sum(len(one.changes) == (n % 10 == 0) for n, one in enumerate(found))
print(json.dumps([good, used, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""

THEIRS = """
import asyncio, json, resource, sys, time
import aiodns

async def main(count, port):
    resolver = aiodns.DNSResolver(nameservers=[f"127.0.0.1:{port}"], timeout=2, tries=3)
    names = iter([f"d{n}.com" for n in range(count)])
    good = 0
    async def work():
        nonlocal good
        for name in names:
            servers = await resolver.query_dns(name, "NS")
            addresses = await resolver.query_dns(name, "A")
            good += len(servers.answer) == 2 and len(addresses.answer) == 1
    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*[work() for _ in range(256)])
    used, took = time.process_time() - used, time.perf_counter() - began
    print(json.dumps([good, used, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))

asyncio.run(main(*map(int, sys.argv[1:])))
"""

_A, _NS = 1, 2


def serve() -> None:
    """A resolver that knows every domain: ns1 and ns2 below it, and one address; prints its port and never ends."""
    servers = b"".join(b"\xc0\x0c\0\2\0\1\0\0\1\x2c\0\6\3" + name + b"\xc0\x0c" for name in (b"ns1", b"ns2"))
    address = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\x08\x08\x08\x08"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        server.bind(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        while True:
            data, sender = server.recvfrom(4096)
            end = data.index(b"\0", 12) + 5
            kind = data[end - 3]
            body, count = {_A: (address, 1), _NS: (servers, 2)}.get(kind, (b"", 0))
            head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0)
            server.sendto(head + data[12:end] + body, sender)


def run(script: str, domains: int, port: int) -> Figures:
    """Domains per CPU-second with CPU and wall seconds and peak bytes."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(domains), str(port)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        check=False,
        timeout=300,
    )
    if done.returncode:
        sys.exit(done.stderr)
    good, used, took, megabytes = json.loads(done.stdout)
    if good < 0.999 * domains:  # a few packets may be lost on a busy machine, three times in a row
        sys.exit(f"only {good} of {domains} domains were answered")
    return {
        "wall": took,
        "cpu": used,
        "peak": megabytes * (1 << 20),
        "domains per CPU second": domains / used,
    }


def main() -> None:
    """Start the resolver, measure in turns, and end it."""
    if sys.argv[1:] == ["--serve"]:
        serve()
        return
    options = parse_options(__doc__, rows=20_000, full=100_000)
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        scripts = {"ask": OURS, "census": CENSUS}
        if find_spec("aiodns"):  # a peer that is not installed is left out
            scripts["aiodns"] = THEIRS
        runs: dict[str, list[Figures]] = {name: [] for name in scripts}
        for _ in range(options.rounds):
            for name, script in scripts.items():
                runs[name].append(run(script, options.rows, port))
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()
    found = {name: median(ones) for name, ones in runs.items()}
    goal = Goal("domains per CPU second", found["census"]["domains per CPU second"], GOAL, at_least=True)
    job = Job(
        "census of domains",
        {"domains": options.rows},
        found["census"],
        {"aiodns, a plain loop": found["aiodns"]} if "aiodns" in found else {},
        [goal],
        {"asking alone": found["ask"]},
    )
    finish("dns", options, [job])


if __name__ == "__main__":
    main()
