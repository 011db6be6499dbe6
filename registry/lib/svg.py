"""Drawings made on the server: the marks of the five meanings, and bar charts.

A drawing is text: no script, no style attribute, no outside file, so that it works under the strictest content security
policy, prints, and can be tested. Colours come from the style sheet by class name or `currentColor`. Charts have no
view box: widths are percentages and text keeps its size, so the same drawing is legible on a phone and on a wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

if TYPE_CHECKING:
    from collections.abc import Sequence

Meaning = Literal["good", "attention", "danger", "neutral", "quiet"]
MEANINGS: tuple[str, ...] = get_args(Meaning)

# Shapes differ in outline, not only in colour, so that they are told apart in black and white.
_SHAPES: dict[str, SafeString] = {
    "good": SafeString('<circle cx="6" cy="6" r="5" fill="currentColor"/>'),
    "attention": SafeString('<path d="M6 .8 11.6 11H.4Z" fill="currentColor"/>'),
    "danger": SafeString('<path d="M6 0 12 6 6 12 0 6Z" fill="currentColor"/>'),
    "neutral": SafeString(
        '<circle cx="6" cy="6" r="4.25" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    ),
    "quiet": SafeString(
        '<rect x="1.75" y="1.75" width="8.5" height="8.5" fill="none" stroke="currentColor" stroke-width="1.5"'
        ' stroke-dasharray="2 1.4"/>'
    ),
}

# One bar takes two lines: its label above, the bar with its figure at the end below.
_BAR_STEP = 48
_LABEL_BASELINE = 15
_BAR_TOP = 21
_BAR_HEIGHT = 16
# The longest bar leaves the rest of the width to the figure written at its end.
_LONGEST_BAR = 72.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it counts, how long it is (zero or more, in any one unit), and the figure written at its end."""

    label: str
    value: float
    text: str


def shape(meaning: str) -> SafeString:
    """Return the 12-unit mark of a meaning, hidden from assistive technology: the word beside it says the same.

    Raises ValueError for a meaning that does not exist.
    """
    if meaning not in _SHAPES:
        msg = f"no such meaning: {meaning!r}; use one of {', '.join(MEANINGS)}"
        raise ValueError(msg)
    return format_html(
        '<svg class="shape" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false">{}</svg>',
        _SHAPES[meaning],
    )


def bars(bars: Sequence[Bar], *, title: str, description: str, ident: str) -> SafeString:
    """Draw horizontal bars from zero, one below another, each labelled directly.

    `title` says the finding and `description` how to read the drawing; both are read out instead of the shapes.
    `ident` makes the ids unique on the page. Raises ValueError for a negative value.
    """
    longest = max((bar.value for bar in bars), default=0)
    if any(bar.value < 0 for bar in bars):
        msg = "a bar starts at zero: negative values have no bar"
        raise ValueError(msg)
    drawn = []
    for position, bar in enumerate(bars):
        top = position * _BAR_STEP
        width = bar.value / longest * _LONGEST_BAR if longest else 0.0
        drawn.append(
            (
                top + _LABEL_BASELINE,
                bar.label,
                top + _BAR_TOP,
                f"{width:.2f}%",
                _BAR_HEIGHT,
                f"{width:.2f}%",
                top + _BAR_TOP + _BAR_HEIGHT - 3,
                bar.text,
            )
        )
    height = len(bars) * _BAR_STEP
    return format_html(
        '<svg class="bars" role="img" width="100%" height="{height}" aria-labelledby="{ident}-title {ident}-desc">'
        '<title id="{ident}-title">{title}</title><desc id="{ident}-desc">{description}</desc>'
        '{bars}<line class="bars-axis" x1="0.5" x2="0.5" y1="0" y2="{height}"/></svg>',
        height=height,
        ident=ident,
        title=title,
        description=description,
        bars=format_html_join(
            "",
            '<text class="bars-label" x="6" y="{}">{}</text><rect class="bars-bar" x="0" y="{}" width="{}" height="{}"/>'
            '<text class="bars-figure" x="{}" dx="8" y="{}">{}</text>',
            drawn,
        ),
    )
