"""A release whose making was interrupted goes on where it stopped, and comes out the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from expunge import rewrite
from expunge.errors import BadShard, ExpungeError, Interrupted, UsageError
from expunge.lists import Redaction, parse_entry
from expunge.shards.shard import HashingFile
from expunge.verify import verify_release
from tests.expunge.formats import PARQUET, TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import flip_byte, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.expunge.formats import Layout

NAMES = ("a/one", "a/two", "three", "four", "z/five")
LIST = [url_of(3), url_of(44), "host:img4.example.com"]
REDACTIONS = [Redaction(parse_entry(url_of(11)), "text")]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    rows = make_rows(100)
    layouts = (PARQUET[0], TEXT[0], TEXT[3], PARQUET[2], TEXT[10])
    for number, (name, layout) in enumerate(zip(NAMES, layouts, strict=True)):
        write_shard(tmp_path / "base", name, rows[number * 20 : number * 20 + 20], layout)
    return tmp_path / "base"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stop_after(shards: int, error: BaseException) -> Any:
    """A progress report that stops the run when so many shards are written."""

    def report(stage: str, done: int, total: int) -> None:
        if stage == "Writing shards" and done >= shards * 20:
            raise error

    return report


def interrupted(base: Path, output: Path, shards: int, **options: Any) -> Path:
    """Stop a run after some shards; returns the folder that it leaves."""
    with pytest.raises(KeyboardInterrupt):
        release_of(base, LIST, output, progress=stop_after(shards, KeyboardInterrupt()), **options)
    return output.with_name(f".{output.name}.partial")


def test_an_interrupted_run_leaves_its_finished_shards_and_nothing_else(base: Path, tmp_path: Path) -> None:
    partial = interrupted(base, tmp_path / "release", 3)
    files = {name for name in names_in(partial) if (partial / name).is_file()}
    lines = [json.loads(line) for line in (partial / ".finished").read_bytes().split(b"\n") if line]
    assert len(lines) == 2  # the third was on disk, but not yet noted
    assert files == {".finished", *(line["path"] for line in lines)}
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("form", ["compact", "aligned"])
def test_the_next_run_keeps_them_and_gives_the_same_bytes(
    base: Path, tmp_path: Path, form: str, workers: int
) -> None:
    options: dict[str, Any] = {"form": form, "redactions": REDACTIONS}
    whole = release_of(base, LIST, tmp_path / "whole", **options)
    partial = interrupted(base, tmp_path / "release", 4, **options)
    result = release_of(base, LIST, tmp_path / "release", workers=workers, **options)
    assert (whole.kept, result.kept) == (0, 3)
    assert result.root == whole.root
    assert contents(tmp_path / "release") == contents(tmp_path / "whole")
    assert not partial.exists()


def test_a_run_may_be_interrupted_many_times_and_at_any_stage(base: Path, tmp_path: Path) -> None:
    whole = release_of(base, LIST, tmp_path / "whole")
    for stage in ("Locating rows", "Writing shards", "Locating rows", "Reading back", "Looking again"):

        def stop(now: str, done: int, total: int, at: str = stage) -> None:
            if now == at and done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            release_of(base, LIST, tmp_path / "release", progress=stop)
    result = release_of(base, LIST, tmp_path / "release")
    assert (result.kept, result.root) == (5, whole.root)


def test_another_list_keeps_the_shards_of_which_it_takes_the_same(base: Path, tmp_path: Path) -> None:
    interrupted(base, tmp_path / "release", 5)
    longer = [*LIST, url_of(0)]
    result = release_of(base, longer, tmp_path / "release")
    whole = release_of(base, longer, tmp_path / "whole")
    assert result.root == whole.root
    first = next(shard for shard in result.shards if shard.removed > 5)
    assert first.removed == 6  # the row of url_of(0) beside its five
    assert result.kept == 3
    assert contents(tmp_path / "release") == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"form": "aligned"}, {"link": True}, {"redactions": REDACTIONS}])
def test_shards_made_in_another_way_are_not_kept(base: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    interrupted(base, tmp_path / "release", 5)
    result = release_of(base, LIST, tmp_path / "release", **change)
    assert result.kept == (3 if "redactions" in change else 0)
    assert result.root == release_of(base, LIST, tmp_path / "whole", **change).root


def test_another_version_of_the_engine_starts_anew(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(base, tmp_path / "release", 5)
    monkeypatch.setattr(rewrite, "__version__", "999")
    assert release_of(base, LIST, tmp_path / "release").kept == 0


def test_a_shard_that_changed_since_is_written_anew(base: Path, tmp_path: Path) -> None:
    interrupted(base, tmp_path / "release", 5)
    path = next(base.rglob("two.*"))
    path.write_bytes(path.read_bytes().replace(b"example.com", b"example.org"))
    result = release_of(base, LIST, tmp_path / "release")
    assert result.kept == 3
    assert result.root == release_of(base, LIST, tmp_path / "whole").root


def test_a_finished_shard_whose_bytes_are_not_what_was_noted_is_written_anew(
    base: Path, tmp_path: Path
) -> None:
    partial = interrupted(base, tmp_path / "release", 5)
    flip_byte(next(partial.rglob("one.*")), 9)
    next(partial.rglob("two.*")).unlink()
    result = release_of(base, LIST, tmp_path / "release")
    assert result.kept == 2
    assert result.root == release_of(base, LIST, tmp_path / "whole").root


@pytest.mark.parametrize("torn", [b'{"path": "data/a', b"\0" * 40, b'[1]\n{"path": 7}\n{}', b"\xff\n"])
def test_a_damaged_journal_costs_time_alone(base: Path, tmp_path: Path, torn: bytes) -> None:
    partial = interrupted(base, tmp_path / "release", 5)
    journal = partial / ".finished"
    lines = [line for line in journal.read_bytes().split(b"\n") if line]
    journal.write_bytes(b"\n".join(lines[:2]) + b"\n" + lines[2][:-9] + b"\n" + torn)
    interrupted(base, tmp_path / "release", 4)
    result = release_of(base, LIST, tmp_path / "release")
    assert result.kept == 3
    assert result.root == release_of(base, LIST, tmp_path / "whole").root


def test_a_journal_cannot_name_files_outside_the_folder(base: Path, tmp_path: Path) -> None:
    partial = interrupted(base, tmp_path / "release", 3)
    (tmp_path / "precious").touch()
    with (partial / ".finished").open("ab") as journal:
        journal.write(b'{"path": "../precious", "recipe": "", "sha256": "", "facts": {}}\n')
    release_of(base, LIST, tmp_path / "release")
    assert (tmp_path / "precious").exists()


def test_what_else_lies_in_the_unfinished_folder_does_not_get_into_the_release(
    base: Path, tmp_path: Path
) -> None:
    partial = interrupted(base, tmp_path / "release", 3)
    (partial / "data/extra.csv").write_text("url\n")
    (partial / "diff").mkdir()
    (partial / "diff/old").symlink_to(tmp_path)
    release_of(base, LIST, tmp_path / "release")
    verify_release(tmp_path / "release", integrity_only=True)


def test_a_wrong_argument_or_a_bad_shard_leaves_nothing_of_it(base: Path, tmp_path: Path) -> None:
    before = names_in(tmp_path)
    interrupted(base, tmp_path / "release", 3)
    with pytest.raises(UsageError):
        release_of(base, LIST, tmp_path / "release", columns={"url": "nope"})
    assert names_in(tmp_path) == before
    interrupted(base, tmp_path / "release", 3)
    (base / "bad.csv").write_bytes(b'url\n"')
    with pytest.raises(BadShard):
        release_of(base, LIST, tmp_path / "release")
    assert names_in(tmp_path) == {*before, "base/bad.csv"}


def test_a_full_disk_keeps_what_is_finished_and_says_so(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = rewrite.write_piece, 0

    def write(*args: Any, **options: Any) -> rewrite.Made:
        nonlocal written
        written += 1
        made = real(*args, **options)
        if written == 4:
            raise OSError(28, "No space left on device")
        return made

    monkeypatch.setattr(rewrite, "write_piece", write)
    with pytest.raises(ExpungeError, match=r"The disk is full: .* 3 finished files are kept in .*\.partial"):
        release_of(base, LIST, tmp_path / "release")
    assert release_of(base, LIST, tmp_path / "release").kept == 3


@pytest.mark.parametrize("layout", [PARQUET[0], TEXT[0]], ids=str)
@pytest.mark.parametrize(
    ("number", "said"), [(28, "The disk is full: "), (27, "release cannot be written: File too large")]
)
def test_a_write_that_fails_is_not_blamed_on_the_shard_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, number: int, said: str
) -> None:
    """Or what is finished would be thrown away with it."""

    def fail(_file: HashingFile, _data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    write_shard(tmp_path / "base", "a", make_rows(10), layout)
    write_shard(tmp_path / "base", "b", make_rows(20), layout)
    with monkeypatch.context() as patch:
        patch.setattr(HashingFile, "write", fail)
        with pytest.raises(Interrupted, match=said):
            release_of(tmp_path / "base", [url_of(15)], tmp_path / "release")
    assert release_of(tmp_path / "base", [url_of(15)], tmp_path / "release").kept == 1


def test_a_lost_worker_keeps_what_the_others_finished(tmp_path: Path, base: Path) -> None:
    """In a process of its own, for the pool starts from what the main program imports."""
    script = tmp_path / "run.py"
    script.write_text(LOST_WORKER)
    run = subprocess.run(
        [sys.executable, script, base, tmp_path / "release"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stdout.split() == ["Interrupted", "4", "True"], run.stderr


LOST_WORKER = """
import os, sys, time
from pathlib import Path
from expunge import rewrite
from expunge.clean import clean
from expunge.errors import Interrupted
from expunge.lists import parse_entry
from expunge.shards import find_shards
real = rewrite.write_piece
def write(item, **options):
    if item.source.name.startswith("z/") and os.environ.get("DIE"):
        time.sleep(1)
        os._exit(9)
    return real(item, **options)
