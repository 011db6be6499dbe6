"""The commands: arguments in, one call of the engine, the result out."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from expunge import __version__
from expunge.cli import copy_commands, diff_commands, index_commands, release_commands
from expunge.cli.options import FormatOption, OutputFormat
from expunge.cli.results import print_json, print_line
from expunge.cli.terminal import Terminal
from expunge.errors import ExpungeError
from expunge.keys import keys_of_url
from expunge.pool import leave_pandas_out

STOPPED = 130
"""What a shell makes of Ctrl-C."""


class _Commands(TyperGroup):
    """Answers what typer would answer by itself: without a word, or with 1, which says "affected" here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for, and hand over what it printed."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except KeyboardInterrupt:
            writes = ctx.invoked_subcommand in {"clean", "apply"}
            again = " What is finished is kept: the same command, started again, goes on from there."
            Terminal().error(f"Stopped.{again if writes else ''}")
            sys.exit(STOPPED)
        except BrokenPipeError:
            # Python would flush what is left at its end, and complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            Terminal().error("Whoever read the output stopped before its end.")
            sys.exit(ExpungeError.exit_code)


app = typer.Typer(
    name="expunge",
    cls=_Commands,
    help="Find rows that must go from a dataset, publish a clean release with a small signed diff, and bring a copy to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


app.command()(release_commands.clean)
app.command()(release_commands.verify)
app.command()(diff_commands.diff)
app.command()(diff_commands.explain)
app.command()(copy_commands.apply)
app.command()(copy_commands.check)
app.command()(index_commands.index)
app.command()(index_commands.locate)


def main() -> None:
    """Run the command, which is all that this process is for, and leave with its exit code."""
    leave_pandas_out()
    run()


def run() -> None:
    """Run the command in a process that may be somebody else's, and leave with its exit code."""
    try:
        app()
    except ExpungeError as error:
        Terminal().error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            Terminal().error("The disk is full. Free some space, then start again.")
        else:
            Terminal().error(f"{error.filename or 'a file'}: {error.strerror or error}.")
        sys.exit(ExpungeError.exit_code)
    except Exception:  # noqa: BLE001  a fault of ours must not leave with 1, which says "affected"
        traceback.print_exc()
        sys.exit(ExpungeError.exit_code)
