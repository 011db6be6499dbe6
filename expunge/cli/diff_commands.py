"""The commands that compare: two versions, and the ways to reach a release."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.arguments import find_named, read_columns
from expunge.cli.options import MOST_LISTED, Columns, FormatOption, OutputFormat, Quiet
from expunge.cli.results import print_json, print_line
from expunge.cli.terminal import Terminal

if TYPE_CHECKING:
    from expunge.diff import Diff, Explained


def diff(
    old: Annotated[Path, typer.Argument(help="The older version: a file, folder or glob.")],
    new: Annotated[Path, typer.Argument(help="The newer version.")],
    by_shard: Annotated[
        bool, typer.Option("--by-shard", help="Compare each shard with the one of the same name.")
    ] = False,
    on: Annotated[
        str,
        typer.Option(
            metavar="KEY", help="Compare by this key (url, id, a column) and count changed rows apart."
        ),
    ] = "",
    output: Annotated[Path | None, typer.Option(help="Write the rows to this .parquet file.")] = None,
    output_format: OutputFormat = FormatOption.TABLE,
    column: Columns = None,
    quiet: Quiet = False,
) -> None:
    """Count the rows added, removed and common between two versions, by the exact bytes of their URLs or by a key."""
    from expunge.diff import diff_versions  # noqa: PLC0415  it takes DuckDB along, longer than all else that a command imports

    terminal = Terminal(quiet=quiet)
    one, other = find_named([old], terminal), find_named([new], terminal)
    with terminal.progress() as progress:
        found = diff_versions(
            one.shards,
            other.shards,
            by_shard=by_shard,
            on=on,
            columns=read_columns(column),
            output=output,
            progress=progress,
        )
    if found.without_key:
        terminal.warn(f"{found.without_key:,} rows have no {on or 'URL'} and were not compared.")
    if found.changes and found.changes.ignored:
        names = ", ".join(found.changes.ignored)
        terminal.warn(f"Columns that not every shard has were not compared: {names}.")
    if output_format is FormatOption.JSON:
        print_json(found.to_dict())
    else:
        _print_diff(found)


def explain(
    release: Annotated[Path, typer.Argument(help="The folder of a release; its data/ is not needed.")],
    output_format: OutputFormat = FormatOption.TABLE,
) -> None:
    """Tell what a release costs a holder of its base: bytes to download with the diff, and without."""
    from expunge.diff import explain_release  # noqa: PLC0415  it takes DuckDB along, longer than all else that a command imports

    explained = explain_release(release)
    if output_format is FormatOption.JSON:
        print_json(explained.to_dict())
    else:
        _print_explained(explained)


def _print_diff(found: Diff) -> None:
    """Print the figures, and which shards were renamed."""
    print_line(f"old      {found.old_rows:>15,} rows in {found.old_shards:,} shards")
    print_line(f"new      {found.new_rows:>15,} rows in {found.new_shards:,} shards")
    print_line(f"added    {found.added:>15,}")
    print_line(f"removed  {found.removed:>15,}")
    print_line(f"common   {found.common:>15,}")
    if found.changes:
        print_line(f"  changed   {found.changes.changed:>12,}")
        print_line(f"  unchanged {found.changes.unchanged:>12,}")
    if found.shared_shards or found.shared_row_groups:
        print_line(
            f"shared   {found.shared_shards:>15,} shards, {found.shared_row_groups:,} row groups, by their bytes"
        )
    for old, new in found.renamed[:MOST_LISTED]:
        print_line(f"renamed  {old} -> {new}")
    if len(found.renamed) > MOST_LISTED:
        print_line(f"renamed  … and {len(found.renamed) - MOST_LISTED:,} more")


def _print_explained(explained: Explained) -> None:
    """Print each way to the release with its bytes."""
    release = explained.release
    print_line(
        f"{release.dataset}@{release.version} (serial {release.serial}, {release.form}), made of {release.base_version}"
    )
    print_line(
        f"{release.rows_removed:,} of {release.rows_before:,} rows removed, "
        f"{explained.shards_touched:,} of {len(release.shards):,} shards touched"
    )
    ways = (
        ("apply the diff", explained.diff_bytes),
        ("download the changed shards", explained.changed_bytes),
        ("download everything", explained.all_bytes),
    )
    for way, size in ways:
        times = f"{size / explained.diff_bytes:,.1f} times the diff" if size != explained.diff_bytes else ""
        print_line(f"{way:<27} {size:>20,} bytes  {times}".rstrip())