rewrite.write_piece = write
def run(workers):
    return clean(find_shards([Path(sys.argv[1])]).shards, [parse_entry("host:img4.example.com")], Path(sys.argv[2]),
        dataset="d", version="v", workers=workers)
if __name__ == "__main__":
    os.environ["DIE"] = "1"
    try:
        run(2)
    except Interrupted as error:
        print(type(error).__name__)
    del os.environ["DIE"]
    result = run(1)
    print(result.kept, Path(sys.argv[2]).exists())
"""

KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from expunge.clean import clean
from expunge.lists import Redaction, parse_entry
from expunge.shards import find_shards
if __name__ == "__main__":
    def told(stage, done, total):
        print("progress", flush=True)
        sys.stdin.readline()

    result = clean(find_shards([Path(sys.argv[1])]).shards, [parse_entry("host:img4.example.com")], Path(sys.argv[2]),
        redactions=[Redaction(parse_entry("host:img3.example.com"), "text")], dataset="d", version="v",
        created=datetime(2026, 1, 1, tzinfo=UTC), workers=int(sys.argv[3]), progress=told)
    print("kept", result.kept, flush=True)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_at_random_points_ends_with_the_same_bytes(tmp_path: Path, workers: int) -> None:
    seed = 20261123 + workers
    random = Random(seed)
    for number in range(4):
        write_shard(
            tmp_path / "base", f"shard{number}", make_rows(1500), (PARQUET[2], TEXT[0], TEXT[10])[number % 3]
        )
    (tmp_path / "run.py").write_text(KILLED)

    def run(output: str, ticks: int | None = None) -> list[str]:
        """Run, and kill while it tells of its progress for the given time; returns what it printed."""
        command = [
            sys.executable,
            *map(str, (tmp_path / "run.py", tmp_path / "base", tmp_path / output, workers)),
        ]
        waits = subprocess.DEVNULL if ticks is None else subprocess.PIPE  # it goes on when it is answered
        with subprocess.Popen(command, stdin=waits, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            printed = []
            for line in process.stdout:
                printed.append(line)
                if len(printed) == ticks:
                    process.kill()
                elif process.stdin is not None:
                    print(file=process.stdin, flush=True)
        assert process.returncode == (0 if ticks is None else -signal.SIGKILL), f"seed {seed}"
        return printed

    printed = run("whole")
    assert printed[-1] == "kept 0\n"
    for _ in range(3 if workers == 1 else 1):  # each process of a pool takes its time to start
        run("release", random.randrange(1, len(printed) // 2))
        assert not (tmp_path / "release").exists()
    run("release")
    assert contents(tmp_path / "release") == contents(tmp_path / "whole"), f"seed {seed}"
    assert ".release.partial" not in names_in(tmp_path)
