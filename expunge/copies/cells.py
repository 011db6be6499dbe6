"""What a redaction takes out of one sample: fields of its json, elements of lists in it, and its text."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# How json is written: as img2dataset does, then the other ways that are common.
_STYLES: tuple[dict[str, Any], ...] = (
    {"indent": 4},
    {},
    {"separators": (",", ":")},
    {"indent": 2},
)


@dataclass(frozen=True, slots=True)
class SampleCells:
    """The json's `fields` that become null, `elements` (field, place from 0) that leave their lists, and whether the text is emptied."""

    fields: frozenset[str] = frozenset()
    elements: frozenset[tuple[str, int]] = frozenset()
    text: bool = False

    def __bool__(self) -> bool:
        """Whether anything goes."""
        return bool(self.fields or self.elements or self.text)

    def __or__(self, other: SampleCells) -> SampleCells:
        """What either takes out."""
        return SampleCells(
            self.fields | other.fields, self.elements | other.elements, self.text or other.text
        )

    def __len__(self) -> int:
        """The cells and elements; the text counts as one where the json does not hold it."""
        return len(self.fields) + len(self.elements) or int(self.text)


def read_meta(meta: bytes | None) -> dict[str, Any] | None:
    """A sample's json as an object; None where it is missing or is none."""
    try:
        found = json.loads(meta) if meta else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def redacted_meta(meta: bytes, cells: SampleCells) -> bytes:
    """A sample's json without these cells, in the style in which it was written; the same bytes where nothing of them is in it."""
    fields = read_meta(meta)
    if fields is None:
        return meta
    kept = dict(fields)
    for name in cells.fields & fields.keys():
        kept[name] = None
    for name, places in _by_field(cells.elements).items():
        if isinstance(values := kept.get(name), list):
            kept[name] = [value for place, value in enumerate(values) if place not in places]
    if kept == fields:
        return meta
    for style in _STYLES:
        for ascii_only in (True, False):
            if json.dumps(fields, ensure_ascii=ascii_only, **style).encode("utf-8", "surrogatepass") == meta:
                return json.dumps(kept, ensure_ascii=ascii_only, **style).encode("utf-8", "surrogatepass")
    return json.dumps(kept, **_STYLES[0]).encode()


def _by_field(elements: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for name, place in elements:
        found[name].add(place)
    return found
