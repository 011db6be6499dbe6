"""Thousands of names may lead to one machine, which must not be asked for all of them at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from registry.links import checker, services
from registry.links.models import Link
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B = "127.0.0.2", "127.0.0.3"


class Machine:
    """Answers after `seconds`; keeps when it was asked, and how many requests it had at most at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[float] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.asked.append(time.monotonic())
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        answers(b"x")(connection, request)

    def busiest_second(self) -> int:
        return max(sum(since <= one < since + 1 for one in self.asked) for since in self.asked)


def test_many_names_of_one_address_are_asked_a_few_at_a_time(
    make_panel: MakePanel, settings: Settings
) -> None:
    machine = Machine(0.1)
    with NameServer() as names, WebServer(machine, host=A) as server:
        settings.NAME_SERVERS = [names.address]
        settings.LINKS_TEST_TARGETS = [f"{A}:{server.port}"]
        for n in range(60):
            names.knows(f"blog{n}.shared.com", A)
        make_panel([f"http://blog{n}.shared.com:{server.port}/1" for n in range(60)])
        assert services.links_check() == 60
    assert len(machine.asked) == 120
    assert machine.most <= 4
    assert machine.busiest_second() <= 26  # 20 a second, after 4 at once
    assert set(Link.objects.values_list("state", flat=True)) == {"alive"}


def test_a_worker_process_keeps_to_its_share_of_what_one_address_is_asked(
    make_panel: MakePanel, settings: Settings
) -> None:
    """With eight batches at a time: one request of each, and two or three a second."""
    machine = Machine(0.1)
    settings.LINKS_BATCHES = 8
    with NameServer() as names, WebServer(machine, host=A) as server:
        settings.NAME_SERVERS = [names.address]
        settings.LINKS_TEST_TARGETS = [f"{A}:{server.port}"]
        for n in range(4):
            names.knows(f"blog{n}.shared.com", A)
        make_panel([f"http://blog{n}.shared.com:{server.port}/1" for n in range(4)])
        assert services.links_check() == 4
    assert machine.most == 1
    assert machine.busiest_second() <= 3


def test_a_crowd_at_one_address_keeps_no_other_waiting(
    make_panel: MakePanel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the slots of the client either, of which there are fewer than names."""
    monkeypatch.setattr(checker, "BATCH_SECONDS", 6.0)
    monkeypatch.setattr(checker, "ROUND_SECONDS", 3.0)
    crowded, quiet = Machine(1.5), Machine(0.0)
    with NameServer() as names, WebServer(crowded, host=A) as many, WebServer(quiet, host=B) as one:
        settings.NAME_SERVERS = [names.address]
        settings.LINKS_TEST_TARGETS = [f"{A}:{many.port}", f"{B}:{one.port}"]
        for n in range(300):
            names.knows(f"blog{n}.shared.com", A)
        names.knows("quiet.example.net", B)
        last = f"http://quiet.example.net:{one.port}/1"
        make_panel([*(f"http://blog{n}.shared.com:{many.port}/1" for n in range(300)), last])
        began = time.monotonic()
        services.links_check()
        assert time.monotonic() - began < 12
    assert Link.objects.get(url=last).state == "alive"
    assert crowded.most <= 4
    # Who found no place was not asked, and stays due as it was.
    assert set(Link.objects.exclude(url=last).values_list("state", flat=True)) <= {"alive", "unchecked"}
    assert Link.objects.filter(state="unchecked", outcome="").count() > 250
