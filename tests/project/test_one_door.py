"""Nothing of the server asks another machine for anything but through `registry/lib/safe_http`.

Ruff refuses the libraries. What it cannot tell, a method of a socket or of an event loop, is looked for in the source.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = (
    "import requests",
    "import httpx",
    "import httpcore",
    "import urllib3",
    "import urllib.request",
    "from urllib import request",
    "from urllib.request import urlopen",
    "import http.client",
    "from http.client import HTTPSConnection",
    "import aiohttp",
    "import niquests",
    "import httplib2",
    "import curl_cffi",
    "from curl_cffi import requests as curl_requests",
    "import pycurl",
    "import primp",
    "import rnet",
    "import wreq",
    "import pyreqwest",
    "import treq",
    "import tornado.httpclient",
    "from twisted.web.client import Agent",
    "import boto3",
    "import botocore.session",
    "import aiobotocore",
    "import fsspec",
    "from fsspec.implementations.http import HTTPFileSystem",
    "import s3fs",
    "import gcsfs",
    "import adlfs",
    "import smart_open",
    "from pyarrow import fs",
    "import huggingface_hub",
    "import websockets",
    "import websocket",
    "import grpc",
    "import paramiko",
    "import asyncssh",
    "import aioftp",
    "import aiodns",
    "import pycares",
    "import dns.resolver",
    "import ftplib",
    "import telnetlib",
    "import smtplib",
    "import poplib",
    "import imaplib",
    "import nntplib",
    "import xmlrpc.client",
    "from socket import create_connection",
    "from socket import getaddrinfo, gethostbyname, gethostbyname_ex",
    "import socket; socket.create_connection(('example.com', 80))",
    "import socket; socket.getaddrinfo('example.com', 80)",
    "import asyncio; asyncio.open_connection('example.com', 80)",
    "from asyncio import open_connection",
)
# Ways to a connection that no import tells.
CALLS = frozenset({"create_connection", "create_datagram_endpoint", "open_connection", "sock_connect"})
MAY_OPEN_SOCKETS = (
    "registry/lib/safe_http/",  # the door
    "registry/embedded/",  # starts our own servers and asks whether they are up
)


def refused(code: str, path: str) -> set[int]:
    """The lines of `code` that ruff refuses as it would in a file at this path of the project."""
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--output-format", "json",
         "--stdin-filename", path, "-"],
        input=code, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert ran.returncode in {0, 1}, ran.stderr
    found = json.loads(ran.stdout)
    assert {one["code"] for one in found} <= {"TID251"}
    return {one["location"]["row"] for one in found}


@pytest.mark.parametrize("folder", ["registry/links", "registry/lib", "takedowns/reports", "expunge"])
def test_ruff_refuses_every_other_client(folder: str) -> None:
    lines = refused("\n".join(CLIENTS), f"{folder}/probe.py")
    assert [line for number, line in enumerate(CLIENTS, 1) if number not in lines] == []


def test_ruff_lets_the_door_be_one_and_takes_no_offence_at_the_rest() -> None:
    assert refused("\n".join(CLIENTS), "registry/lib/safe_http/probe.py") == set()
    harmless = "from registry.lib.safe_http import fetch\nfrom urllib.parse import urlsplit\nimport socket\nimport http\n"
    assert refused(harmless, "registry/links/probe.py") == set()


def opens_sockets(code: str) -> list[str]:
    """The calls in a module that make a socket or let an event loop connect one."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module == "socket":
            found += [one.name for one in node.names if one.name in {"socket", "SocketType"}]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            if called in {"socket.socket", "socket.SocketType"} or node.func.attr in CALLS:
                found.append(called)
    return found


def test_no_other_module_of_the_server_opens_a_socket() -> None:
    open_them, excused = [], []
    for package in ("registry", "takedowns", "expunge"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name, code = path.relative_to(ROOT).as_posix(), path.read_text()
            if not name.startswith(MAY_OPEN_SOCKETS):
                open_them += [f"{name}: {call}" for call in opens_sockets(code)]
                excused += [name] if "noqa: TID251" in code else []
    assert open_them == []
    assert excused == []


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.socket().connect(('example.com', 80))",
        "from socket import socket\nsocket().connect(('example.com', 80))",
        "async def ask(loop):\n    await loop.create_connection(object, 'example.com', 80)",
        "async def ask(loop, one):\n    await loop.sock_connect(one, ('example.com', 80))",
    ],
)
def test_a_socket_is_found_where_one_is_opened(code: str) -> None:
    assert len(opens_sockets(code)) == 1
