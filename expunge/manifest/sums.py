"""`SHA256SUMS`, and the roots that are digests over such lines."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from expunge.errors import ExpungeError, UsageError
from expunge.shards import check_name
from expunge.shards.source import SUMS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class BadRelease(ExpungeError):  # noqa: N818  it names what is bad
    """A release folder that is not what it says it is."""


def version_root(digests: Mapping[str, str]) -> str:
    """The root of a version: SHA-256 (hex) over its shards' `<sha256>  <name>` lines in name order."""
    return hashlib.sha256(format_sums(digests)).hexdigest()


def format_sums(digests: Mapping[str, str]) -> bytes:
    """The text that `sha256sum -c` reads, in name order."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def read_sums(folder: Path) -> dict[str, str]:
    """Read `SHA256SUMS`: path -> SHA-256 in hex. Raises `BadRelease`, naming the line."""
    path = folder / SUMS_FILE
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRelease(f"{path} cannot be read. Is {folder} a release?") from error
    digests: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise BadRelease(f"{path}: line {number} is not a SHA-256, two spaces and a path.")
        try:
            check_name(match[2])
        except UsageError as error:
            raise BadRelease(f"{path}: line {number}: {error}") from error
        digests[match[2]] = match[1]
    if format_sums(digests).decode() != text:
        raise BadRelease(
            f"{path} was not written by expunge: each path comes once, in the order of the names."
        )
    return digests


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
