"""The commands of the key index: make one, and ask it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.check import Verdict
from expunge.cli.arguments import find_named, paying_workers, read_columns, refuse_inside
from expunge.cli.options import CORES, MOST_LISTED, Columns, FormatOption, OutputFormat, Paths, Quiet, Workers
from expunge.cli.results import print_json, print_line
from expunge.cli.terminal import Terminal
from expunge.errors import UsageError
from expunge.index import KeyIndex, build_index, locate_versions, read_versions
from expunge.keys import KeyKind  # noqa: TC001  typer reads the annotations at run time
from expunge.lists import parse_entry, read_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.index import Found
    from expunge.lists import Entry

IndexFolder = Annotated[Path, typer.Option("--index", metavar="DIR", help="The folder of the index.")]


def index(
    paths: Paths,
    folder: IndexFolder,
    kind: Annotated[
        list[KeyKind] | None,
        typer.Option(help="Index this kind of key only; may be repeated.", show_default="all that are there"),
    ] = None,
    name: Annotated[str, typer.Option(help="The name of the version.", show_default="its root")] = "",
    column: Columns = None,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Index the keys of a version's rows, so that locate finds them without reading the shards."""
    terminal = Terminal(quiet=quiet)
    refuse_inside(folder / "versions", paths)  # in it, or it: archives in the data would pass for shards
    found = find_named(paths, terminal)
    began = time.monotonic()
    with terminal.progress() as progress:
        built = build_index(
            found.shards,
            folder,
            kinds=kind or (),
            name=name,
            columns=read_columns(column),
            workers=paying_workers(workers, found),
            progress=progress,
        )
    seconds = time.monotonic() - began
    print_line(f"version   {built.version.name}")
    print_line(f"kinds     {', '.join(built.kinds)}")
    print_line(f"shards    {built.indexed:,} indexed, {built.reused:,} reused")
    print_line(f"rows      {built.rows:,}")
    if built.archive_rows:
        print_line(f"archive   {built.archive_bytes / built.archive_rows:.1f} bytes a row and kind")
    if built.indexed_rows:
        print_line(f"speed     {built.indexed_rows / seconds:,.0f} rows a second")


def locate(
    folder: IndexFolder,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY...", help="URLs, or KIND:VALUE as in a removal list.", show_default=False
        ),
    ] = None,
    listed: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="A removal list: text, CSV or Parquet.")
    ] = None,
    output_format: OutputFormat = FormatOption.TABLE,
    quiet: Quiet = False,
) -> None:
    """Find the rows that keys name in every version of an index, confirmed by reading them.

    Exits 0 when everything was looked for and read, whether or not a row was found; 3 when a shard lacks the column or the
    index of a kind that was asked for, or is no longer where it was to confirm its rows.
    """
    terminal = Terminal(quiet=quiet)
    entries = _read_entries(keys or [], listed)
    versions = read_versions(folder)
    with KeyIndex(folder) as opened:
        found = locate_versions(opened, entries, versions)
    if output_format is FormatOption.JSON:
        print_json(_as_json(entries, found))
    else:
        _print_found(found)
    for one in found:
        _warn_incomplete(one, terminal)
    if not all(one.complete for one in found):
        raise typer.Exit(Verdict.UNDETERMINED)


def _read_entries(keys: Sequence[str], listed: Path | None) -> list[Entry]:
    """The distinct entries of the arguments and of the list. Raises `UsageError` where there is none, and `BadList`."""
    given = [parse_entry(key) for key in keys] + (read_list(listed).entries if listed else [])
    if not given:
        raise UsageError("Nothing to look for. Give a URL, KIND:VALUE, or --list FILE.")
    return list({(entry.kind, entry.key): entry for entry in given}.values())


def _print_found(found: Sequence[Found]) -> None:
    """Print the rows of each shard that holds one, and how many there are in each version."""
    hits = [(one.version.name, name, rows) for one in found for name, rows in one.located.positions.items()]
    if hits:
        table = [("version", "shard"), *(hit[:2] for hit in hits)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        print_line(f"{'version':<{widths[0]}}  {'shard':<{widths[1]}}  rows")
        for version, name, rows in hits:
            shown = ", ".join(map(str, rows[:MOST_LISTED].tolist()))
            more = f" … and {len(rows) - MOST_LISTED:,} more" if len(rows) > MOST_LISTED else ""
            print_line(f"{version:<{widths[0]}}  {name:<{widths[1]}}  {shown}{more}")
    for one in found:
        positions, shards = one.located.positions, len(one.version.shards)
        count = sum(map(len, positions.values()))
        print_line(f"{one.version.name}: {count:,} rows in {len(positions):,} of {shards:,} shards")


def _warn_incomplete(found: Found, terminal: Terminal) -> None:
    """Say what was not looked for, and what could not be confirmed."""
    for kind, names in found.located.missing_kinds.items():
        terminal.warn(f"{found.version.name}: {len(names):,} shards have no column that carries {kind}.")
    for kind, names in found.not_indexed.items():
        terminal.warn(
            f"{found.version.name}: {len(names):,} shards are not indexed by {kind}, so nothing was looked for there. "
            f"Run expunge index with --kind {kind}."
        )
    for name, rows in found.unconfirmed.items():
        terminal.warn(
            f"{found.version.name}: {name} is no longer where it was indexed, or is another file now: "
            f"{len(rows):,} rows were not confirmed."
        )


def _as_json(entries: Sequence[Entry], found: Sequence[Found]) -> dict[str, Any]:
    """The answer for machines; `key` counts the keys as given, from 0."""
    return {
        "keys": [
            {"kind": entry.kind, "rows": sum(int(one.located.counts[place]) for one in found)}
            for place, entry in enumerate(entries)
        ],
        "versions": [
            {
                "name": one.version.name,
                "root": one.version.root,
                "shards": [
                    {
                        "name": hits.name,
                        "sha256": shard.sha256,
                        "hits": [
                            {"row": row, "key": key}
                            for row, key in zip(hits.rows.tolist(), hits.entries.tolist(), strict=True)
                        ],
                    }
                    for hits, shard in zip(one.located.shards, one.version.shards, strict=True)
                    if len(hits.rows)
                ],
                "not_confirmed": {name: rows.tolist() for name, rows in one.unconfirmed.items()},
                "not_indexed": one.not_indexed,
                "no_column": one.located.missing_kinds,
            }
            for one in found
        ],
    }
