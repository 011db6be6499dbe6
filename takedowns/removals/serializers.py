"""Advisories at the API, in the shape of OSV."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class PackageOut(serializers.Serializer[Any]):
    """A dataset, as OSV names a package."""

    ecosystem = serializers.CharField()
    name = serializers.CharField(help_text="The dataset's slug")


class AffectedVersionOut(serializers.Serializer[Any]):
    """Rows of one version."""

    version = serializers.CharField()
    rows = serializers.IntegerField()
    redacted_rows = serializers.IntegerField(help_text="Rows that stay, and of which cells go")
    fixed = serializers.CharField(
        allow_null=True, help_text="The clean release to use instead, once there is one"
    )


class AffectedSpecificOut(serializers.Serializer[Any]):
    """What OSV has no field for."""

    rows = serializers.IntegerField()
    redacted_rows = serializers.IntegerField(help_text="Rows that stay, and of which cells go")
    versions = AffectedVersionOut(many=True)


class AffectedOut(serializers.Serializer[Any]):
    """The affected versions of one dataset."""

    package = PackageOut()
    versions = serializers.ListField(child=serializers.CharField())
    database_specific = AffectedSpecificOut()


class AdvisorySpecificOut(serializers.Serializer[Any]):
    """What OSV has no field for."""

    category = serializers.CharField()
    rows = serializers.IntegerField()
    redacted_rows = serializers.IntegerField(help_text="Rows that stay, and of which cells go")


class AdvisoryOut(serializers.Serializer[Any]):
    """An advisory: which versions hold rows that must go, how many, and what to use instead."""

    schema_version = serializers.CharField()
    id = serializers.CharField()
    modified = serializers.DateTimeField()
    published = serializers.DateTimeField()
    withdrawn = serializers.DateTimeField(required=False, help_text="Only on an advisory that was withdrawn")
    summary = serializers.CharField()
    details = serializers.CharField()
    affected = AffectedOut(many=True)
    database_specific = AdvisorySpecificOut()
