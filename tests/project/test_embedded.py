from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from registry.embedded import EmbeddedError, laptop, postgres, start, wait_until_stopped
from registry.embedded.locks import is_held
from registry.embedded.processes import end_leftover
from registry.embedded.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def var() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="expunge with a space ") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "var"
        wait_until_stopped(Path(folder) / "var")


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else None


def holder(var: Path) -> subprocess.Popen[str]:
    """Another process that uses PostgreSQL under `var` until it is killed; it has it when this returns."""
    script = (
        f"import time; from pathlib import Path; from registry.embedded import start\n"
        f"start(Path({str(var)!r}), valkey=False, throwaway=True); print('has it', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def postmaster(var: Path) -> psutil.Process:
    return psutil.Process(int((var / "postgres/data/postmaster.pid").read_text().split()[0]))


def keeper(var: Path) -> psutil.Process:
    parent = postmaster(var).parent()
    assert parent is not None
    assert "registry.embedded.keeper" in parent.cmdline()
    return parent


def test_both_servers_answer_on_a_path_with_a_space_and_are_gone_afterwards(var: Path) -> None:
    with start(var, throwaway=True) as servers:
        assert ask(servers.database_url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        assert ask(servers.database_url, "SHOW listen_addresses") == ""
        assert servers.dead() == []
        sockets = [Path((var / name / "socket-folder").read_text()) for name in ("postgres", "valkey")]
        assert [folder.stat().st_mode & 0o777 for folder in sockets] == [0o700, 0o700]
        process = postmaster(var)
    wait_until_stopped(var)
    assert not process.is_running()
    assert not any(folder.exists() for folder in sockets)


def test_data_outlives_the_servers(var: Path) -> None:
    with start(var, valkey=False) as servers, psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    wait_until_stopped(var)
    with start(var, valkey=False) as servers:
        assert ask(servers.database_url, "SELECT number FROM kept") == 7


def test_a_server_that_is_not_asked_for_is_not_started(var: Path) -> None:
    with start(var, postgres=False, throwaway=True) as servers:
        assert servers.database_url == ""
        assert not (var / "postgres").exists()


def test_who_comes_second_shares_the_server_and_may_leave_last(var: Path) -> None:
    first = start(var, valkey=False, throwaway=True)
    second = start(var, valkey=False, throwaway=True)
    assert first.database_url == second.database_url
    first.stop()
    time.sleep(0.3)
    assert ask(second.database_url, "SELECT 1") == 1
    second.stop()


def test_two_folders_have_two_servers_at_once(var: Path) -> None:
    with (
        start(var / "a", valkey=False, throwaway=True) as one,
        start(var / "b", valkey=False, throwaway=True) as two,
    ):
        assert one.database_url != two.database_url
        assert ask(one.database_url, "SHOW data_directory") != ask(two.database_url, "SHOW data_directory")
    wait_until_stopped(var / "a")
    wait_until_stopped(var / "b")


def test_the_server_stops_when_its_only_user_is_killed(var: Path) -> None:
    user = holder(var)
    process = postmaster(var)
    kill(user)
    assert soon(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_killed_keeper_does_not_block_the_next_start(var: Path) -> None:
    user = holder(var)
    killed = keeper(var)
    killed.kill()
    # Not its end, but the end of its last thread gives the lock back.
    assert soon(lambda: not is_held(var / "postgres/keeper.lock"))
    with start(var, valkey=False, throwaway=True) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1
    kill(user)


def test_a_killed_server_is_noticed_and_does_not_block_the_next_start(var: Path) -> None:
    with start(var, valkey=False, throwaway=True) as servers:
        postmaster(var).kill()
        assert soon(lambda: servers.dead() == ["postgres"])
        with start(var, valkey=False, throwaway=True) as again:
            assert ask(again.database_url, "SELECT 1") == 1


def test_a_stale_process_number_that_somebody_else_has_now_does_not_block_and_is_spared(var: Path) -> None:
    with start(var, valkey=False, throwaway=True):
        pass
    wait_until_stopped(var)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (var / "postgres/data/postmaster.pid").write_text(f"{bystander.pid}\n{var}/postgres/data\n1\n5432\n")
        with start(var, valkey=False, throwaway=True) as servers:
            assert ask(servers.database_url, "SELECT 1") == 1
        assert bystander.poll() is None
        bystander.send_signal(signal.SIGKILL)


def test_a_leftover_is_ended_only_when_its_command_line_says_that_it_is_ours(tmp_path: Path) -> None:
    pid_file = tmp_path / "server.pid"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "of-ours"]) as leftover:
        pid_file.write_text(str(leftover.pid))
        end_leftover(pid_file, "of-others")
        assert leftover.poll() is None
        pid_file.write_text(str(leftover.pid))
        end_leftover(pid_file, "of-ours")
        assert leftover.wait(10) != 0
    assert not pid_file.exists()


def test_a_start_cut_short_in_initdb_leaves_nothing_that_counts(var: Path) -> None:
    (var / "postgres/data.new-1").mkdir(parents=True)
    (var / "postgres/data.new-1/PG_VERSION").write_text("18")
    with start(var, valkey=False, throwaway=True) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1
    assert not (var / "postgres/data.new-1").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand PostgreSQL to somebody else")
def test_root_in_a_closed_home_keeps_the_data_where_postgresql_can_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed home"
    closed.mkdir(mode=0o700)
    with start(closed / "var", valkey=False, throwaway=True) as servers:
        data = Path(str(ask(servers.database_url, "SHOW data_directory")))
        assert not data.is_relative_to(closed)
        assert data == Path((closed / "var/postgres/data-folder").read_text())
        assert data.stat().st_uid != 0
    wait_until_stopped(closed / "var")
    shutil.rmtree(closed / "var")  # a fresh start must not bring the old data back, nor leave it for ever
    with start(closed / "var", valkey=False, throwaway=True) as servers:
        assert ask(servers.database_url, "SHOW data_directory") != str(data)
        assert not data.exists()
    wait_until_stopped(closed / "var")
    shutil.rmtree(Path((closed / "var/postgres/data-folder").read_text()).parent)


def test_a_copy_of_the_binaries_runs_from_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "BINARIES", tmp_path / "cache")
    monkeypatch.setattr(postgres, "runs", lambda *_: False)
    install = postgres.installation(pwd.getpwuid(os.geteuid()))
    assert install.is_relative_to(tmp_path)
    for name in ("postgres", "initdb"):
        done = subprocess.run(
            [install / "bin" / name, "--version"], capture_output=True, text=True, check=True
        )
        assert "PostgreSQL) 18" in done.stdout
    assert (install / "bin/initdb").stat().st_mode & 0o005 == 0o005
    assert (install / "share/postgresql/postgres.bki").stat().st_mode & 0o004


