"""The command as a process: terminals, pipes, signals, and a long list."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from expunge.cli.terminal import Terminal
from tests.expunge.formats import PARQUET, TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import COMMAND, expunge, names_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    write_shard(tmp_path / "base", "two", make_rows(30)[20:], TEXT[0])
    (tmp_path / "list.txt").write_text(f"{url_of(3)}\n{url_of(3)}#again\nhost:absent.example\n")
    return tmp_path / "base"


def clean(base: Path, *options: object) -> tuple[object, ...]:
    return (
        "clean",
        base,
        "--remove",
        base.parent / "list.txt",
        "--output",
        base.parent / "release",
        *options,
    )


def in_terminal(*arguments: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command with a terminal as stderr; exit code and what the terminal got."""
    screen, end = pty.openpty()
    process = subprocess.Popen(
        list(map(str, arguments)),
        stdout=subprocess.PIPE,
        stderr=end,
        env={**os.environ, **(environment or {})},
    )
    os.close(end)
    shown = b""
    while True:
        try:
            block = os.read(screen, 65536)
        except OSError:  # Linux tells so that the other end is closed
            break
        if not block:
            break
        shown += block
    process.communicate(timeout=60)
    os.close(screen)
    return process.returncode, shown.decode()


IMPATIENT = "import expunge.cli.terminal as t; t._PATIENCE_SECONDS = 0; from expunge.cli import main; main()"


def test_a_bar_is_drawn_on_a_terminal_for_long_work_only(base: Path) -> None:
    options = [str(one) for one in clean(base)]
    code, shown = in_terminal(sys.executable, "-c", IMPATIENT, *options, environment={"TERM": "xterm"})
    assert code == 0, shown
    assert "Locating rows" in shown
    assert "Reading back" in shown
    options[-1] += "2"
    code, shown = in_terminal(COMMAND, *options, environment={"TERM": "xterm"})
    assert code == 0
    assert "Locating rows" not in shown
    options[-1] += "3"
    code, shown = in_terminal(
        sys.executable, "-c", IMPATIENT, *options, "--quiet", environment={"TERM": "xterm"}
    )
    assert code == 0
    assert "Locating rows" not in shown


def test_no_bar_in_a_pipe_whatever_the_environment_says(base: Path) -> None:
    options = [str(one) for one in clean(base)]
    run = subprocess.run(
        [sys.executable, "-c", IMPATIENT, *options],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"},
    )
    assert "Locating" not in run.stderr
    assert "Locating" not in run.stdout


# Waits in the middle of the writing, with a file half made.
SLOW = """
import sys, time, expunge.shards.text as text
def wait(*_):
    print("waiting", file=sys.stderr, flush=True)
    for _ in range(600):  # a signal that comes just before a sleep does not end it
        time.sleep(0.1)
    return []
text.TextShard._without = wait
from expunge.cli import main
main()
"""


def start_slow(*arguments: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"waiting" in line:
            return process
    raise AssertionError(process.wait())


def test_a_killed_run_does_not_stop_the_next(base: Path) -> None:
    (base.parent / "list.txt").write_text(f"{url_of(25)}\n")
    process = start_slow(*clean(base))
    second = expunge(*clean(base))
    assert second.returncode == 2
    assert "Another run is building" in second.stderr
    process.kill()
    process.communicate()
    assert ".release.partial" in names_in(base.parent)
    assert not (base.parent / "release").exists()
    assert expunge(*clean(base)).returncode == 0
    assert expunge("verify", base.parent / "release", "--integrity-only").returncode == 0
    assert ".release.partial" not in names_in(base.parent)


def test_ctrl_c_removes_what_was_being_written_and_keeps_what_was_finished(base: Path) -> None:
    (base.parent / "list.txt").write_text(f"{url_of(25)}\n")
    before = names_in(base.parent)
    process = start_slow(*clean(base))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1].startswith("error: Stopped. What is finished is kept")
    assert b"Traceback" not in err
    partial = ".release.partial"
    kept = {"", "/.finished", "/data", "/data/one.parquet"}
    assert names_in(base.parent) == {*before, *(partial + name for name in kept)}
    again = expunge(*clean(base))
    assert (again.returncode, "1 of 2 shards were kept" in again.stderr) == (0, True)


def test_a_reader_that_stops_is_not_told_that_it_is_affected(base: Path) -> None:
    """1 would say so; and what is still in Python's buffer must not make it complain at its end."""
    process = subprocess.Popen(
        [COMMAND, "key", *[f"https://a.example/{number}" for number in range(4000)]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (127, b"error: Whoever read the output stopped before its end.\n")


CHILDREN = """
import os, sys, time
from expunge.pool import map_shards
from expunge.progress import quiet
def work(shared, item, advance):
    with open(f"{shared}/{os.getpid()}", "w"):
        pass
    time.sleep(60)
if __name__ == "__main__":
    map_shards(work, sys.argv[1], [1, 2], workers=2, stage="s", total=1, progress=quiet)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_command(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "work.py").write_text(CHILDREN)
    (tmp_path / "pids").mkdir()
    process = subprocess.Popen(
        [sys.executable, tmp_path / "work.py", tmp_path / "pids"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    process.wait(timeout=20)
    wait_until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as status:  # noqa: PTH123  no path of the file system
            return status.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_list_of_a_million_lines_works(base: Path) -> None:
    with (base.parent / "list.txt").open("w") as sink:
        sink.writelines(f"https://h{n % 999}.example.org/{n}.jpg\n" for n in range(999_999))
        sink.write(f"{url_of(3)}\n")
    measure = "import resource, subprocess, sys; c = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode; print(c, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    run = subprocess.run(
        [sys.executable, "-c", measure, COMMAND, *map(str, clean(base))],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    code, kib = map(int, run.stdout.split()[-2:])
    assert code == 0
    assert kib < 1_500_000


def test_a_stage_without_a_known_total_is_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr("expunge.cli.terminal._PATIENCE_SECONDS", 0.0)
        with Terminal().progress() as report:
            for stage, total in (("Reading", 0), ("Writing", 10), ("Reading", 0)):
                report(stage, 5, total)
        stderr.flush()
        drawn = os.read(leader, 65_536).decode()
    os.close(leader)
    assert "Reading" in drawn


def test_an_output_inside_the_input_is_refused(base: Path) -> None:
    run = expunge("clean", base, "--remove", base.parent / "list.txt", "--output", base / "release")
    assert run.returncode == 2
    assert "is inside" in run.stderr
    assert not (base / "release").exists()


def test_an_entry_that_no_column_can_answer_is_told_apart(base: Path) -> None:
    (base.parent / "list.txt").write_text(f"{url_of(3)}\nsha1:{'0' * 40}\n")
    run = expunge(*clean(base))
    assert "line 2 could not be looked for, no column carries sha1" in run.stderr
