"""Reports at the API: what comes in, what goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from registry.datasets.models import Dataset
from registry.lib.errors import Refused
from takedowns.reports.models import Category
from takedowns.reports.services import MAX_ITEMS, MAX_LINE
from takedowns.reports.upload import lines_of_file

if TYPE_CHECKING:
    from registry.datasets.models import Version


class ReportIn(serializers.Serializer[Any]):
    """A report: JSON with `items`, or multipart with `items`, a `file` with one a line, or both."""

    dataset = serializers.SlugField(help_text="The dataset's slug")
    versions = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, help_text="Names of versions, if known"
    )
    category = serializers.SlugField(help_text="The category's slug, such as opt_out")
    description = serializers.CharField(max_length=10_000, help_text="Why these rows should go")
    items = serializers.ListField(
        child=serializers.CharField(max_length=MAX_LINE, allow_blank=True),
        required=False,
        max_length=MAX_ITEMS,
        help_text=(
            "A URL, or host:…, domain:…, md5:…, sha256:…, id:…, each; cell:COLUMN or element: before it asks to redact "
            "the rows instead of removing them"
        ),
    )
    file = serializers.FileField(required=False, help_text="Text in UTF-8, an item a line")
    contact_name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    contact_email = serializers.EmailField(required=False, allow_blank=True)

    def validate_category(self, slug: str) -> Category:
        """Find the category."""
        category = Category.objects.filter(slug=slug).first()
        if category is None:
            known = ", ".join(Category.objects.filter(sensitivity="open").values_list("slug", flat=True))
            raise serializers.ValidationError(f"There is no category of this name. Known are: {known}.")
        return category

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Find the dataset and versions that the caller may see, and read the lines into `lines`, `file_lines`."""
        user = self.context["request"].user
        dataset = Dataset.objects.visible_to(user).filter(slug=attrs["dataset"]).first()
        if dataset is None:
            raise serializers.ValidationError({"dataset": "There is no dataset of this name."})
        names = set(attrs.get("versions", []))
        versions: list[Version] = list(dataset.versions.exclude(status="draft").filter(name__in=names))
        if missing := names - {version.name for version in versions}:
            raise serializers.ValidationError(
                {"versions": f"These are not versions of {dataset.slug}: {len(missing):,} of {len(names):,}."}
            )
        lines: list[str] = list(attrs.get("items", []))
        file_lines: list[str] | None = None
        if "file" in attrs:
            try:
                file_lines = lines_of_file(attrs["file"])
            except Refused as refused:
                raise serializers.ValidationError({"file": str(refused)}) from None
        if not any(line.strip() for line in [*lines, *(file_lines or ())]):
            raise serializers.ValidationError({"items": "Name at least one row, in `items` or in a `file`."})
        return attrs | {"dataset": dataset, "versions": versions, "lines": lines, "file_lines": file_lines}


class ReportOut(serializers.Serializer[Any]):
    """A report that was taken in. `secret` is shown this once; it opens the status."""

    number = serializers.CharField()
    secret = serializers.CharField(help_text="Send it as the header Report-Secret to read the status")
    status_url = serializers.CharField(help_text="The status page, by the secret")
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="When a decision is due")
    items_total = serializers.IntegerField()
    items_readable = serializers.IntegerField(help_text="Distinct items that could be read")


class CategoryOut(serializers.ModelSerializer[Category]):
    """A category of reports, its clock, and whether this site takes such reports."""

    accepted = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["slug", "label", "help", "sensitivity", "clock_hours", "accepted"]

    def get_accepted(self, category: Category) -> bool:
        """Only open categories are taken so far."""
        return category.sensitivity == "open"