def test_broken_data_gets_an_error_that_names_the_log(var: Path) -> None:
    with start(var, valkey=False, throwaway=True):
        pass
    wait_until_stopped(var)
    (var / "postgres/data/global/pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"postgres does not start: .*server\.log"):
        start(var, valkey=False, throwaway=True)


def test_a_var_that_is_a_file_gets_an_error(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(EmbeddedError, match="Cannot keep postgres in"):
        start(tmp_path / "var")


def test_a_laptop_gets_what_its_environment_lacks_and_keeps_its_secret_key(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for _ in range(2):
        for name in ("DATABASE_URL", "BROKER_URL", "EXPUNGE_MODE", "SECRET_KEY"):
            monkeypatch.setenv(name, "")  # so that monkeypatch puts the old value back
            monkeypatch.delenv(name)
        with laptop(var) as servers:
            assert os.environ["DATABASE_URL"] == servers.database_url
            assert os.environ["BROKER_URL"] == servers.broker_url
            assert os.environ["EXPUNGE_MODE"] == "demo"
            keys.append(os.environ["SECRET_KEY"])
        wait_until_stopped(var)
    assert keys[0] == keys[1]
    assert len(keys[0]) > 50
    assert (var / "secret-key").stat().st_mode & 0o777 == 0o600


def test_a_named_database_is_used_and_none_is_started(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/x")
    monkeypatch.setenv("BROKER_URL", "")
    monkeypatch.setenv("EXPUNGE_MODE", "production")
    with laptop(var):
        assert os.environ["DATABASE_URL"] == "postgresql://elsewhere/x"
        assert os.environ["BROKER_URL"].startswith("redis+socket:///tmp/expunge-")
        assert os.environ["EXPUNGE_MODE"] == "production"
    assert not (var / "postgres").exists()


def test_a_server_whose_starter_was_killed_before_it_was_ready_is_joined(var: Path) -> None:
    script = (
        f"from pathlib import Path; from registry.embedded import start\n"
        f"start(Path({str(var)!r}), valkey=False, throwaway=True)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    lock = var / "postgres/keeper.lock"
    assert soon(lambda: lock.exists() and is_held(lock))
    assert not (var / "postgres/server.json").exists()
    starter.kill()
    starter.wait()
    with start(var, valkey=False, throwaway=True) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1
