from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from django.core.management import CommandError, call_command

from expunge.lists import parse_entry
from expunge.locate import locate
from expunge.shards import find_shards
from registry.accounts.models import Organisation, User
from registry.embedded import wait_until_stopped
from registry.embedded.locks import Lock
from registry.embedded.servers import ROOT
from takedowns.management.commands.demo import Command
from takedowns.management.demo import generate, people
from takedowns.management.demo.client import Client
from takedowns.management.demo.journal import Journal
from takedowns.management.demo.report import table
from takedowns.management.demo.steps import StepFailed, expect
from takedowns.management.demo.street import Street
from takedowns.management.demo.street import planted as planted_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import Settings

SMALL = 20_000  # rows


@pytest.fixture(scope="module")
def data() -> generate.Data:
    return generate.generate(rows=SMALL)


@pytest.fixture
def var() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="expunge with a space ") as folder:
        Path(folder).chmod(0o711)  # root runs PostgreSQL as a user who must get through
        yield Path(folder) / "var"
        wait_until_stopped(Path(folder) / "var")


def run_demo(var: Path) -> subprocess.CompletedProcess[str]:
    """Run `manage.py demo` as `make demo ONCE=1` does, away from the servers of the tests."""
    # Empty is as good as absent, and keeps a developer's .env out.
    ours = dict.fromkeys(("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "IMPORT_ROOTS", "STORE"), "")
    environment = os.environ | ours | {"EXPUNGE_MODE": "demo", "VAR_DIR": str(var), "ONCE": "1"}
    environment["DJANGO_SETTINGS_MODULE"] = "registry.settings"
    command = [sys.executable, "manage.py", "demo", "--port", "0"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )


def figures(printed: str, what: str) -> list[int]:
    """The numbers of a line of the printed table."""
    line = re.search(rf"^  {what} +([-0-9, ]+)$", printed, re.MULTILINE)
    assert line, printed
    return [int(number.replace(",", "")) for number in line[1].split()]


def test_the_same_seed_gives_the_same_and_another_does_not(data: generate.Data) -> None:
    again = generate.generate(rows=SMALL)
    assert again.table.equals(data.table)
    assert np.array_equal(again.subset, data.subset)
    assert [report.lines for report in again.reports] == [report.lines for report in data.reports]
    assert not generate.generate(seed=1, rows=SMALL).table.equals(data.table)


def test_hosts_are_reserved_for_examples(data: generate.Data) -> None:
    hosts = {url.split("/")[2].lower().split(":")[0] for url in data.table["URL"].to_pylist() if url}
    assert len(hosts) > 100
    assert all(re.search(r"(\.example|\bexample\.(com|net|org))$", host) for host in hosts)


def test_urls_repeat_across_shards_and_some_rows_lack_them(data: generate.Data) -> None:
    urls = data.table["URL"].to_pylist()
    half = len(urls) // 2
    assert set(urls[:half]) & set(urls[half:]) - {None}
    assert 0 < data.table["URL"].null_count < SMALL // 100
    assert data.table["TEXT"].null_count


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_engine_finds_exactly_the_planted_rows(data: generate.Data, tmp_path: Path, number: int) -> None:
    generate.write(data, tmp_path / "dataset", tmp_path / "subset")
    report = data.reports[number]
    lines = [line for line in report.lines if line not in generate.UNREADABLE]
    entries = [parse_entry(line) for line in lines]
    found = locate(find_shards([tmp_path / "dataset"]).shards, entries)
    offset = SMALL // generate.SHARDS
    rows = [
        place * offset + row for place, shard in enumerate(found.shards) for row in shard.positions.tolist()
    ]
    assert sorted(rows) == np.flatnonzero(report.located).tolist()
    kept = [parse_entry(report.lines[line]) for line in report.kept]
    assert {entry.key for entry in kept} <= {entry.key for entry in entries}
    assert report.located.sum() == report.rows.sum() + (len(kept) if kept else 0)
    subset = locate(find_shards([tmp_path / "subset"]).shards, entries).shards[0]
    assert subset.positions.tolist() == np.flatnonzero(report.located[data.subset]).tolist()


def test_reports_overlap(data: generate.Data) -> None:
    assert data.gone.sum() < sum(report.rows.sum() for report in data.reports)


def test_a_file_that_is_there_is_not_written_again(data: generate.Data, tmp_path: Path) -> None:
    generate.write(data, tmp_path / "dataset", tmp_path / "subset")
    kept = tmp_path / "dataset/part-00000.parquet"
    before = kept.stat().st_mtime_ns
    (tmp_path / "dataset/part-00001.parquet").unlink()
    generate.write(data, tmp_path / "dataset", tmp_path / "subset")
    assert kept.stat().st_mtime_ns == before
    assert (tmp_path / "dataset/part-00001.parquet").exists()


def test_the_journal_is_for_its_owner_alone_and_begins_anew_for_another_database(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.belongs_to("one")
    password = journal.password("demo-mira")
    journal.keep_secret("RPT-2026-0001", "secret")
    journal.step_done("Report", 2.0)
    journal.step_done("Report", 1.0)
    journal.finish("today")
    assert (tmp_path / "journal.json").stat().st_mode & 0o777 == 0o600
    again = Journal(tmp_path / "journal.json")
    again.belongs_to("one")
    assert (again.finished, again.seconds, again.status_secrets) == (
        "today",
        {"Report": 2.0},
        {"RPT-2026-0001": "secret"},
    )
    again.belongs_to("another")
    assert (again.finished, again.seconds, again.status_secrets) == ("", {}, {})
    assert again.password("demo-mira") == password


def test_people_get_the_passwords_that_are_printed_and_are_made_once(db: None, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    organisation = people.people_make(journal)
    assert people.people_make(journal) == organisation
    assert organisation.memberships.count() == 3
    mira = User.objects.get(username="demo-mira")
    assert mira.check_password(journal.password("demo-mira"))
    assert not mira.is_superuser


def test_a_new_run_revokes_the_api_keys_of_a_killed_one(db: None, tmp_path: Path) -> None:
    people.people_make(Journal(tmp_path / "journal.json"))
    people.api_key(people.PROPOSER)
    people.api_key(people.PROPOSER)
    mira = User.objects.get(username="demo-mira")
    assert mira.api_keys.filter(revoked_at=None).count() == 1
    people.api_keys_revoke(people.PROPOSER)
    assert not mira.api_keys.filter(revoked_at=None).exists()


def test_it_leaves_a_database_alone_that_holds_the_work_of_others(db: None, tmp_path: Path) -> None:
    people.refuse_foreign_database()
    Organisation.objects.create(slug="somebody", name="Somebody")
    with pytest.raises(StepFailed, match="none of them is the demo's"):
        people.refuse_foreign_database()
    Organisation.objects.create(slug=people.ORGANISATION, name="Demo Lab")
    people.refuse_foreign_database()


def test_it_does_not_run_in_production(settings: Settings) -> None:
    settings.MODE = "production"
    with pytest.raises(CommandError, match="EXPUNGE_MODE is production"):
        call_command("demo", "--once")


def test_a_second_demo_at_the_same_time_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    (tmp_path / "demo").mkdir()
    with Lock(tmp_path / "demo/lock").own(), pytest.raises(CommandError, match="running already"):
        call_command("demo", "--once")


def test_a_wrong_figure_fails_the_step() -> None:
    expect("rows", 3, 3)
    with pytest.raises(StepFailed, match="rows: found 2, planted 3"):
        expect("rows", 2, 3)


def test_numbers_are_aligned_to_the_right() -> None:
    assert table([("a", "1,000", "x"), ("bb", "-5", "yy")]) == ["a   1,000  x", "bb     -5  yy"]


def test_the_servers_of_the_links_answer_what_is_planted_and_keep_a_log() -> None:
    with Street() as street:
        one = next(one for one in planted_links(street.port) if one.state == "moved")
        client = Client(f"http://{one.host}:{street.port}")
        assert client.status(one.path) == 301
        assert street.unwanted() == 0
        assert client.status("/private/0.jpg") == 200
        assert [(asked.method, asked.host) for asked in street.log] == [("GET", one.host)] * 2
        assert street.unwanted() == 1
        assert street.shortest_pause() < 1
        with pytest.raises(StepFailed, match="taken by another program"):
            Street(street.port)


def test_a_finished_demo_is_shown_though_its_port_is_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    with Street() as taken:
        journal.keep_street_port(taken.port)
        with pytest.raises(StepFailed, match="taken by another program"):
            Command().street(journal)
        journal.finish("today")
        with Command().street(journal) as street:
            assert street.port != taken.port
    with Command().street(journal) as street:
        assert street.port == taken.port


@pytest.mark.demo
def test_the_whole_job_runs_and_a_second_run_shows_it(var: Path) -> None:
    first = run_demo(var)
    assert first.returncode == 0, first.stdout + first.stderr
    planted = generate.generate()
    gone = [int(planted.gone.sum()), int(planted.gone[planted.subset].sum())]
    before = [len(planted.table), len(planted.subset)]
    assert figures(first.stdout, "before") == before
    assert figures(first.stdout, "removed") == gone
    assert figures(first.stdout, "after") == [
        rows - removed for rows, removed in zip(before, gone, strict=True)
    ]
    for status in ("exit status 1", "exit status 0", "EXP-", "demo-noor"):
        assert status in first.stdout
    states = Counter(one.state for one in planted_links(8099))
    links = {"alive": "alive", "moved": "moved", "failing": "failing", "cannot be told": "unverifiable"}
    for label, state in links.items():
        # The link that somebody reported cannot be told either: nobody asked for it.
        assert figures(first.stdout, label) == [states[state] + (state == "unverifiable")]
    assert "none for the link that was reported, none for what robots.txt denies" in first.stdout
    assert "/datasets/demo-links/versions/2024-03/links/" in first.stdout

    second = run_demo(var)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Nothing is repeated" in second.stdout
    for line in ("before", "removed", "after", *links):
        assert figures(second.stdout, line) == figures(first.stdout, line)

    wait_until_stopped(var)
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "environ"])
        if str(var) in " ".join(process.info["cmdline"] or [])
        or (process.info["environ"] or {}).get("VAR_DIR") == str(var)
    ]
    assert left == []
