"""Releases at the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from takedowns.releases.models import Form, Release


class ReleaseOut(serializers.ModelSerializer[Release]):
    """A release: what it was made of, what it leaves out, and how to verify it."""

    dataset = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    version = serializers.SlugRelatedField[Any](slug_field="name", read_only=True)
    base = serializers.SlugRelatedField[Any](slug_field="name", read_only=True)
    advisories = serializers.SerializerMethodField(
        help_text="Ids of the published advisories that it carries out"
    )

    class Meta:
        model = Release
        fields = [
            "dataset", "version", "base", "serial", "form", "state", "failure", "advisories",
            "rows_before", "rows_removed", "rows_after", "cells_redacted", "root", "public_keys",
            "created_at", "verified_at", "published_at",
        ]  # fmt: skip

    def get_advisories(self, release: Release) -> list[str]:
        """Removals without an id are not published."""
        return sorted(removal.advisory_id for removal in release.removals.all() if removal.advisory_id)


class ReleaseFileOut(serializers.Serializer[Any]):
    """A file of a release and where to download it."""

    path = serializers.CharField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    url = serializers.URLField()


class BuildIn(serializers.Serializer[Any]):
    """How to build a release."""

    form = serializers.ChoiceField(choices=Form.choices, default=Form.COMPACT.value)


class PublishIn(serializers.Serializer[Any]):
    """Which build to publish."""

    root = serializers.RegexField(  # type: ignore[assignment]  # a field of this name hides nothing that is used
        r"^[0-9a-f]{64}$",
        required=False,
        help_text="The root you looked at; refused when it was built anew since",
    )
