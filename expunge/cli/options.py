"""The options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

CORES = os.cpu_count() or 1
MOST_LISTED = 20


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
OutputFormat = Annotated[FormatOption, typer.Option("--format", help="How to print the result.")]
MinisignPub = Annotated[
    Path | None, typer.Option("--minisign-pub", help="The publisher's minisign public key.")
]
OmsPub = Annotated[Path | None, typer.Option("--oms-pub", help="The publisher's P-256 public key (PEM).")]
