"""Template tags and filters for how things look: numbers, times, digests, marks, tables, forms and charts.

They know no domain. A number that is missing (None) is shown as an en dash, so a template needs no condition for it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.lib import svg, words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.core.paginator import Page
    from django.forms import BoundField
    from django.template.context import Context

register = template.Library()

MISSING = "\N{EN DASH}"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MONTH, _YEAR = 30.44 * _DAY, 365.25 * _DAY
# A deadline nearer than this asks for attention.
_NEAR = timedelta(hours=24)
_DIGEST_HEAD, _DIGEST_TAIL = 8, 6


# Numbers


@register.filter
def thousands(value: float | None) -> str:
    """Write a number with thousands separators: 1204 is "1,204"."""
    return MISSING if value is None else f"{value:,}"


@register.filter
def counted(value: int | None, noun: str) -> str:
    """Write a number with its noun: `rows|counted:"row"` is "1,204 rows", `n|counted:"match,matches"` is "1 match"."""
    one, _, many = noun.partition(",")
    return f"{MISSING} {many or one + 's'}" if value is None else words.counted(value, one, many)


@register.filter("bytes")
def byte_size(value: float | None) -> str:
    """Write a number of bytes in decimal units: 1234567 is "1.2 MB"."""
    if value is None:
        return MISSING
    if value == 1:
        return "1 byte"
    if value < 1_000:
        return f"{value:,.0f} bytes"
    size = float(value)
    for unit in ("KB", "MB", "GB", "TB"):
        size /= 1_000
        # Below 999.95 one decimal rounds to at most 999.9, so no unit is ever shown with a thousand of itself.
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1_000:,.1f} PB"


@register.filter
def percent(value: float | None, digits: int = 1) -> str:
    """Write a ratio from 0 to 1 as a percentage; a ratio that is neither 0 nor 1 is never rounded to 0 % or 100 %."""
    if value is None:
        return MISSING
    step = 10.0**-digits
    shown = round(value * 100, digits)
    if value > 0 and shown < step:
        return f"<{step:.{digits}f}%"
    if value < 1 and shown >= 100:
        return f">{100 - step:.{digits}f}%"
    return f"{shown:.{digits}f}%"


@register.filter
def points(value: float | None) -> str:
    """Write a difference of two ratios in percentage points, with its sign."""
    if value is None:
        return MISSING
    shown = f"{abs(value) * 100:.1f}"
    sign = "" if float(shown) == 0 else "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{shown} points"


@register.filter
def duration(value: float | timedelta | None) -> str:
    """Write seconds or a timedelta in its two largest units: "8.4 s", "2 h 5 min", "3 d 4 h". The sign is dropped."""
    if value is None:
        return MISSING
    seconds = abs(value.total_seconds() if isinstance(value, timedelta) else float(value))
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms" if seconds else "0 s"
    # 9.95 s and more would round to "10.0 s", which claims a precision that the next size up does not have.
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    units = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s"))
    position = next(i for i, (size, _) in enumerate(units) if whole >= size)
    (large, large_name), (small, small_name) = units[position], units[position + 1]
    first, rest = divmod(whole, large)
    second = rest // small
    return f"{first:,} {large_name} {second} {small_name}" if second else f"{first:,} {large_name}"


# Times


def _moment(value: date) -> datetime:
    """Return a date or a datetime as an aware datetime in UTC; a bare date is its midnight."""
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _relative(seconds: float) -> str:
    """Write a distance from now in one unit: positive is the future."""
    size = abs(seconds)
    if size < 45:
        return "in a moment" if seconds > 0 else "just now"
    for limit, unit, name in (
        (45 * _MINUTE, _MINUTE, "minute"),
        (22 * _HOUR, _HOUR, "hour"),
        (45 * _DAY, _DAY, "day"),
        (18 * _MONTH, _MONTH, "month"),
        (float("inf"), _YEAR, "year"),
    ):
        if size < limit:
            count = max(1, round(size / unit))
            words = f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
            break
    return f"in {words}" if seconds > 0 else f"{words} ago"


@register.filter
def when(value: date | None) -> str:
    """Write a time relative to now ("3 hours ago"), with the exact UTC time in `datetime` and `title`."""
    if value is None:
        return MISSING
    moment = _moment(value)
    relative = _relative((moment - timezone.now()).total_seconds())
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        _machine(moment),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        relative,
    )


@register.filter
def stamp(value: date | None) -> str:
    """Write the exact UTC time to the minute, or a bare date as it is; the distance from now is the `title`."""
    if value is None:
        return MISSING
    moment = _moment(value)
    text = f"{moment:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else f"{value:%Y-%m-%d}"
    relative = _relative((moment - timezone.now()).total_seconds())
    return format_html('<time datetime="{}" title="{}">{}</time>', _machine(moment), relative, text)


def _machine(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@register.inclusion_tag("components/_clock.html")
def clock(due: datetime | None, *, paused: bool = False, done: datetime | None = None) -> dict[str, Any]:
    """Show the time left until `due`, in words, shape and colour; `paused` and `done` stop it and say so."""
    if due is None:
        return {"word": "no deadline", "meaning": "neutral", "due": None}
    left = due - timezone.now()
    if done is not None:
        met = done <= due
        return {
            "word": "in time" if met else f"{duration(done - due)} late",
            "meaning": "good" if met else "danger",
            "due": due,
        }
    if paused:
        return {"word": "paused", "meaning": "quiet", "due": due}
    if left < timedelta(0):
        return {"word": f"{duration(left)} late", "meaning": "danger", "due": due}
    return {
        "word": f"due in {duration(left)}",
        "meaning": "attention" if left < _NEAR else "neutral",
        "due": due,
    }


# Marks, digests, commands


@register.simple_tag
def status_mark(word: object, meaning: str = "neutral") -> SafeString:
    """Show a state as word, shape and colour. Meanings: good, attention, danger, neutral, quiet."""
    return format_html(
        '<span class="mark" data-meaning="{}">{}<span>{}</span></span>', meaning, svg.shape(meaning), word
    )


@register.filter
def digest(value: str | bytes | memoryview | None) -> str:
    """Show a digest shortened in the middle; the whole of it can be selected, copied and printed."""
    if not value:
        return MISSING
    text = value if isinstance(value, str) else bytes(value).hex()
    if len(text) <= _DIGEST_HEAD + _DIGEST_TAIL + 4:
        return format_html('<span class="digest"><code>{}</code></span>', text)
    head, middle, tail = text[:_DIGEST_HEAD], text[_DIGEST_HEAD:-_DIGEST_TAIL], text[-_DIGEST_TAIL:]
    # The middle stays in the text, drawn with no width: selecting and searching the page still find the whole value.
    return format_html(
        '<span class="digest"><code title="{}">{}<span class="digest-middle">{}</span>{}</code>{}</span>',
        text, head, middle, tail, _copy_button(text, f"digest {head}…{tail}", quiet=True),
    )  # fmt: skip


@register.simple_block_tag
def command(content: str, label: str = "Command") -> SafeString:
    """Show a command to copy: {% command label="Verify it" %}expunge verify {{ release.url }}{% endcommand %}."""
    # The template escaped its variables, not its own text: start again from the plain text, which is also what is copied.
    # Leading and trailing line breaks are only layout of the template.
    text = unescape(content.strip())
    return format_html(
        '<figure class="command"><figcaption>{}</figcaption><pre><code>{}</code></pre>{}</figure>',
        label, text, _copy_button(text, label),
    )  # fmt: skip


def _copy_button(value: str, what: str, *, quiet: bool = False) -> SafeString:
    """Return the button that copies `value`; the style sheet shows it only where a script can do it."""
    return format_html(
        '<button type="button" class="copy{}" data-copy="{}"><span class="copy-word">Copy</span>'
        '<span class="visually-hidden"> {}</span></button>',
        " copy--quiet" if quiet else "", value, what,
    )  # fmt: skip


@register.simple_block_tag
def answer(content: str, meaning: str = "neutral") -> SafeString:
    """Show the answer of a record page: its first <strong> is the answer, the rest says why or what to do."""
    return format_html(
        '<p class="answer" data-meaning="{}">{}<span>{}</span></p>',
        meaning,
        svg.shape(meaning),
        SafeString(content.strip()),
    )


# Navigation, tables, paging


@register.simple_tag(takes_context=True)
def nav_link(context: Context, name: str, text: str) -> str:
    """Link to a named page and mark it as current; a page that is not installed has no link."""
    try:
        url = reverse(name)
    except NoReverseMatch:
        return ""
    path = getattr(context.get("request"), "path", "")
    current = SafeString("")
    if path == url:
        current = SafeString(' aria-current="page"')
    elif url != "/" and path.startswith(url):
        current = SafeString(' aria-current="true"')
    return format_html('<li><a href="{}"{}>{}</a></li>', url, current, text)


@register.inclusion_tag("components/_pager.html", takes_context=True)
def pager(context: Context, page: Page[Any], noun: str = "rows", param: str = "page") -> dict[str, Any]:
    """Show where we are in a paginated list and links to the other pages, keeping the rest of the query string.

    One of several lists on a page has a `param` of its own, which is also the id of its place: links lead back to it.
    """
    request = context["request"]
    place = "" if param == "page" else f"#{param}"

    def url(number: int) -> str:
        query = request.GET.copy()
        query[param] = str(number)
        return f"?{query.urlencode()}{place}"

    numbers: Iterable[int | str] = page.paginator.get_elided_page_range(
        page.number, on_each_side=1, on_ends=1
    )
    return {
        "page": page,
        "noun": noun,
        "links": [(n, url(n) if isinstance(n, int) else "") for n in numbers],
        "previous": url(page.previous_page_number()) if page.has_previous() else "",
        "next": url(page.next_page_number()) if page.has_next() else "",
    }


@register.simple_tag(takes_context=True)
def sort_header(
    context: Context, text: str, key: str, *, default: str = "", numeric: bool = False, param: str = "sort"
) -> SafeString:
    """Make a column head that sorts by `key`: `?sort=key`, then `?sort=-key`. `default` is the order without a query."""
    request = context["request"]
    order = request.GET.get(param) or default
    query = request.GET.copy()
    # Another order starts again at the first page.
    query.pop("page", None)
    query[param] = f"-{key}" if order == key else key
    state = {key: "ascending", f"-{key}": "descending"}.get(order, "")
    arrow = {"ascending": "M6 2 11 10H1Z", "descending": "M1 2h10L6 10Z", "": "M6 0 10 5H2ZM2 7h8L6 12Z"}[
        state
    ]
    return format_html(
        '<th scope="col"{}{}><a class="sort" href="?{}">{}<svg viewBox="0 0 12 12" width="9" height="9" aria-hidden="true">'
        '<path d="{}" fill="currentColor"/></svg></a></th>',
        SafeString(' class="number"') if numeric else "",
        format_html(' aria-sort="{}"', state) if state else "",
        query.urlencode(), text, arrow,
    )  # fmt: skip


# Forms and charts


@register.inclusion_tag("components/_field.html")
def field(field: BoundField, rows: int | None = None) -> dict[str, Any]:
    """Show one form field: label, help, error, control, joined for assistive technology. `rows` sizes a text area.

    A field that a form marks `one_of` is not called optional: it may stay empty only where another is filled.
    """
    if rows is not None:
        field.field.widget.attrs["rows"] = rows
    optional = not field.field.required and not getattr(field.field, "one_of", False)
    return {"field": field, "tick": field.widget_type == "checkbox", "optional": optional}


@register.inclusion_tag("components/_chart.html")
def bar_chart(
    title: str, rows: Iterable[tuple[str, float] | tuple[str, float, str]], *,
    ident: str = "chart", label: str = "What", figure: str = "Count", csv_url: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Show a bar chart with its table. `rows` hold (label, value) or (label, value, figure in words), longest first.

    `title` says the finding; `label` and `figure` are the heads of the table; `ident` is unique on the page.
    """
    drawn = [
        svg.Bar(str(row[0]), float(row[1]), row[2] if len(row) == 3 else thousands(row[1])) for row in rows
    ]
    return {
        "title": title,
        "svg": svg.bars(
            drawn,
            title=title,
            description=f"{figure} by {label.lower()}; the table below has the same figures.",
            ident=ident,
        ),
        "bars": drawn,
        "label": label,
        "figure": figure,
        "csv_url": csv_url,
    }
