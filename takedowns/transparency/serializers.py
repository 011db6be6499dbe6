"""The figures of the transparency page at the API. Times are in seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


@extend_schema_field(OpenApiTypes.DOUBLE)
class SecondsField(serializers.Field[timedelta, float, float, timedelta]):
    """A timedelta in seconds."""

    def to_representation(self, value: timedelta) -> float:
        """Return seconds, to the millisecond."""
        return round(value.total_seconds(), 3)


class TimesOut(serializers.Serializer[Any]):
    """How long something took."""

    count = serializers.IntegerField(help_text="Over how many reports")
    median = SecondsField(allow_null=True, help_text="Seconds")
    p90 = SecondsField(allow_null=True, help_text="Seconds")


class FiguresOut(serializers.Serializer[Any]):
    """What came in and what became of it."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field of this name hides nothing that is used
    reports = serializers.IntegerField()
    items = serializers.IntegerField(help_text="Items that could be read")
    decided = serializers.IntegerField(help_text="Items decided")
    removed = serializers.IntegerField(help_text="Items decided to be removed")
    redacted = serializers.IntegerField(help_text="Items decided to be redacted: their rows stay")
    to_decision = TimesOut(help_text="From receipt to decision")
    to_publication = TimesOut(help_text="From decision to publication of the clean release")


class MonthOut(serializers.Serializer[Any]):
    """One month."""

    month = serializers.DateTimeField(format="%Y-%m")
    reports = serializers.IntegerField()
    decided = serializers.IntegerField(help_text="Reports decided")
    advisories = serializers.IntegerField(help_text="Advisories published")


class StatisticsOut(serializers.Serializer[Any]):
    """All figures, as of `at`."""

    at = serializers.DateTimeField()
    total = FiguresOut()
    categories = FiguresOut(many=True)
    other_reports = serializers.IntegerField(
        allow_null=True,
        help_text="Reports of categories that are not open; null while there are fewer than 5, or none",
    )
    advisories = serializers.IntegerField()
    releases = serializers.IntegerField()
    rows_removed = serializers.IntegerField(help_text="By the newest release of each base")
    cells_redacted = serializers.IntegerField(
        help_text="By the newest release of each base: cells made null and elements dropped, in rows that stay"
    )
    months = MonthOut(many=True)
