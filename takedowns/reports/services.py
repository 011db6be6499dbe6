"""Taking a report in.

1. Refuse what this site cannot take (`refusals.py`), before anything is stored.
2. Read every line; a line that cannot be read stays as an item with the reason, a repeated one as a duplicate.
3. Store items, then the report with its number, and let `cases` open a case (`hooks.py`), in one transaction.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from expunge.errors import ExpungeError
from registry.auditlog.services import audit_append
from registry.lib.copying import copy_rows
from registry.lib.errors import Refused
from registry.lib.ids import new_secret, secret_digest, uuid7
from registry.lib.storable import storable
from takedowns.reports.hooks import hooks
from takedowns.reports.models import Item, Outcome, Report, Source, line_place
from takedowns.reports.numbers import number_next
from takedowns.reports.refusals import refusal
from takedowns.reports.targets import read_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from uuid import UUID

    from registry.accounts.models import User
    from registry.datasets.models import Dataset, Version
    from takedowns.reports.models import Category

MAX_ITEMS = 100_000
MAX_LINE = 8_000  # characters; the longest URL that browsers and servers commonly pass
MAX_KEY_BYTES = 1_000  # an id is its own key, and an index entry of PostgreSQL holds no more than 2,704
ITEM_COLUMNS = [
    "report_id", "position", "value", "kind", "key", "target", "column", "redacted", "outcome", "note",
]  # fmt: skip
_Names = tuple[str, bytes, str, str]  # kind, key, target, column


def report_create(
    *,
    actor: User | None,
    dataset: Dataset,
    category: Category,
    description: str,
    lines: Iterable[str],
    file_lines: Sequence[str] | None = None,
    versions: Sequence[Version] = (),
    source: Source = Source.ARTICLE_16_NOTICE,
    contact_name: str = "",
    contact_email: str = "",
) -> tuple[Report, str]:
    """Take a report in and return it with the secret of its status link, which is not stored.

    `lines` hold an item each, as `targets.read_line` reads them, and `file_lines` those of an attached file, at most
    MAX_ITEMS in all that are not empty. The place of a line among all of them, from 1, stays the item's position. Raises
    Refused where the category is not taken here, where the versions are of another dataset, where there are too many
    lines, or none that can be read.
    """
    if answer := refusal(category):
        raise Refused(answer)
    if any(version.dataset_id != dataset.pk for version in versions):
        raise Refused("A version named in the report belongs to another dataset. Nothing was kept.")
    report_id, now, secret = uuid7(), timezone.now(), new_secret()
    pasted = list(lines)
    pasted_lines = None if file_lines is None else len(pasted)
    items = list(_items(report_id, [*pasted, *(file_lines or ())], pasted_lines))
    readable = sum(item.outcome == Outcome.PENDING for item in items)
    if not readable:
        raise Refused(_nothing_readable(items, pasted_lines))
    with transaction.atomic():
        # The items go first and the number last: the foreign key is checked at the commit, and the counter row is then
        # locked for a moment only, not while 100,000 lines are written.
        copy_rows(Item, ITEM_COLUMNS, ([getattr(item, name) for name in ITEM_COLUMNS] for item in items))
        report = Report.objects.create(
            id=report_id,
            number=number_next("RPT"),
            dataset=dataset,
            category=category,
            source=source,
            description=description,
            contact_name=contact_name,
            contact_email=contact_email,
            token_digest=secret_digest(secret),
            items_total=len(items),
            items_readable=readable,
            pasted_lines=pasted_lines,
            created_at=now,
            due_at=now + timedelta(hours=category.clock_hours),
        )
        report.versions.set(versions)
        audit_append(
            actor=actor,
            action="report_create",
            subject=report,
            organisation=dataset.organisation,
            data={"category": category.pk, "items": len(items), "readable": readable},
        )
        for created in hooks.report_created:
            created(report)
    return report, secret


def _items(report_id: UUID, lines: Iterable[str], pasted_lines: int | None) -> Iterator[Item]:
    """Read lines into items that are not stored yet. Raises Refused at the first line beyond MAX_ITEMS."""
    seen: dict[_Names, int] = {}
    count = 0
    for position, line in enumerate(lines, start=1):
        value = line.strip()
        if not value:
            continue
        count += 1
        if count > MAX_ITEMS:
            raise Refused(
                f"A report holds at most {MAX_ITEMS:,} items, and this one has more. Nothing was kept: split it "
                "and send the parts one after the other."
            )
        stored = storable(value[:MAX_LINE])
        item = Item(report_id=report_id, position=position, value=stored)
        if len(value) > MAX_LINE:
            item.outcome, item.note = Outcome.INVALID, f"Longer than {MAX_LINE:,} characters."
        elif stored != value:
            item.outcome, item.note = Outcome.INVALID, "Holds characters that no URL or hash can hold."
        else:
            _read(item, seen, pasted_lines)
        yield item


def _read(item: Item, seen: dict[_Names, int], pasted_lines: int | None) -> None:
    """Give an item its key, or the outcome that says why it has none. `seen` maps what was named to its first position."""
    try:
        named, entry = read_line(item.value)
    except ExpungeError as error:
        item.outcome, item.note = Outcome.INVALID, str(error)[:500]
        return
    if len(entry.key) > MAX_KEY_BYTES:
        item.outcome, item.note = Outcome.INVALID, f"Longer than an id can be ({MAX_KEY_BYTES:,} bytes)."
        return
    item.kind, item.key = entry.kind.value, entry.key
    item.target, item.column = named.target, named.column
    first = seen.setdefault((item.kind, entry.key, item.target, item.column), item.position)
    if first != item.position:
        item.outcome, item.note = Outcome.DUPLICATE, f"The same as {line_place(first, pasted_lines)}."


def _nothing_readable(items: Sequence[Item], pasted_lines: int | None) -> str:
    if not items:
        return "A report needs at least one item: a URL, host:…, domain:…, md5:… or another key, one a line."
    first = items[0]
    none = "The only line could not" if len(items) == 1 else f"None of the {len(items):,} lines could"
    place = line_place(first.position, pasted_lines).capitalize()
    return f"{none} be read. {place}: {first.note} Nothing was kept."
