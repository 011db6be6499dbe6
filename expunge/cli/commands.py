"""The commands: arguments in, one call of the engine, the result out."""

from __future__ import annotations

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from expunge import __version__
from expunge.apply import apply as apply_release
from expunge.check import Verdict
from expunge.check import check as check_copy
from expunge.clean import clean as clean_version
from expunge.cli.arguments import default_name, paying_workers, read_columns, read_time, refuse_inside
from expunge.cli.results import print_checked, print_json, print_line
from expunge.cli.terminal import Terminal
from expunge.diff import diff_versions
from expunge.errors import ExpungeError, UsageError, VerificationFailed
from expunge.judge import KnownAs
from expunge.keys import ROLE_OF, keys_of_url
from expunge.lists import read_list
from expunge.shards import Found, find_shards
from expunge.signing import Signer
from expunge.verify import verify_release

NOTHING_SCANNED = 128
_MOST_LISTED = 20

app = typer.Typer(
    name="expunge",
    help="Find rows that must go from a dataset, publish a clean release with a small signed diff, and bring a copy to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class FormOption(StrEnum):
    """What becomes of a removed row."""

    COMPACT = "compact"
    ALIGNED = "aligned"


class FormatOption(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


Paths = Annotated[list[Path], typer.Argument(help="Shards: files, folders or globs.", show_default=False)]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="KIND=NAME", help="Name the column of a kind: url, text, md5, sha1, sha256, id."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but the result, warnings and errors.")
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes to work with.", show_default="all cores")
]
CORES = os.cpu_count() or 1
OutputFormat = Annotated[FormatOption, typer.Option("--format", help="How to print the result.")]
MinisignPub = Annotated[
    Path | None, typer.Option("--minisign-pub", help="The publisher's minisign public key.")
]
OmsPub = Annotated[Path | None, typer.Option("--oms-pub", help="The publisher's P-256 public key (PEM).")]


def _print_version(asked: bool) -> None:  # noqa: FBT001  typer calls it so
    if asked:
        print_line(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    pass


@app.command()
def key(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="URLs to compute the keys of.")],
    output_format: OutputFormat = FormatOption.TABLE,
) -> None:
    """Print the keys of URLs: raw, canonical (c1), host and registrable domain."""
    keys = [(url, keys_of_url(url)) for url in urls]
    if output_format is FormatOption.JSON:
        print_json([{"url": url, "keys": found} for url, found in keys])
        return
    for url, found in keys:
        print_line(url)
        for kind, value in found.items():
            print_line(f"  {kind:<15} {value}")


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The older version: a file, folder or glob.")],
    new: Annotated[Path, typer.Argument(help="The newer version.")],
    by_shard: Annotated[
        bool, typer.Option("--by-shard", help="Compare each shard with the one of the same name.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Write the rows to this .parquet file.")] = None,
    output_format: OutputFormat = FormatOption.TABLE,
    column: Columns = None,
    quiet: Quiet = False,
) -> None:
    """Count the rows added, removed and common between two versions, by the exact bytes of their URLs."""
    terminal = Terminal(quiet=quiet)
    one, other = _find([old], terminal), _find([new], terminal)
    with terminal.progress() as progress:
        found = diff_versions(
            one.shards,
            other.shards,
            by_shard=by_shard,
            columns=read_columns(column),
            output=output,
            progress=progress,
        )
    if found.without_key:
        terminal.warn(f"{found.without_key:,} rows have no URL and were not compared.")
    if output_format is FormatOption.JSON:
        print_json(found.to_dict())
        return
    print_line(f"old      {found.old_rows:>15,} rows in {found.old_shards:,} shards")
    print_line(f"new      {found.new_rows:>15,} rows in {found.new_shards:,} shards")
    print_line(f"added    {found.added:>15,}")
    print_line(f"removed  {found.removed:>15,}")
    print_line(f"common   {found.common:>15,}")


