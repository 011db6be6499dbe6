"""What someone tells us: reports, and the items each one names."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.utils import timezone

from registry.lib.ids import uuid7


class Sensitivity(models.TextChoices):
    """How material of a category is stored, shown and published."""

    OPEN = "open", "Open"
    GUARDED = "guarded", "Guarded"
    SEALED = "sealed", "Sealed"


class Source(models.TextChoices):
    """Where a report comes from, as the EU Digital Services Act names it."""

    ARTICLE_16_NOTICE = "article_16_notice", "Notice"
    TRUSTED_FLAGGER = "trusted_flagger", "Trusted flagger"
    OWN_INITIATIVE = "own_initiative", "Own initiative"
    OTHER = "other", "Other"


MOST_COLUMN = 200  # characters of the name of a column that an item may give


class Outcome(models.TextChoices):
    """What came of one item."""

    PENDING = "pending", "Not decided yet"
    REMOVE = "remove", "Remove"
    REDACT = "redact", "Redact"
    REJECT = "reject", "Kept: not removed"
    INVALID = "invalid", "Could not be read"
    DUPLICATE = "duplicate", "Named twice in this report"
    NOT_FOUND = "not_found", "In no version of this dataset"


class Target(models.TextChoices):
    """What an item asks to go: rows, or only one cell of each of them, or only one element of a list."""

    ROW = "row", "Row"
    CELL = "cell", "Cell"
    ELEMENT = "element", "Element of a list"


class Category(models.Model):
    """What is wrong, with the clock and sensitivity that follow from it. Data, not code."""

    slug = models.SlugField(primary_key=True)
    label = models.CharField(max_length=100)
    help = models.CharField(max_length=300)
    sensitivity = models.CharField(max_length=10, choices=Sensitivity)
    clock_hours = models.PositiveIntegerField(help_text="Hours from receipt to decision that we promise")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.label


class Counter(models.Model):
    """The last number given in one public series, such as RPT-2026."""

    series = models.CharField(primary_key=True, max_length=20)
    last = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.series}-{self.last:04d}"


class Report(models.Model):
    """One report about one dataset."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField(max_length=20, unique=True, help_text="RPT-2026-0001")
    dataset = models.ForeignKey("registry.Dataset", on_delete=models.PROTECT, related_name="reports")
    versions = models.ManyToManyField("registry.Version", related_name="reports", blank=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="reports")
    source = models.CharField(max_length=20, choices=Source, default=Source.ARTICLE_16_NOTICE)
    description = models.TextField()
    contact_name = models.CharField(max_length=200, blank=True)
    contact_email = models.EmailField(blank=True)
    token_digest = models.BinaryField(
        max_length=32, unique=True, help_text="SHA-256 of the secret status link"
    )
    # Counted once at intake: lines never change afterwards, and a queue must not count 100,000 of them.
    items_total = models.PositiveIntegerField(help_text="Lines that were not empty")
    items_readable = models.PositiveIntegerField(help_text="Distinct lines that could be read")
    pasted_lines = models.PositiveIntegerField(
        null=True, help_text="Lines before those of the attached file; null where there was no file"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(help_text="When the decision is due by the category's clock")

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(items_readable__gte=1, items_readable__lte=models.F("items_total")),
                name="report_names_something",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class Item(models.Model):
    """One thing a report names, as a removal entry: its text as given, and the key made of it.

    An item that could not be read has outcome `invalid`, no key, and the reason in `note`.
    """

    id = models.BigAutoField(primary_key=True)
    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField(help_text="Line in the report, from 1")
    value = models.TextField(help_text="As the reporter wrote it; masked on every page")
    kind = models.CharField(
        max_length=20, blank=True, help_text="Key kind: url.c1.sha256, host.c1, content.md5 …"
    )
    key = models.BinaryField(null=True)
    target = models.CharField(max_length=10, choices=Target, default=Target.ROW)
    column = models.CharField(
        max_length=MOST_COLUMN, blank=True, help_text="Column of the cell that it names"
    )
    redacted = ArrayField(
        models.CharField(max_length=MOST_COLUMN),
        default=list,
        blank=True,
        help_text="With outcome redact: the columns that become null; none means the element that the key names",
    )
    outcome = models.CharField(max_length=12, choices=Outcome, default=Outcome.PENDING)
    note = models.CharField(max_length=500, blank=True, help_text="Why, shown to the reporter")

    class Meta:
        ordering = ["position"]
        # Whether a link may be fetched is asked by key, before every connection. By hash, for an id may be of any length.
        indexes = [HashIndex(fields=["key"], name="item_key")]
        constraints = [
            models.UniqueConstraint(fields=["report", "position"], name="item_position_once"),
            models.CheckConstraint(condition=models.Q(outcome__in=Outcome.values), name="item_outcome_known"),
            models.CheckConstraint(
                condition=models.Q(outcome="invalid") | models.Q(key__isnull=False) & ~models.Q(kind=""),
                name="item_readable_has_key",
            ),
            models.CheckConstraint(
                condition=models.Q(target="cell") & ~models.Q(column="")
                | ~models.Q(target="cell") & models.Q(target__in=Target.values, column=""),
                name="item_cell_names_column",
            ),
            # Nothing is redacted without saying what: a column, or the very element that the key names.
            models.CheckConstraint(
                condition=~models.Q(outcome="redact") | ~models.Q(redacted=[]) | models.Q(target="element"),
                name="item_redact_names_cells",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report.number}/{self.position}"

    @property
    def place(self) -> str:
        """Where its line stands, as the reporter counts: "line 3", and of what where a file was attached."""
        return line_place(self.position, self.report.pasted_lines)


def line_place(position: int, pasted_lines: int | None) -> str:
    """Name the line at a position of a report, of which so many lines were pasted before those of a file."""
    if pasted_lines is None:
        return f"line {position:,}"
    if position <= pasted_lines:
        return f"line {position:,} of the pasted text"
    return f"line {position - pasted_lines:,} of the file"
