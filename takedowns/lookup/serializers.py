"""Search and query at the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry.datasets.serializers import AffectedOut


class MatchOut(serializers.Serializer[Any]):
    """One thing that was found."""

    kind = serializers.ChoiceField(choices=["dataset", "version", "advisory", "shard"])
    name = serializers.CharField()
    about = serializers.CharField()
    url = serializers.URLField()


class SearchOut(serializers.Serializer[Any]):
    """What was found for a query, at most 20 of each kind."""

    query = serializers.CharField()
    exact = MatchOut(allow_null=True, help_text="The one thing that is called precisely so")
    matches = MatchOut(many=True)


class QueryIn(serializers.Serializer[Any]):
    """A version by `dataset` and `version`, or anything by `sha256`."""

    dataset = serializers.CharField(required=False, max_length=50)
    version = serializers.CharField(required=False, max_length=100)
    sha256 = serializers.RegexField(
        r"^[0-9a-f]{64}$", required=False, help_text="Of a shard, or a version's or release's root"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take one question, whole."""
        named = "dataset" in attrs or "version" in attrs
        if ("sha256" in attrs) == named or (named and not ("dataset" in attrs and "version" in attrs)):
            raise serializers.ValidationError("Give `dataset` and `version`, or `sha256` alone.")
        return attrs


class QueryVersionOut(AffectedOut):
    """How one version stands."""

    dataset = serializers.CharField()
    version = serializers.CharField()
    status = serializers.CharField()
    rows = serializers.IntegerField()


class QueryOut(serializers.Serializer[Any]):
    """The answer; `affected` is null when nothing here is known by that name."""

    known = serializers.BooleanField()
    affected = serializers.BooleanField(allow_null=True)
    versions = QueryVersionOut(many=True)
