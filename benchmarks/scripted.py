"""A web server and a name server for many hosts, as little as servers can be.

Whoever waits for them works in smaller steps, and on a small machine what they take is taken from what is measured. So a
request is short and comes whole, and its answer fits into the socket's buffer.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(answer: Callable[[bytes], bytes], address: Callable[[int], bytes]) -> None:
    """Print the ports of the web and of the name server, and serve until standard input ends.

    `answer(asked)` is what is answered to one or more requests, `address(n)` the four bytes of h<n>.example.com's address.
    """
    web = socket.create_server(("0.0.0.0", 0), backlog=4096)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Thousands of questions come at once; what does not fit is lost, and asked again a second later.
    names.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
    names.bind(("127.0.0.1", 0))
    names.setblocking(False)
    print(web.getsockname()[1], names.getsockname()[1], flush=True)
    # In a process of its own: between many connections, questions would wait until nobody does.
    if os.fork() == 0:
        web.close()
        _serve_names(names, address)
    else:
        names.close()
        _serve_web(web, answer)
        os.wait()


def _serve_web(web: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    ready = select.epoll()
    for one in (web, sys.stdin):
        ready.register(one, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in ready.poll():
            if descriptor == web.fileno():
                connection, _peer = web.accept()
                connections[connection.fileno()] = connection
                ready.register(connection, select.EPOLLIN)
            elif descriptor not in connections:
                return
            elif asked := _received(connections[descriptor]):
                connections[descriptor].send(answer(asked))
            else:
                connections.pop(descriptor).close()


def _serve_names(names: socket.socket, address: Callable[[int], bytes]) -> Never:
    ready = select.epoll()
    for one in (names, sys.stdin):
        ready.register(one, select.EPOLLIN)
    while all(descriptor == names.fileno() for descriptor, _ in ready.poll()):
        _answer_questions(names, address)
    os._exit(0)  # what was begun before the fork is the other's to end


def _answer_questions(names: socket.socket, address: Callable[[int], bytes]) -> None:
    """All that have come."""
    with suppress(BlockingIOError):
        while True:
            question, peer = names.recvfrom(4096)
            if found := _resolved(question, address):
                names.sendto(found, peer)


def _resolved(question: bytes, address: Callable[[int], bytes]) -> bytes | None:
    """The question with its answer; no host has an IPv6 address. None for somebody who thinks another server is still here."""
    end = question.index(b"\0", 12) + 5
    is_a = question[end - 4 : end - 2] == b"\0\1"
    number = question[14 : 13 + question[12]]
    if not number.isdigit():
        return None
    found = struct.pack(">HHHIH", 0xC00C, 1, 1, 300, 4) + address(int(number)) if is_a else b""
    head = question[:2] + struct.pack(">HHHHH", 0x8580, 1, is_a, 0, 0)
    return head + question[12:end] + found


def _received(connection: socket.socket) -> bytes:
    """What has come; nothing where the client hung up."""
    try:
        return connection.recv(1 << 16)
    except ConnectionError:
        return b""
