"""The command, run as people and scripts run it."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from expunge import __version__
from expunge.cli.commands import run as run_command
from expunge.signing import KeyFiles, generate_keys
from tests.expunge.formats import PARQUET, TEXT, make_rows, md5_of, url_of, write_shard
from tests.expunge.runs import expunge, names_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["expunge", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            run_command()
        captured = capsys.readouterr()
        code = left.value.code
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate_keys(tmp_path_factory.mktemp("keys") / "pair")


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


def test_the_main_job_by_hand(base: Path, keys: KeyFiles) -> None:
    release, copy = base.parent / "release", base.parent / "copy"
    made = expunge(
        *clean(
            base,
            "--minisign-key",
            keys.minisign_key,
            "--oms-key",
            keys.oms_key,
            "--created",
            "2026-11-23T12:00:00Z",
        )
    )
    assert made.returncode == 0
    assert re.fullmatch(r"[0-9a-f]{64}\n", made.stdout)
    assert "line 2 repeats an earlier entry" in made.stderr
    assert "line 3 matched no row.\n" in made.stderr
    assert "1 of 30 rows removed, 29 in" in made.stderr
    verified = expunge("verify", release, "--minisign-pub", keys.minisign_pub, "--oms-pub", keys.oms_pub)
    assert (verified.returncode, verified.stdout) == (0, made.stdout)
    pub = ("--minisign-pub", keys.minisign_pub)
    assert expunge("check", base, "--release", release, *pub).returncode == 1
    assert expunge("apply", release, base, "--output", copy, *pub).returncode == 0
    checked = expunge("check", copy, "--release", release, *pub, "--format", "json")
    assert (checked.returncode, json.loads(checked.stdout)["verdict"], checked.stderr) == (
        0,
        "not_affected",
        "",
    )


def test_cells_are_redacted_by_hand(base: Path, run: Any) -> None:
    (base.parent / "cells.csv").write_text(
        f"kind,value,column\nurl,{url_of(1)},text\nurl,{url_of(1)},text\nmd5,{md5_of(2)},\nid,99,text\n"
    )
    options = ("--redact", base.parent / "cells.csv", "--output", base.parent / "release")
    code, _, err = run("clean", base, *options)
    assert code == 0
    assert "cells.csv: line 3 repeats an earlier entry" in err
    assert "line 5 redacted nothing that is still there.\n" in err
    assert "0 of 30 rows removed, 2 cells redacted, 30 in" in err
    code, _, err = run("verify", base.parent / "release", "--integrity-only")
    assert (code, "0 of 30 rows removed, 2 cells redacted" in err) == (0, True)
    code, out, _ = run("check", base, "--release", base.parent / "release")
    assert code == 1
    assert "AFFECTED: 0 of 30 rows are removed and 2 cells redacted" in out
    code, _, err = run("apply", base.parent / "release", base, "--output", base.parent / "copy")
    assert (code, "0 of 30 rows removed and 2 cells redacted from 1 of 2 shards" in err) == (0, True)
    assert run("check", base.parent / "copy", "--release", base.parent / "release")[0] == 0


def test_both_lists_may_be_given_and_a_warning_names_its_list(base: Path, run: Any) -> None:
    (base.parent / "cells.csv").write_text(f"kind,value,column\nurl,{url_of(3)},text\nsha1,{'0' * 40},text\n")
    code, _, err = run(*clean(base, "--redact", base.parent / "cells.csv"))
    assert code == 0
    assert "list.txt: line 3 matched no row.\n" in err
    assert "cells.csv: line 2 redacted nothing that is still there.\n" in err
    assert url_of(3) not in err  # the removal took it
    assert "cells.csv: line 3 could not be looked for, no column carries sha1" in err


def test_an_interrupted_run_says_at_its_end_what_it_kept(
    base: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("expunge.clean.verify_shards", stop)
        code, _, err = run(*clean(base))
    assert (code, "error: Stopped. What is finished is kept" in err) == (130, True)
    code, _, err = run(*clean(base))
    assert (code, "2 of 2 shards were kept from a run that was interrupted." in err) == (0, True)


def test_verify_without_a_key_fails_unless_asked_for(base: Path, run: Any) -> None:
    run(*clean(base))
    release = base.parent / "release"
    code, out, err = run("verify", release)
    assert (code, out) == (1, "")
    assert "nothing proves who made this release" in err
    code, _, err = run("verify", release, "--integrity-only")
    assert code == 0
    assert "warning: Integrity only" in err
    assert "Verified: digests, counts, diff, rows written anew.\n" in err
    code, _, err = run("verify", release, "--integrity-only", "--rows")
    assert (code, "Verified: digests, counts, diff, every row.\n" in err) == (0, True)
    (release / "data/two.csv").unlink()
    code, _, err = run("verify", release, "--integrity-only", "--partial")
    assert code == 0
    assert "1 files are not here" in err


def test_key_prints_the_keys(run: Any) -> None:
    code, out, err = run("key", "HTTPS://Example.com/%7e", "nonsense")
    assert (code, err) == (0, "")
    assert "host.c1         example.com" in out
    code, out, _ = run("key", "https://example.com/", "--format", "json")
    assert json.loads(out)[0]["keys"]["domain.c1"] == "example.com"


def test_diff_prints_figures(base: Path, run: Any) -> None:
    code, out, _ = run("diff", base, base / "two.csv", "--output", base.parent / "rows.parquet")
    assert code == 0
    assert re.search(r"removed +20\n", out)
    code, out, err = run("diff", base, base, "--by-shard", "--format", "json", "--column", "url=URL")
    assert (code, json.loads(out)["common"], err) == (0, 30, "")


def test_rows_without_a_url_are_told_of(tmp_path: Path, run: Any) -> None:
    (tmp_path / "a.txt").write_text("\nhttps://a.example/\n")
    _, _, err = run("diff", tmp_path / "a.txt", tmp_path / "a.txt")
    assert "2 rows have no URL" in err


def test_check_prints_a_table(base: Path, run: Any) -> None:
    run(*clean(base, "--dataset", "links", "--version", "1"))
    code, out, err = run("check", base, "--release", base.parent / "release")
    assert code == 1
    assert "one.parquet              20             1  base" in out
    assert "AFFECTED: 1 of 30 rows are removed in links@1. Use expunge apply." in out
    assert "Integrity only: give --minisign-pub" in err
    code, out, _ = run("check", base.parent / "release", "--release", base.parent / "release")
    assert code == 0
    assert "NOT AFFECTED: none of 29 rows" in out


def test_what_a_copy_lacks_leaves_it_undetermined(tmp_path: Path, run: Any) -> None:
    (tmp_path / "base.csv").write_text(
        f"url,md5\nhttps://a.example/,{md5_of(1)}\nhttps://a.example/,{md5_of(2)}\n"
    )
    (tmp_path / "list.csv").write_text(f"kind,value\nmd5,{md5_of(1)}\n")
    (tmp_path / "mine.txt").write_text("https://a.example/\n")
    release = tmp_path / "release"
    run("clean", tmp_path / "base.csv", "--remove", tmp_path / "list.csv", "--output", release)
    code, out, _ = run("check", tmp_path / "mine.txt", "--release", release)
    assert code == 3
    assert "UNDETERMINED" in out
    assert "1 removed rows can only be found by content.md5" in out
    code, _, err = run("apply", release, tmp_path / "mine.txt", "--output", tmp_path / "copy")
    assert code == 3
    assert "mine.txt may still hold removed rows" in err


def test_nothing_scanned_is_no_answer(base: Path, tmp_path: Path, run: Any) -> None:
    run(*clean(base))
    (tmp_path / "docs").mkdir()
    (tmp_path / "empty.txt").touch()
    for path in (tmp_path / "docs", tmp_path / "missing", tmp_path / "*.nothing", tmp_path / "empty.txt"):
        code, out, err = run("check", path, "--release", tmp_path / "release")
        assert (code, out) == (128, ""), path
        assert "error: " in err


def test_a_release_that_cannot_be_trusted_is_no_answer(base: Path, keys: KeyFiles, run: Any) -> None:
    run(*clean(base))
    code, _, err = run(
        "check", base, "--release", base.parent / "release", "--minisign-pub", keys.minisign_pub
    )
    assert code == 127
    assert "not signed with this kind of key" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("clean", "BASE", "--remove", "LIST", "--output", "OUT", "--column", "url"), "is not KIND=NAME"),
        (
            ("clean", "BASE", "--remove", "LIST", "--output", "OUT", "--created", "soon"),
            "'soon' is not a time",
        ),
        (("clean", "BASE", "--remove", "NONE", "--output", "OUT"), "names nothing to remove"),
        (("clean", "BASE", "--remove", "LIST", "--output", "BASE"), "exists and is not an empty folder"),
        (("clean", "MISSING", "--remove", "LIST", "--output", "OUT"), "does not exist"),
        (
            ("clean", "BASE", "--remove", "LIST", "--output", "OUT", "--minisign-key", "LIST"),
            "not a minisign secret key",
        ),
        (("diff", "BASE", "MISSING"), "does not exist"),
        (("clean", "BASE"), "Missing option"),
        (
            ("clean", "BASE", "--output", "OUT"),
            "Give --remove with the rows that go, --redact with the cells",
        ),
        (("clean", "BASE", "--redact", "EMPTY", "--output", "OUT"), "names nothing to redact"),
        (
            ("clean", "BASE", "--redact", "NOPE", "--output", "OUT"),
            "Line 2 of the redactions: there is no column",
        ),
        (("nonsense",), "No such command"),
    ],
)
def test_wrong_usage_leaves_with_2_and_changes_nothing(
    base: Path, run: Any, arguments: tuple[str, ...], problem: str
) -> None:
    folder = base.parent
    (folder / "none.txt").write_text("# nothing\n")
    (folder / "empty.csv").write_text("kind,value,column\n")
    (folder / "nope.csv").write_text("kind,value,column\nid,3,nope\n")
    before = names_in(folder)
    places = {
        "BASE": base,
        "LIST": folder / "list.txt",
        "OUT": folder / "out",
        "NONE": folder / "none.txt",
        "EMPTY": folder / "empty.csv",
        "NOPE": folder / "nope.csv",
        "MISSING": folder / "missing",
    }
    code, out, err = run(*(places.get(word, word) for word in arguments))
    assert (code, out) == (2, "")
    assert problem in err
    assert names_in(folder) == before


@pytest.mark.parametrize("entry", ["pdq:1", "md5:12", "host:", "nonsense", "md5:zz\x1b[31m"])
def test_a_malformed_list_is_refused_by_line(base: Path, run: Any, entry: str) -> None:
    (base.parent / "list.txt").write_text(f"{url_of(3)}\n{entry}\n")
    before = names_in(base.parent)
    code, out, err = run(*clean(base))
    assert (code, out) == (127, "")
    assert "list.txt: line 2" in err
    assert "\x1b" not in err
    assert names_in(base.parent) == before


def test_a_broken_link_among_the_shards_is_named(base: Path, run: Any) -> None:
    (base / "gone.csv").symlink_to(base / "nowhere.csv")
    code, _, err = run(*clean(base))
    assert code == 127
    assert "gone.csv: cannot be read: No such file or directory" in err


def test_quiet_says_nothing_but_warnings_and_others_are_listed(base: Path, run: Any) -> None:
    (base / "README.md").touch()
    code, _, err = run(*clean(base, "--quiet"))
    assert code == 0
    assert all(line.startswith("warning: ") for line in err.splitlines())
    (base.parent / "list.txt").write_text(f"{url_of(4)}\n")
    for number in range(25):
        (base / f"note{number}.md").touch()
    code, _, err = run(
        "clean", base, "--remove", base.parent / "list.txt", "--output", base.parent / "second"
    )
    assert "Not shards, left out: " in err
    assert "and 6 more." in err


def test_long_lists_of_warnings_are_cut(base: Path, run: Any) -> None:
    (base.parent / "list.txt").write_text("".join(f"https://absent.example/{n // 2}\n" for n in range(100)))
    _, _, err = run(*clean(base))
    assert "… and 30 more repeated entries." in err
    assert "… and 30 more entries that matched no row." in err


def test_names_are_printed_as_they_stand(base: Path, run: Any) -> None:
    (base / ":smile:[bold].md").touch()
    _, _, err = run(*clean(base))
    assert "/:smile:[bold].md." in err


def test_a_folder_whose_name_cannot_be_a_datasets_has_a_default(base: Path, run: Any) -> None:
    other = base.rename(base.with_name("données"))
    code, _, _ = run(*clean(other))
    assert code == 0
    assert json.loads((other.parent / "release/release.json").read_bytes())["dataset"] == "dataset"


def test_the_version_is_printed(run: Any) -> None:
    assert run("--version")[:2] == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (
            OSError(28, "No space left on device"),
            "error: The disk is full. Free some space, then start again.",
        ),
        (ValueError("odd"), "odd"),
    ],
)
def test_no_fault_of_ours_says_affected(
    base: Path, run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("expunge.cli.copy_commands.check_copy", fail)
    code, out, err = run("check", base, "--release", base)
    assert (code, out) == (127, "")
    assert said in err
