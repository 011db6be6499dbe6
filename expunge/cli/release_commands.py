"""The commands for people who publish a dataset: make a clean release, and verify one."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.clean import CleanResult
from expunge.clean import clean as clean_version
from expunge.cli.arguments import (
    default_name,
    find_named,
    paying_workers,
    read_columns,
    read_time,
    refuse_inside,
)
from expunge.cli.options import (
    CORES,
    MOST_LISTED,
    Columns,
    FormOption,
    MinisignPub,
    OmsPub,
    Paths,
    Quiet,
    Workers,
)
from expunge.cli.results import print_line
from expunge.cli.terminal import Terminal
from expunge.errors import UsageError
from expunge.keys import ROLE_OF
from expunge.lists import RedactionList, RemovalList, read_list, read_redactions
from expunge.signing import Signer
from expunge.verify import verify_release

if TYPE_CHECKING:
    from expunge.lists import Entry
    from expunge.manifest import Release


def clean(
    paths: Paths,
    output: Annotated[Path, typer.Option(help="The new folder for the release.")],
    remove: Annotated[
        Path | None, typer.Option(help="The rows that go: a removal list, text, CSV or Parquet.")
    ] = None,
    redact: Annotated[
        Path | None,
        typer.Option(help="The cells that become null: CSV or Parquet with the columns kind, value, column."),
    ] = None,
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
    """Make a clean release: the shards without the rows and cells that lists name, verified by reading it back.

    Needs --remove, --redact or both. A run that was stopped goes on when it is started again with the same shards and
    lists. The password of an encrypted key is read from EXPUNGE_KEY_PASSWORD.
    """
    terminal = Terminal(quiet=quiet)
    made = read_time(created)
    refuse_inside(output, paths)
    found = find_named(paths, terminal)
    removals, redactions = _read_lists(remove, redact, terminal)
    signer = None
    if minisign_key or oms_key:
        signer = Signer.from_files(minisign_key, oms_key, password=os.environ.get("EXPUNGE_KEY_PASSWORD"))
    with terminal.progress() as progress:
        result = clean_version(
            found.shards,
            removals.entries,
            output,
            redactions=redactions.redactions,
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
    _warn_unmatched(result, remove, redact, terminal)
    for name, reason in result.rewritten.items():
        terminal.warn(f"{name} was written anew whole: {reason}.")
    if signer is None:
        terminal.warn("The release is not signed. Give --minisign-key and --oms-key to prove who made it.")
    if result.kept:
        terminal.say(
            f"{result.kept:,} of {len(result.shards):,} shards were kept from a run that was interrupted."
        )
    terminal.say(f"{_taken(result.release)}, {result.rows_after:,} in {output}, verified.")
    print_line(result.root)


def verify(
    release: Annotated[Path, typer.Argument(help="The folder of a release.")],
    minisign_pub: MinisignPub = None,
    oms_pub: OmsPub = None,
    integrity_only: Annotated[bool, typer.Option(help="Accept that nothing proves who made it.")] = False,
    partial: Annotated[bool, typer.Option(help="Pass over files that were not downloaded.")] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Hold every row against the diff's keys, the copied ones too.")
    ] = False,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Verify a release: every digest, count and signature, the arithmetic of its diff, and the rows that were written anew."""
    terminal = Terminal(quiet=quiet)
    with terminal.progress() as progress:
        verified = verify_release(
            release,
            minisign_pub=minisign_pub,
            oms_pub=oms_pub,
            integrity_only=integrity_only,
            partial=partial,
            thorough=rows,
            workers=workers,
            progress=progress,
        )
    made = verified.release
    if not verified.signatures:
        terminal.warn("Integrity only: nothing proves who made this release.")
    if verified.absent:
        terminal.warn(f"{len(verified.absent):,} files are not here and were not verified.")
    terminal.say(
        f"{made.dataset}@{made.version} (serial {made.serial}): {_taken(made)}, "
        f"{made.rows_after:,} left in {len(made.shards):,} shards."
    )
    looked_at = "every row" if rows else "rows written anew"
    signed = "".join(f", {name}" for name in verified.signatures)
    terminal.say(f"Verified: digests, counts, diff, {looked_at}{signed}.")
    print_line(verified.root)


def _read_lists(
    remove: Path | None, redact: Path | None, terminal: Terminal
) -> tuple[RemovalList, RedactionList]:
    """Read the lists that were given and tell of repeated entries. Raises `UsageError` where they name nothing."""
    if remove is None and redact is None:
        raise UsageError("Give --remove with the rows that go, --redact with the cells, or both.")
    removals, redactions = RemovalList([], []), RedactionList([], [])
    if remove is not None:
        removals = read_list(remove)
        _warn_repeated(terminal, remove, removals.duplicates)
        if not removals.entries:
            raise UsageError(f"{remove} names nothing to remove.")
    if redact is not None:
        redactions = read_redactions(redact)
        _warn_repeated(terminal, redact, [one.entry for one in redactions.duplicates])
        if not redactions.redactions:
            raise UsageError(f"{redact} names nothing to redact.")
    return removals, redactions


def _warn_repeated(terminal: Terminal, path: Path, repeated: list[Entry]) -> None:
    for entry in repeated[:MOST_LISTED]:
        terminal.warn(f"{path}: line {entry.line} repeats an earlier entry.")
    _more(terminal, len(repeated), "repeated entries")


def _warn_unmatched(
    result: CleanResult, remove: Path | None, redact: Path | None, terminal: Terminal
) -> None:
    """Tell which lines took nothing, and why; by their numbers, for what they name may be removed by another line."""
    removing = remove is not None and redact is not None  # only then must a line's list be named

    def reason(entry: Entry, otherwise: str) -> str:
        role = ROLE_OF[entry.kind]
        known = role in result.release.columns
        return otherwise if known else f"could not be looked for, no column carries {role}"

    for entry in result.unmatched[:MOST_LISTED]:
        where = f"{remove}: " if removing else ""
        terminal.warn(f"{where}line {entry.line} {reason(entry, 'matched no row')}.")
    _more(terminal, len(result.unmatched), "entries that matched no row")
    for one in result.unredacted[:MOST_LISTED]:
        where = f"{redact}: " if removing else ""
        what = reason(one.entry, "redacted nothing that is still there")
        terminal.warn(f"{where}line {one.entry.line} {what}.")
    _more(terminal, len(result.unredacted), "redactions that took nothing")


def _taken(release: Release) -> str:
    cells = f", {release.cells_redacted:,} cells redacted" if release.redacted else ""
    return f"{release.rows_removed:,} of {release.rows_before:,} rows removed{cells}"


def _more(terminal: Terminal, count: int, what: str) -> None:
    if count > MOST_LISTED:
        terminal.warn(f"… and {count - MOST_LISTED:,} more {what}.")
