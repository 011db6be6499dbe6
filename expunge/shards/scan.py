"""Where rows begin and end in a block of text, found for the whole block at once.

The functions here are the fast twins of the exact parsers in `delimited.py`, `jsonl.py` and `plain.py`. They look at the
positions of a few bytes (quote, delimiter, line break) with NumPy, and vouch only for what those positions prove: for
anything in doubt the answer is None, and the exact parser reads that block instead. `tests/properties` holds the twins
against each other. A block begins where a row may begin; what follows its last row end is left for the next block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Places = NDArray[np.int64]
"""Places of bytes in a block, from 0, ascending."""

TAB, LINE_FEED, RETURN, SPACE, QUOTE = b'\t\n\r "'


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows in the first `length` bytes of a block: row i is `starts[i]:ends[i]`, its end included."""

    length: int
    starts: Places
    ends: Places

    @classmethod
    def between(cls, breaks: Places) -> Rows:
        """One row up to each of these line feeds, of which there is one at least."""
        ends = breaks + 1
        return cls(int(ends[-1]), np.concatenate(([0], ends[:-1])), ends)

    def where(self, kept: NDArray[np.bool_]) -> Rows:
        """The rows for which this holds; the others are no rows but stay among the bytes."""
        return self if kept.all() else Rows(self.length, self.starts[kept], self.ends[kept])


_NONE: Places = np.zeros(0, dtype=np.int64)


def is_text(data: bytes) -> bool:
    """Whether these are whole UTF-8 characters and none of them is NUL."""
    if b"\0" in data:
        return False
    if data.isascii():
        return True
    # As one value of an Arrow array: to have that checked takes a seventh of the time of decoding it.
    whole = pa.py_buffer(np.array([0, len(data)]))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, whole, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def line_breaks(data: bytes) -> Places:
    """The places of all line feeds."""
    return np.flatnonzero(_bytes(data) == LINE_FEED)


def count_lines(data: bytes) -> int:
    """How many line feeds there are."""
    return int(np.count_nonzero(_bytes(data) == LINE_FEED))


def record_breaks(data: bytes, delimiter: int) -> Places | None:
    """The places of the line feeds that end a record of RFC 4180, blank lines too; None where there is any doubt.

    No doubt means, up to the last of them: every quote opens a field, closes one or is doubled inside one, as their
    parity says, and outside of quotes a carriage return stands only before a line feed.
    """
    breaks = line_breaks(data)
    quotes = _quotes(data)
    if len(quotes):
        breaks = breaks[_outside(quotes, breaks)]
    if not len(breaks):
        return None
    last = int(breaks[-1])
    quotes = quotes[: np.searchsorted(quotes, last)]  # an even number of them, for the last break is outside
    if len(quotes) and not _in_place(data, quotes, delimiter):
        return None
    if b"\r" in data:
        returns = np.flatnonzero(_bytes(data)[:last] == RETURN)
        returns = returns[_outside(quotes, returns)]
        if (_bytes(data)[returns + 1] != LINE_FEED).any():
            return None
    return breaks


def with_content(data: bytes, rows: Rows) -> NDArray[np.bool_]:
    """Whether each row is more than its line break."""
    lengths = rows.ends - rows.starts
    content: NDArray[np.bool_] = (lengths > 2) | ((lengths == 2) & (_bytes(data)[rows.starts] != RETURN))
    return content


def not_blank(data: bytes, rows: Rows) -> NDArray[np.bool_]:
    """Whether each row holds anything but ASCII white space."""
    kept = np.ones(len(rows.starts), dtype=bool)
    # What does not begin with white space is not looked at one by one.
    first = _bytes(data)[rows.starts]
    for row in np.flatnonzero((first == SPACE) | ((first >= TAB) & (first <= RETURN))).tolist():
        kept[row] = not data[rows.starts[row] : rows.ends[row]].isspace()
    return kept


def field_breaks(data: bytes, row_breaks: Places, width: int, delimiter: int) -> Places | None:
    """The place of the delimiter or line feed after each field, of shape (rows, width).

    `data` are whole records that `record_breaks` vouched for, and `row_breaks` the breaks of those that are no blank
    lines. None where some row has not `width` fields.
    """
    buffer = _bytes(data)
    breaks = np.flatnonzero((buffer == delimiter) | (buffer == LINE_FEED))
    quotes = _quotes(data)
    if len(quotes):
        breaks = breaks[_outside(quotes, breaks)]
    ends_line = buffer[breaks] == LINE_FEED
    if np.count_nonzero(ends_line) != len(row_breaks):  # some lines are blank, and end no field
        breaks = breaks[~ends_line | np.isin(breaks, row_breaks)]
    if len(breaks) != len(row_breaks) * width:
        return None
    fields = breaks.reshape(len(row_breaks), width)
    return fields if np.array_equal(fields[:, -1], row_breaks) else None


def without_return(data: bytes, ends: Places) -> Places:
    """The same ends, each before the carriage return where one stands directly before it."""
    if b"\r" not in data:
        return ends
    trimmed: Places = ends - ((_bytes(data)[np.maximum(ends, 1) - 1] == RETURN) & (ends > 0))
    return trimmed


def bytes_at(data: bytes, places: Places) -> NDArray[np.uint8]:
    """The byte at each place."""
    return _bytes(data)[places]


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


def _quotes(data: bytes) -> Places:
    return np.flatnonzero(_bytes(data) == QUOTE) if b'"' in data else _NONE


def _outside(quotes: Places, places: Places) -> NDArray[np.bool_]:
    """Whether an even number of quotes comes before each place."""
    outside: NDArray[np.bool_] = np.searchsorted(quotes, places) % 2 == 0
    return outside


def _in_place(data: bytes, quotes: Places, delimiter: int) -> bool:
    """Whether every quote stands where one may: by parity, the even ones open a quoted run and the odd ones close it.

    A run opens at the start of a field, and closes at its end; a run that opens directly after another closed is the
    second half of a doubled quote. (A return after a closing quote is left to the check of all returns.)
    """
    buffer = _bytes(data)
    opening, closing = quotes[::2], quotes[1::2]
    before = buffer[opening[opening > 0] - 1]
    after = buffer[closing + 1]
    opens = (before == delimiter) | (before == LINE_FEED) | (before == QUOTE)
    closes = (after == delimiter) | (after == LINE_FEED) | (after == QUOTE) | (after == RETURN)
    return bool(opens.all() and closes.all())
