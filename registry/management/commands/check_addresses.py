"""Hold the door's address table against IANA's special-purpose registries, from files that the operator has fetched.

manage.py check_addresses iana-ipv4-special-registry-1.csv iana-ipv6-special-registry-1.csv
"""

from __future__ import annotations

import csv
import re
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from registry.lib.safe_http.addresses import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOOTNOTE = re.compile(r"\[\d+\]")


class Command(BaseCommand):
    help = (
        "Compare the addresses that outgoing requests may not reach with IANA's registries of special-purpose addresses, "
        "as CSV files. Ends with an error where a block that is not globally reachable could be reached."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")

    def handle(self, *_args: Any, **options: Any) -> None:
        count, open_to = 0, []
        for file in options["files"]:
            for block in blocks_closed(file):
                count += 1
                network = ip_network(block)
                if judge(str(network[0])) is None or judge(str(network[-1])) is None:
                    open_to.append(block)
        if open_to:
            raise CommandError(f"These could be reached, and should not: {', '.join(open_to)}.")
        self.stdout.write(f"None of {count} special blocks can be reached.")


def blocks_closed(file: Path) -> Iterator[str]:
    """The blocks of one registry that it does not call globally reachable. Raises CommandError for another file."""
    try:
        with file.open(newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        pairs = [(row["Address Block"], row["Globally Reachable"]) for row in rows]
        for blocks, reachable in pairs:
            if _FOOTNOTE.sub("", reachable).strip() != "True":
                for block in _FOOTNOTE.sub("", blocks).split(","):
                    yield str(ip_network(block.strip()))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{file} is not one of IANA's registries as CSV.") from error
    if not pairs:
        raise CommandError(f"{file} has no block at all.")
