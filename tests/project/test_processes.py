from __future__ import annotations

import http.client
import os
import signal
import socket
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from celery import Celery
from django.db import OperationalError, connection

from registry.celery import app, beat_schedule
from registry.embedded import EmbeddedError
from registry.embedded.site import Site, answers, listen

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client
    from pytest_django.fixtures import Settings

    from registry.embedded import Servers
    from tests.processes import Gunicorn, Worker


def test_it_is_well_when_database_and_broker_answer(client: Client, db: None) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"database": True, "broker": True}
    assert "no-store" in answer["Cache-Control"]


def test_it_is_not_well_without_a_broker_and_says_no_more(client: Client, db: None) -> None:
    elsewhere = Celery("elsewhere", broker="redis+socket:///nowhere/secret.sock", set_as_current=False)
    with mock.patch("registry.views.celery", elsewhere):
        answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"database": True, "broker": False}
    assert b"secret" not in answer.content


def test_it_is_not_well_without_a_database(client: Client, db: None) -> None:
    with mock.patch.object(connection, "cursor", side_effect=OperationalError("secret")):
        answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["database"] is False
    assert b"secret" not in answer.content


def test_nobody_writes_to_it(client: Client, db: None) -> None:
    assert client.post("/healthz").status_code == 405


def test_the_web_answers_on_the_tests_own_database(live_site: Gunicorn) -> None:
    assert answers(live_site.url)


def test_the_api_page_loads_nothing_from_elsewhere(live_site: Gunicorn) -> None:
    there = http.client.HTTPConnection(live_site.url.removeprefix("http://"), timeout=10)
    there.request("GET", "/api/docs/")
    answer = there.getresponse()
    page = answer.read().decode()
    there.close()
    assert answer.status == 200
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "script-src 'self';" in answer.headers["Content-Security-Policy"] + ";"


def test_a_worker_takes_messages_and_comes_back_after_a_kill(worker: Worker) -> None:
    def pings() -> bool:
        return bool(app.control.ping(timeout=0.5))

    worker.wait_for(pings)
    worker.kill()
    assert not pings()
    worker.start()
    worker.wait_for(pings)


def test_a_taken_port_gives_the_next_free_one() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with listen("127.0.0.1", port) as other:
            assert port < other.getsockname()[1] < port + 100


def test_a_part_that_ends_is_named_and_the_others_are_stopped(servers: Servers, tmp_path: Path) -> None:
    from tests.processes import environment

    with Site(
        tmp_path, port=0, parts=["worker", "beat"], environment=environment(servers), logs=tmp_path
    ) as site:
        worker, beat = (site.processes[part] for part in ("worker", "beat"))
        os.kill(worker.pid, signal.SIGKILL)
        assert site.wait() == ["worker (status -9)"]
        assert beat.poll() is None
    assert beat.poll() is not None


def test_a_web_that_cannot_start_is_said_plainly(servers: Servers, tmp_path: Path) -> None:
    from tests.processes import environment

    broken = {**environment(servers), "EXPUNGE_MODE": "nonsense"}
    with pytest.raises(EmbeddedError, match="web ended while starting; see"):
        Site(tmp_path, port=0, parts=["web"], environment=broken, logs=tmp_path).start()
    assert "EXPUNGE_MODE" in (tmp_path / "web.log").read_text()


def test_beat_looks_for_releases_only_when_told_how_often(settings: Settings) -> None:
    settings.RELEASE_SCHEDULE = 0
    always = {
        "jobs_resume",
        "links_wake",
        "links_prioritise",
        "links_tidy",
        "opt_outs_wake",
        "domains_wake",
        "takeovers_sweep",
    }
    assert set(beat_schedule()) == always
    settings.RELEASE_SCHEDULE = 60
    assert beat_schedule()["releases_due"]["schedule"] == 60


def test_everything_that_beat_sends_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in beat_schedule().values()} <= set(app.tasks)


def test_no_test_reaches_another_machine() -> None:
    # pytest-socket warns before it raises, and a warning is an error here.
    with socket.socket() as outside, pytest.raises(UserWarning, match=r"192\.0\.2\.1"):
        outside.connect(("192.0.2.1", 80))
