"""What a host reserves by the TDM Reservation Protocol: `/.well-known/tdmrep.json`, a list of paths with yes or no.

The same may stand in a header of an answer (`TDM-Reservation`, read in `outcomes.py`), which then holds for it alone.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from registry.lib.safe_http import Limits
from registry.lib.storable import storable

if TYPE_CHECKING:
    from collections.abc import Iterable

TDM = "tdm-reservation"  # the name of the evidence, as of the header
REMEMBERED = timedelta(hours=24)
LIMITS = Limits(body_bytes=64 * 1024, redirects=0)
_MAX_RULES = 200
_MAX_PATTERN = 500

Rule = tuple[str, bool]


def tdmrep_url(url: str) -> str:
    """Where the reservations that concern `url` are."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "/.well-known/tdmrep.json", "", ""))


def read_rules(body: bytes) -> list[Rule]:
    """The rules of a file, in order: pattern of paths, and whether it is reserved. Nothing for what is not such a file."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(given, list):
        return []
    rules = []
    for one in given[:_MAX_RULES]:
        location = one.get("location") if isinstance(one, dict) else None
        reserved = one.get(TDM) if isinstance(one, dict) else None
        if isinstance(location, str) and len(location) <= _MAX_PATTERN:
            rules.append((storable(location), reserved in (1, "1") and reserved is not True))
    return rules


def is_reserved(rules: Iterable[Rule], url: str) -> bool:
    """Whether the first rule that fits the path of `url` reserves it."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return next((reserved for pattern, reserved in rules if _fits(pattern, path)), False)


def _fits(pattern: str, path: str) -> bool:
    """As in robots.txt: a beginning, in which `*` stands for anything and a last `$` for the end. Linear in time."""
    is_to_end = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    if not others:
        return place == len(path) or not is_to_end
    for part in others[:-1]:
        found = path.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    if is_to_end:
        return len(path) - len(others[-1]) >= place and path.endswith(others[-1])
    return path.find(others[-1], place) >= 0
