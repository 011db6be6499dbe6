"""The commands for people who hold a copy: is it affected, and bring it to a release."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.apply import apply as apply_release
from expunge.apply import plan as plan_release
from expunge.check import Verdict
from expunge.check import check as check_copy
from expunge.cli.arguments import SMALL_BYTES, read_columns, refuse_inside
from expunge.cli.options import (
    CORES,
    MOST_LISTED,
    Columns,
    FormatOption,
    MinisignPub,
    OmsPub,
    OutputFormat,
    Quiet,
    Workers,
)
from expunge.cli.results import applied_line, print_checked, print_json, print_plan
from expunge.cli.terminal import Terminal
from expunge.copies import Copy, Source, find_copy
from expunge.copies.img2dataset import DEFAULT_SAMPLES
from expunge.copies.targets import locked, refuse_unfinished
from expunge.errors import ExpungeError, UsageError, VerificationFailed
from expunge.judge import KnownAs
from expunge.shards import find_shards

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING_SCANNED = 128

CopyPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATHS...",
        help="The copy: files, folders or globs. Shards, tars or folders of samples, embeddings.",
        show_default=False,
    ),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="A folder of .npy files, each beside the manifest that ends in the same number."
    ),
]
SourceList = Annotated[
    list[Path] | None,
    typer.Option("--source", help="The list img2dataset was given: finds samples by their keys alone."),
]
SamplesPerShard = Annotated[
    int, typer.Option(min=1, help="With --source: img2dataset's number_sample_per_shard.")
]


def apply(
    release: Annotated[Path, typer.Argument(help="The folder of a release; its data/ is not needed.")],
    paths: CopyPaths,
    output: Annotated[Path | None, typer.Option(help="The new folder for the copy.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Change the copy itself.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; list what would go.")] = False,
    embeddings: Embeddings = None,
    source: SourceList = None,
    samples_per_shard: SamplesPerShard = DEFAULT_SAMPLES,
    minisign_pub: MinisignPub = None,
    oms_pub: OmsPub = None,
    output_format: OutputFormat = FormatOption.TABLE,
    column: Columns = None,
    workers: Workers = CORES,
    quiet: Quiet = False,
) -> None:
    """Bring a copy to a release with its diff alone: same shards, another order, another format, a part, or what was downloaded.

    Exits 3 when the copy was written but some removed rows could not be looked for in it.
    """
    terminal = Terminal(quiet=quiet)
    if (output is not None and in_place) or not (output or in_place or dry_run):
        raise UsageError("Name a new folder with --output, or ask for --in-place, or for a --dry-run.")
    if output is not None:
        refuse_inside(output, [*paths, *([embeddings] if embeddings else [])])
    _warn_unsigned(terminal, minisign_pub, oms_pub)
    with _held(paths, embeddings, changing=in_place and not dry_run):
        copy = _find(paths, embeddings, terminal)
        listed = _source(source, samples_per_shard)
        processes = workers if copy.bytes > SMALL_BYTES else 1
        with terminal.progress() as progress:
            if dry_run:
                plan = plan_release(
                    release,
                    copy,
                    columns=read_columns(column),
                    source=listed,
                    minisign_pub=minisign_pub,
                    oms_pub=oms_pub,
                    workers=processes,
                    progress=progress,
                )
            else:
                applied = apply_release(
                    release,
                    copy,
                    output,
                    columns=read_columns(column),
                    source=listed,
                    minisign_pub=minisign_pub,
                    oms_pub=oms_pub,
                    workers=processes,
                    progress=progress,
                )
    if dry_run:
        undetermined = {part.name: part.undetermined for part in plan.parts if part.undetermined}
        if output_format is FormatOption.JSON:
            print_json(plan.to_dict())
        else:
            print_plan(plan)
    else:
        undetermined = applied.undetermined
        if output_format is FormatOption.JSON:
            print_json(applied.to_dict())
        else:
            terminal.say(applied_line(applied))
    for name, reasons in undetermined.items():
        for reason in reasons:
            terminal.warn(f"{name} may still hold removed rows: {reason}.")
    if undetermined:
        raise typer.Exit(Verdict.UNDETERMINED)


def check(
    paths: CopyPaths,
    release: Annotated[Path, typer.Option(help="The folder of a release; its data/ is not needed.")],
    embeddings: Embeddings = None,
    source: SourceList = None,
    samples_per_shard: SamplesPerShard = DEFAULT_SAMPLES,
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
        copy = _find(paths, embeddings, terminal)
    except UsageError as error:
        terminal.error(str(error))
        raise typer.Exit(NOTHING_SCANNED) from error
    _warn_unsigned(terminal, minisign_pub, oms_pub)
    try:
        with _held(paths, embeddings, changing=False), terminal.progress() as progress:
            checked = check_copy(
                copy,
                release,
                columns=read_columns(column),
                source=_source(source, samples_per_shard),
                minisign_pub=minisign_pub,
                oms_pub=oms_pub,
                workers=workers if copy.bytes > SMALL_BYTES else 1,
                progress=progress,
            )
    except VerificationFailed as error:
        # Exit status 1 means affected here, so a release that cannot be trusted is an error like any other.
        terminal.error(str(error))
        raise typer.Exit(ExpungeError.exit_code) from error
    if not checked.rows and all(
        part.known_as is KnownAs.KEYS and not part.undetermined for part in checked.parts
    ):
        terminal.error("The copy has no rows, so nothing was scanned.")
        raise typer.Exit(NOTHING_SCANNED)
    if output_format is FormatOption.JSON:
        print_json(checked.to_dict())
    else:
        print_checked(checked)
    raise typer.Exit(checked.verdict)


@contextmanager
def _held(paths: list[Path], embeddings: Path | None, *, changing: bool) -> Iterator[None]:
    """The copy for this run alone when it is changed; else only sure to be whole."""
    everything = [*paths, *([embeddings] if embeddings else [])]
    if not changing:
        refuse_unfinished(everything)
        yield
        return
    with locked(everything):
        yield


def _find(paths: list[Path], embeddings: Path | None, terminal: Terminal) -> Copy:
    copy = find_copy(paths, embeddings)
    _say(terminal, "Not part of a known layout, left out", [str(path) for path in copy.ignored])
    _say(terminal, "Carried over without being looked into", [name for _, name in copy.carried])
    return copy


def _say(terminal: Terminal, what: str, names: list[str]) -> None:
    if names:
        more = len(names) - MOST_LISTED
        terminal.say(f"{what}: {', '.join(names[:MOST_LISTED])}{f' and {more:,} more' if more > 0 else ''}.")


def _source(paths: list[Path] | None, samples: int) -> Source | None:
    return Source(find_shards(paths).shards, samples) if paths else None


def _warn_unsigned(terminal: Terminal, minisign_pub: Path | None, oms_pub: Path | None) -> None:
    if minisign_pub is None and oms_pub is None:
        terminal.warn("Integrity only: give --minisign-pub or --oms-pub to know who made this release.")
