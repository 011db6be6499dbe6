"""Text that PostgreSQL stores: what strangers write may hold NUL, and their JSON halves of surrogate pairs."""

from __future__ import annotations

import re

_NOT_STORED = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with U+FFFD for every character that neither `text` nor `jsonb` takes."""
    return _NOT_STORED.sub("\ufffd", text)
