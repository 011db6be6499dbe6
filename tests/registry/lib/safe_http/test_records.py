from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.lib.safe_http.records import (
    Presence,
    Records,
    _name,
    _Question,
    _read,
    presences_of,
    records_of,
)
from tests.registry.lib.safe_http.servers import NXDOMAIN, SERVFAIL, NameServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def other() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


def name_server(domain: str, *servers: str) -> list[tuple[str, str, str, int]]:
    return [(domain, "NS", server, 60) for server in servers]


def test_it_tells_the_name_servers_and_addresses_in_order_of_the_domains(names: NameServer) -> None:
    names.zone["a.com"] = [
        *name_server("a.com", "NS2.Host.net", "ns1.host.net"),
        ("a.com", "A", "9.9.9.9", 60),
    ]
    names.zone["b.com"] = []
    found = records_of(["b.com", "a.com", "c.com"], [names.address])
    assert found == [
        Records(Presence.THERE, (), ()),
        Records(Presence.THERE, ("ns1.host.net", "ns2.host.net"), ("9.9.9.9",)),
        Records(Presence.ABSENT),
    ]


def test_many_domains_are_asked_for_at_once(names: NameServer) -> None:
    domains = [f"d{number}.com" for number in range(1_000)]
    for number, domain in enumerate(domains):
        names.zone[domain] = [(domain, "A", f"8.8.{number // 250}.{number % 250}", 60)]
    found = records_of(domains, [names.address])
    assert [one.addresses for one in found] == [(f"8.8.{n // 250}.{n % 250}",) for n in range(1_000)]


@pytest.mark.parametrize("name", ["", ".", "a..com", "ä.com", "x" * 64 + ".com", ".".join(["abcd"] * 60)])
def test_what_is_no_name_is_not_asked_for(names: NameServer, name: str) -> None:
    assert records_of([name], [names.address]) == [Records(Presence.UNKNOWN)]
    assert not names.asked


def test_a_server_that_fails_says_nothing_about_the_domain(names: NameServer) -> None:
    names.zone["a.com"] = SERVFAIL
    assert records_of(["a.com"], [names.address]) == [Records(Presence.UNKNOWN)]
    assert len(names.asked) == 6  # both questions, three times each


def test_the_next_resolver_is_asked_where_one_fails(names: NameServer, other: NameServer) -> None:
    names.zone["a.com"] = SERVFAIL
    other.knows("a.com", "9.9.9.9")
    found = records_of(["a.com"], [names.address, other.address])
    assert found == [Records(Presence.THERE, (), ("9.9.9.9",))]


def test_a_name_that_only_one_question_finds_is_there(names: NameServer) -> None:
    names.zone["a.com"] = lambda: [("a.com", "A", "9.9.9.9", 60)]
    assert records_of(["a.com"], [names.address])[0].presence is Presence.THERE


@pytest.mark.parametrize("garbage", [b"", b"x", b"\0" * 12, b"\xff" * 600])
def test_packets_that_are_no_answer_are_left_alone(
    names: NameServer, garbage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.lib.safe_http.records._TRY_SECONDS", 0.05)
    names.garbage = garbage or b"\n"
    assert records_of(["a.com"], [names.address]) == [Records(Presence.UNKNOWN)]


def test_silence_ends_in_time(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.lib.safe_http.records._TRY_SECONDS", 0.05)
    names.silent = True
    assert records_of(["a.com"], [names.address]) == [Records(Presence.UNKNOWN)]


def test_nobody_at_the_port_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.lib.safe_http.records._TRY_SECONDS", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert records_of(["a.com"], [f"127.0.0.1:{port}"]) == [Records(Presence.UNKNOWN)]


@pytest.mark.parametrize(
    "record",
    [
        b"",  # announced, and not there
        b"\xc0\x0c\0\2\0\1\0\0\0\1\0\2\xc0\xff",  # points beyond the end
        b"\xc0\x0c\0\2\0\1\0\0\0\1\0\2\xc0\x28",  # points at itself
        b"\xc0\x0c\0\2\0\1\0\0\0\1\0\6\4<b>\n\0",  # no host's name
        b"\xc0\x0c\0\2\0\1\0\0\0\1\0\5\3a b\0",  # nor this
        b"\xc0\x0c\0\2\0\1\0\0\0\1\0\1\0",  # the root
        b"\xc0\x0c\0\1\0\1\0\0\0\1\0\3\1\2\3",  # an address of three bytes, to the other question
    ],
)
def test_an_answer_that_cannot_be_read_says_nothing(record: bytes) -> None:
    for kind in (1, 2):
        wire = b"\1a\3com\0" + struct.pack(">HH", kind, 1)
        head = struct.pack(">HHHHHH", 1, 0x8180, 1, 1, 0, 0)
        answer = _read(head + wire + record, _Question(0, kind, wire))
        assert answer is None or answer[1] == ()


def test_a_truncated_answer_is_not_half_believed() -> None:
    wire = b"\1a\3com\0" + struct.pack(">HH", 2, 1)
    head = struct.pack(">HHHHHH", 1, 0x8380, 1, 0, 0, 0)
    assert _read(head + wire, _Question(0, 2, wire)) is None


def test_a_name_that_goes_round_in_a_circle_ends() -> None:
    with pytest.raises(ValueError, match="not a name"):
        _name(b"\0" * 12 + b"\1a\xc0\x0c", 12)


def test_an_answer_to_another_question_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.lib.safe_http.records._TRY_SECONDS", 0.05)
    with NameServer() as names:
        plain = names._answer
        monkeypatch.setattr(
            names, "_answer", lambda data: plain(data[:12] + data[12:].replace(b"\1a", b"\1b"))
        )
        names.knows("b.com", "9.9.9.9")
        assert records_of(["a.com"], [names.address]) == [Records(Presence.UNKNOWN)]


def test_presence_alone_takes_one_question_a_domain(names: NameServer) -> None:
    names.zone |= {"a.com": [], "b.com": NXDOMAIN}
    assert presences_of(["a.com", "b.com"], [names.address]) == [Presence.THERE, Presence.ABSENT]
    assert len(names.asked) == 2


def test_a_resolver_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="not an address"):
        records_of(["a.com"], ["resolver.example"])


@given(rest=st.binary(max_size=300), count=st.integers(0, 40), kind=st.sampled_from([1, 2]))
def test_no_bytes_make_the_reader_fail(rest: bytes, count: int, kind: int) -> None:
    wire = b"\1a\3com\0" + struct.pack(">HH", kind, 1)
    head = struct.pack(">HHHHHH", 1, 0x8180, 1, count, 0, 0)
    answer = _read(head + wire + rest, _Question(0, kind, wire))
    assert answer is None or all(0 < len(value) <= 253 and " " not in value for value in answer[1] or ())
