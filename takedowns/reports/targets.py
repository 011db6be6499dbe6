"""What a line of a report asks to go: rows, a cell of each, or an element of a list in each.

https://img.example.com/1.jpg                     the rows that the key names
cell:caption https://img.example.com/1.jpg        the cell in column `caption` of these rows
cell:"alt text" md5:0cc1…                         the same, for a column with spaces in its name
element:https://img.example.com/1.jpg             this URL where a row holds a list of them; the rest of the list stays
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from expunge.errors import BadList
from expunge.lists import parse_entry
from takedowns.reports.models import MOST_COLUMN, Target

if TYPE_CHECKING:
    from expunge.lists import Entry

_CELL = re.compile(r'\s*(?:"([^"]+)"|([^\s"]+))\s+(\S.*)', re.DOTALL)


class Line(NamedTuple):
    """What a line names: a target, the column of a cell (else empty), and the text that gives the key of its rows."""

    target: Target
    column: str
    text: str


def split_line(line: str) -> Line:
    """Tell what a line names, its key not yet understood. Raises BadList where a cell is not named as it should be."""
    word, colon, rest = line.strip().partition(":")
    match word.lower() if colon else "":
        case "element":
            return Line(Target.ELEMENT, "", rest.strip())
        case "cell":
            found = _CELL.fullmatch(rest)
            column = (found[1] or found[2]).strip() if found else ""
            # What is called like an address is a slip of the pen, and a column's name is shown as it is.
            if found is None or not column or "://" in column or not column.isprintable():
                raise BadList("A cell is named by its column and its row, such as cell:caption https://….")
            if len(column) > MOST_COLUMN:
                raise BadList(f"The name of a column is at most {MOST_COLUMN} characters long.")
            return Line(Target.CELL, column, found[3].strip())
        case _:
            return Line(Target.ROW, "", line.strip())


def read_line(line: str) -> tuple[Line, Entry]:
    """Understand a line: what it names, and the key of its rows. Raises `expunge.errors.ExpungeError`, saying what is wrong."""
    named = split_line(line)
    return named, parse_entry(named.text)
