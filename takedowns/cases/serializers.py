"""Cases at the API: what comes in, what goes out. Items are always masked."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from takedowns.cases.models import Case, Consequence, Decision, Location
from takedowns.cases.redacting import MOST_COLUMNS
from takedowns.cases.status import ReportStatus
from takedowns.reports.masking import kind_label, masked
from takedowns.reports.models import MOST_COLUMN, Item, Outcome


class ConsequenceOut(serializers.ModelSerializer[Consequence]):
    """Rows of one version that would go, or go."""

    dataset = serializers.CharField(source="version.dataset.slug")
    version = serializers.CharField(source="version.name")
    imported = serializers.SerializerMethodField(help_text="False for a release made of an imported version")

    class Meta:
        model = Consequence
        fields = ["dataset", "version", "imported", "shards", "rows", "redacted_rows"]

    def get_imported(self, consequence: Consequence) -> bool:
        """Releases have a base."""
        return consequence.version.base_id is None


class DecisionOut(serializers.ModelSerializer[Decision]):
    """A proposal, and what became of it."""

    proposer = serializers.CharField(source="proposer.username")
    approver = serializers.CharField(source="approver.username", allow_null=True, default=None)

    class Meta:
        model = Decision
        fields = [
            "id",
            "proposer",
            "proposed_at",
            "statement",
            "summary",
            "preview",
            "rows",
            "redacted_rows",
            "approver",
            "approved_at",
            "returned_at",
            "return_reason",
        ]


class CaseOut(serializers.ModelSerializer[Case]):
    """A case, one line of the queue."""

    dataset = serializers.CharField(source="dataset.slug")
    category = serializers.CharField(source="category_id")
    claimed_by = serializers.CharField(source="claimed_by.username", allow_null=True, default=None)
    items = serializers.IntegerField(help_text="Lines of all its reports")
    reports = serializers.IntegerField(source="report_count")
    rows = serializers.IntegerField(help_text="Distinct rows of imported versions that would go, or go")
    redacted_rows = serializers.IntegerField(
        help_text="Distinct rows of imported versions that stay, and of which cells would go, or go"
    )
    advisory = serializers.CharField(source="removal.advisory_id", allow_null=True, default=None)
    merged_into = serializers.CharField(source="merged_into.number", allow_null=True, default=None)

    class Meta:
        model = Case
        fields = [
            "number",
            "dataset",
            "category",
            "state",
            "claimed_by",
            "claimed_until",
            "items",
            "reports",
            "rows",
            "redacted_rows",
            "located_at",
            "created_at",
            "due_at",
            "decided_at",
            "closed_at",
            "advisory",
            "merged_into",
        ]


class CaseDetailOut(CaseOut):
    """A case with its consequence in rows and its newest decision."""

    report_numbers = serializers.SerializerMethodField()
    consequences = ConsequenceOut(many=True, source="consequence_list")
    decision = DecisionOut(allow_null=True, source="newest_decision")
    gaps = serializers.ListField(
        child=serializers.CharField(), help_text="Where items could not be looked up, and why"
    )

    redaction_gaps = serializers.ListField(
        child=serializers.CharField(),
        source="redaction_gap_list",
        help_text="Which versions lack a column that is to be redacted",
    )

    class Meta(CaseOut.Meta):
        fields = [
            *CaseOut.Meta.fields,
            "report_numbers",
            "gaps",
            "redaction_gaps",
            "consequences",
            "decision",
        ]

    def get_report_numbers(self, case: Case) -> list[str]:
        """Numbers of the reports that feed the case."""
        return list(case.reports.order_by("created_at").values_list("number", flat=True))


class ItemOut(serializers.ModelSerializer[Item]):
    """One item of a case, masked."""

    report = serializers.CharField(source="report.number")
    value = serializers.SerializerMethodField(
        "masked_value", help_text="Masked: host and the first digits of the key"
    )
    place = serializers.CharField(
        help_text="Where the line stands: line 3 of the pasted text, line 2 of the file"
    )
    kind = serializers.CharField(help_text="Key kind; empty where the line could not be read")
    rows = serializers.IntegerField(help_text="Rows located, each distinct shard counted once")
    shards = serializers.IntegerField(source="shard_count")

    class Meta:
        model = Item
        fields = [
            "id", "report", "position", "place", "kind", "value", "target", "column", "rows", "shards",
            "outcome", "redacted", "note",
        ]  # fmt: skip

    def masked_value(self, item: Item) -> str:
        """Mask the value."""
        return masked(item)


class LocationOut(serializers.ModelSerializer[Location]):
    """The rows of one shard that one item names."""

    item = serializers.IntegerField(source="item_id")
    report = serializers.CharField(source="item.report.number")
    position = serializers.IntegerField(source="item.position", help_text="Line of the item in its report")
    value = serializers.SerializerMethodField("masked_value", help_text="Masked")
    shard = serializers.CharField(source="shard_id", help_text="SHA-256")

    class Meta:
        model = Location
        fields = ["item", "report", "position", "value", "shard", "rows"]

    def masked_value(self, location: Location) -> str:
        """Mask the value."""
        return masked(location.item)


class ColumnsIn(serializers.ListField):
    """Names of columns, as the dataset has them."""

    child = serializers.CharField(max_length=MOST_COLUMN)

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, default=list, max_length=MOST_COLUMNS, **options)


class KeepIn(serializers.Serializer[Any]):
    """An item that is kept, with the reason."""

    item = serializers.IntegerField(min_value=1)
    note = serializers.CharField(max_length=500)


class ProposeIn(serializers.Serializer[Any]):
    """A proposal for the whole case."""

    statement = serializers.CharField(
        max_length=10_000, help_text="Statement of reasons, read by the reporter"
    )
    summary = serializers.CharField(max_length=2_000, help_text="Public summary for the advisory")
    default = serializers.ChoiceField(
        choices=[Outcome.REMOVE.value, Outcome.REDACT.value, Outcome.REJECT.value],
        default=Outcome.REMOVE.value,
        help_text="What becomes of located items that are not marked; those that name a cell are redacted with `remove`",
    )
    columns = ColumnsIn(help_text="With `redact`: the columns that become null")
    default_note = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    keep = KeepIn(many=True, required=False, help_text="Items to keep, each with its reason")


class ApproveIn(serializers.Serializer[Any]):
    """Approval of exactly what was shown."""

    preview = serializers.CharField(max_length=64, help_text="decision.preview of the case that was read")


class ReturnIn(serializers.Serializer[Any]):
    """Return of a proposal."""

    reason = serializers.CharField(max_length=2_000)


class MarkIn(serializers.Serializer[Any]):
    """Items to mark."""

    items = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=100_000
    )
    outcome = serializers.ChoiceField(
        choices=[Outcome.REJECT.value, Outcome.REDACT.value, Outcome.PENDING.value],
        help_text="reject: keep the rows; redact: they stay, some cells go; pending: take the mark off",
    )
    columns = ColumnsIn(
        help_text="With `redact`: the columns that become null; none where each item names its cell or element"
    )
    note = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class MergeIn(serializers.Serializer[Any]):
    """The case that goes on."""

    into = serializers.CharField(max_length=20)


class ReportStatusOut(serializers.Serializer[ReportStatus]):
    """Where a report stands, for its reporter."""

    number = serializers.CharField(source="report.number")
    dataset = serializers.CharField(source="report.dataset.slug")
    category = serializers.CharField(source="report.category_id")
    received_at = serializers.DateTimeField(source="report.created_at")
    due_at = serializers.DateTimeField(source="report.due_at")
    state = serializers.CharField()
    late = serializers.BooleanField()
    headline = serializers.CharField(help_text="The state in words")
    next = serializers.CharField(help_text="What happens next, and by when")
    decided_at = serializers.DateTimeField(allow_null=True)
    statement = serializers.CharField(help_text="Statement of reasons, once decided")
    advisory = serializers.CharField(help_text="Public record, once published")
    outcomes = serializers.SerializerMethodField(help_text="Number of items by outcome")

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_outcomes(self, status: ReportStatus) -> dict[str, int]:
        """Count items by outcome."""
        return {outcome.value: number for outcome, number in status.outcomes.items()}


class ReportItemOut(serializers.Serializer[Any]):
    """One item as its reporter sees it."""

    position = serializers.IntegerField()
    place = serializers.CharField(
        help_text="Where the line stands: line 3 of the pasted text, line 2 of the file"
    )
    target = serializers.CharField(help_text="row, cell or element")
    column = serializers.CharField(help_text="The column of a cell, else empty")
    redacted = serializers.SerializerMethodField(
        help_text="With outcome redact: the columns that become null"
    )
    kind = serializers.SerializerMethodField(help_text="Kind of key in words")
    value = serializers.SerializerMethodField("masked_value", help_text="Masked")
    outcome = serializers.CharField(source="shown_outcome")
    note = serializers.CharField(source="shown_note")

    def get_redacted(self, item: Any) -> list[str]:
        """What is redacted is known once two people stand behind it."""
        return list(item.redacted) if item.shown_outcome == Outcome.REDACT else []

    def get_kind(self, item: Item) -> str:
        """Name the kind."""
        return kind_label(item.kind)

    def masked_value(self, item: Item) -> str:
        """Mask the value."""
        return masked(item)