@app.command()
def clean(
    paths: Paths,
    remove: Annotated[Path, typer.Option(help="The removal list: text, CSV or Parquet.")],
    output: Annotated[Path, typer.Option(help="The new folder for the release.")],
    dataset: Annotated[str, typer.Option(help="The dataset's name.", show_default="the folder's name")] = "",
    version: Annotated[
        str, typer.Option(help="The release's name.", show_default="the day of --created")
    ] = "",
    base_version: Annotated[str, typer.Option(help="The name of the version it is made of.")] = "base",
    serial: Annotated[int, typer.Option(help="Counts the dataset's releases.")] = 1,
    created: Annotated[str, typer.Option(help="When it was made (RFC 3339).", show_default="now")] = "",
    previous: Annotated[str | None, typer.Option(help="The name of the release before this one.")] = None,
    form: Annotated[
        FormOption, typer.Option(help="compact: the rows go; aligned: they stay, emptied.")
    ] = FormOption.COMPACT,
    sensitive: Annotated[
        list[str] | None, typer.Option(help="aligned: another column to leave empty.")
    ] = None,
    minisign_key: Annotated[Path | None, typer.Option(help="Sign SHA256SUMS with this minisign key.")] = None,
    oms_key: Annotated[Path | None, typer.Option(help="Sign the files with this P-256 key (PEM).")] = None,
    column: Columns = None,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Make a clean release: the shards without the rows that a list names, verified by reading it back.

    The password of an encrypted key is read from EXPUNGE_KEY_PASSWORD.
    """
    terminal = Terminal(quiet=quiet)
    made = read_time(created)
    refuse_inside(output, paths)
    found = _find(paths, terminal)
    removals = read_list(remove)
    for entry in removals.duplicates[:_MOST_LISTED]:
        terminal.warn(f"{remove}: line {entry.line} repeats an earlier entry.")
    _more(terminal, len(removals.duplicates), "repeated entries")
    if not removals.entries:
        raise UsageError(f"{remove} names nothing to remove.")
    signer = None
    if minisign_key or oms_key:
        signer = Signer.from_files(minisign_key, oms_key, password=os.environ.get("EXPUNGE_KEY_PASSWORD"))
    with terminal.progress() as progress:
        result = clean_version(
            found.shards,
            removals.entries,
            output,
            dataset=dataset or default_name(paths[0]),
            version=version or made.date().isoformat(),
            serial=serial,
            created=made,
            base_version=base_version,
            previous=previous,
            form=form.value,
            columns=read_columns(column),
            sensitive=sensitive or (),
            signer=signer,
            workers=paying_workers(workers, found),
            progress=progress,
        )
    for entry in result.unmatched[:_MOST_LISTED]:
        role = ROLE_OF[entry.kind]
        reason = (
            "matched no row"
            if role in result.release.columns
            else f"could not be looked for, no column carries {role}"
        )
        terminal.warn(f"line {entry.line} {reason}: {entry.text}")
    _more(terminal, len(result.unmatched), "entries that matched no row")
    if signer is None:
        terminal.warn("The release is not signed. Give --minisign-key and --oms-key to prove who made it.")
    terminal.say(
        f"{result.rows_removed:,} of {result.rows_before:,} rows removed, {result.rows_after:,} in {output}, verified."
    )
    print_line(result.root)


@app.command()
def verify(
    release: Annotated[Path, typer.Argument(help="The folder of a release.")],
    minisign_pub: MinisignPub = None,
    oms_pub: OmsPub = None,
    integrity_only: Annotated[bool, typer.Option(help="Accept that nothing proves who made it.")] = False,
    partial: Annotated[bool, typer.Option(help="Pass over files that were not downloaded.")] = False,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Verify a release: every digest, count and signature, and the arithmetic of its diff."""
    terminal = Terminal(quiet=quiet)
    with terminal.progress() as progress:
        verified = verify_release(
            release,
            minisign_pub=minisign_pub,
            oms_pub=oms_pub,
            integrity_only=integrity_only,
            partial=partial,
            workers=workers,
            progress=progress,
        )
    made = verified.release
    if not verified.signatures:
        terminal.warn("Integrity only: nothing proves who made this release.")
    if verified.absent:
        terminal.warn(f"{len(verified.absent):,} files are not here and were not verified.")
    terminal.say(
        f"{made.dataset}@{made.version} (serial {made.serial}): {made.rows_removed:,} of {made.rows_before:,} rows removed, "
        f"{made.rows_after:,} left in {len(made.shards):,} shards."
    )
    terminal.say(f"Verified: digests, counts, diff{''.join(f', {name}' for name in verified.signatures)}.")
    print_line(verified.root)


@app.command()
def apply(
    release: Annotated[Path, typer.Argument(help="The folder of a release; its data/ is not needed.")],
    paths: Paths,
    output: Annotated[Path, typer.Option(help="The new folder for the copy.")],
    minisign_pub: MinisignPub = None,
    oms_pub: OmsPub = None,
    column: Columns = None,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Bring a copy to a release with its diff alone: same shards, another order, another format, or a part.

    Exits 3 when the copy was written but lacks a column by which some removed rows could only be found.
    """
    terminal = Terminal(quiet=quiet)
    refuse_inside(output, paths)
    found = _find(paths, terminal)
    _warn_unsigned(terminal, minisign_pub, oms_pub)
    with terminal.progress() as progress:
        applied = apply_release(
            release,
            found.shards,
            output,
            columns=read_columns(column),
            minisign_pub=minisign_pub,
            oms_pub=oms_pub,
            workers=paying_workers(workers, found),
            progress=progress,
        )
    for name, reasons in applied.undetermined.items():
        for reason in reasons:
            terminal.warn(f"{name} may still hold removed rows: {reason}.")
    terminal.say(
        f"{applied.rows_removed:,} of {applied.rows_before:,} rows removed from {applied.shards_changed:,} of "
        f"{applied.shards:,} shards, {applied.rows_after:,} in {output}, verified."
    )
    if applied.undetermined:
        raise typer.Exit(Verdict.UNDETERMINED)


@app.command()
def check(
    paths: Paths,
    release: Annotated[Path, typer.Option(help="The folder of a release; its data/ is not needed.")],
    minisign_pub: MinisignPub = None,
    oms_pub: OmsPub = None,
    output_format: OutputFormat = FormatOption.TABLE,
    column: Columns = None,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Tell whether a copy is affected by a release's removals. Exits 0 (no), 1 (yes) or 3 (undetermined)."""
    terminal = Terminal(quiet=quiet)
    try:
        found = _find(paths, terminal)
    except UsageError as error:
        terminal.error(str(error))
        raise typer.Exit(NOTHING_SCANNED) from error
    _warn_unsigned(terminal, minisign_pub, oms_pub)
    try:
        with terminal.progress() as progress:
            checked = check_copy(
                found.shards,
                release,
                columns=read_columns(column),
                minisign_pub=minisign_pub,
                oms_pub=oms_pub,
                workers=paying_workers(workers, found),
                progress=progress,
            )
    except VerificationFailed as error:
        # Exit status 1 means affected here, so a release that cannot be trusted is an error like any other.
        terminal.error(str(error))
        raise typer.Exit(ExpungeError.exit_code) from error
    if not checked.rows and all(shard.known_as is KnownAs.KEYS for shard in checked.shards):
        terminal.error("The copy has no rows, so nothing was scanned.")
        raise typer.Exit(NOTHING_SCANNED)
    if output_format is FormatOption.JSON:
        print_json(checked.to_dict())
    else:
        print_checked(checked)
    raise typer.Exit(checked.verdict)


def main() -> None:
    """Run the command and leave with its exit code."""
    try:
        app()
    except ExpungeError as error:
        Terminal().error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        Terminal().error(f"{error.filename or 'a file'}: {error.strerror or error}.")
        sys.exit(ExpungeError.exit_code)
    except Exception:  # noqa: BLE001  a fault of ours must not leave with 1, which says "affected"
        traceback.print_exc()
        sys.exit(ExpungeError.exit_code)
    except KeyboardInterrupt:
        Terminal().error("Stopped. What was being written was removed.")
        sys.exit(130)


def _find(paths: list[Path], terminal: Terminal) -> Found:
    found = find_shards(paths)
    if found.ignored:
        names = ", ".join(str(path) for path in found.ignored[:_MOST_LISTED])
        more = len(found.ignored) - _MOST_LISTED
        terminal.say(f"Not shards, left out: {names}{f' and {more:,} more' if more > 0 else ''}.")
    return found


def _warn_unsigned(terminal: Terminal, minisign_pub: Path | None, oms_pub: Path | None) -> None:
    if minisign_pub is None and oms_pub is None:
        terminal.warn("Integrity only: give --minisign-pub or --oms-pub to know who made this release.")


def _more(terminal: Terminal, count: int, what: str) -> None:
    if count > _MOST_LISTED:
        terminal.warn(f"… and {count - _MOST_LISTED:,} more {what}.")
