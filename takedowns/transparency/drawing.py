"""A small drawing of lineage: what a dataset's versions were made of on the left, what was made of them on the right.

It repeats the table beside it, so it is read out as one sentence; see `registry.lib.svg` for how drawings are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.html import format_html, format_html_join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.utils.safestring import SafeString

_WIDTH, _HEIGHT = 200, 44
_GAP_X, _GAP_Y = 64, 12
_LABEL_MOST = 26
# More than fits beside a table; the table has them all.
MOST_NODES = 24


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge by the labels of its ends."""

    parent: str
    child: str
    kind: str


def lineage_drawing(edges: Sequence[Edge], *, title: str, ident: str = "lineage") -> SafeString | str:
    """Draw the edges in layers from left to right, each end in the layer after the last of its parents.

    Returns "" where there is nothing to draw or more than MOST_NODES ends. `edges` hold no circle.
    """
    layers = _layers(edges)
    if not layers or sum(map(len, layers)) > MOST_NODES:
        return ""
    places = {
        label: (x * (_WIDTH + _GAP_X) + 1, y * (_HEIGHT + _GAP_Y) + 1)
        for x, layer in enumerate(layers)
        for y, label in enumerate(layer)
    }
    width = len(layers) * (_WIDTH + _GAP_X) - _GAP_X + 2
    height = max(map(len, layers)) * (_HEIGHT + _GAP_Y) - _GAP_Y + 2
    # Its natural size where there is room, else as wide as the page.
    return format_html(
        '<svg class="lineage" role="img" viewBox="0 0 {} {}" width="100%" height="{}" preserveAspectRatio="xMinYMid meet" aria-labelledby="{}-title">'
        '<title id="{}-title">{}</title>{}{}</svg>',
        width, height, height, ident, ident, title, _lines(edges, places), _boxes(places),
    )  # fmt: skip


def _layers(edges: Sequence[Edge]) -> list[list[str]]:
    """The labels by depth: the longest way from an end that has no parent."""
    depth: dict[str, int] = {}
    for edge in edges:
        depth.setdefault(edge.parent, 0)
        depth.setdefault(edge.child, 0)
    # Without a circle the longest way has fewer steps than there are ends.
    for _ in depth:
        for edge in edges:
            depth[edge.child] = max(depth[edge.child], depth[edge.parent] + 1)
        if all(depth[edge.child] > depth[edge.parent] for edge in edges):
            break
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for label, layer in depth.items():
        layers[layer].append(label)
    return layers


def _lines(edges: Sequence[Edge], places: dict[str, tuple[int, int]]) -> SafeString:
    lines = []
    for edge in edges:
        (x1, y1), (x2, y2) = places[edge.parent], places[edge.child]
        start, end, middle = x1 + _WIDTH, x2, (x1 + _WIDTH + x2) / 2
        lines.append(
            (
                f"M{start} {y1 + _HEIGHT / 2:g}C{middle:g} {y1 + _HEIGHT / 2:g} {middle:g} {y2 + _HEIGHT / 2:g} {end} {y2 + _HEIGHT / 2:g}",
            )
        )
    return format_html_join("", '<path d="{}" fill="none" stroke="currentColor" stroke-opacity=".5"/>', lines)


def _boxes(places: dict[str, tuple[int, int]]) -> SafeString:
    return format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" rx="4" fill="none" stroke="currentColor"/>'
        '<text x="{}" y="{}" font-size="13" fill="currentColor">{}</text>',
        (
            (x, y, _WIDTH, _HEIGHT, x + 10, y + _HEIGHT / 2 + 4.5, _short(label))
            for label, (x, y) in places.items()
        ),
    )


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_MOST else f"{label[: _LABEL_MOST - 1]}…"
