"""Filters of the lists, the same on the pages and at the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django_filters
from django.db.models import Q

from registry.datasets.models import Dataset, LineageEdge, LineageKind, Version, VersionStatus

if TYPE_CHECKING:
    from registry.datasets.models import DatasetQuerySet, LineageEdgeQuerySet


class DatasetFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By words in name or short name, and by organisation."""

    q = django_filters.CharFilter(method="filter_words", label="Part of the name")
    organisation = django_filters.CharFilter(
        field_name="organisation__slug", label="Organisation, by short name"
    )

    class Meta:
        model = Dataset
        fields = ["q", "organisation"]

    def filter_words(self, datasets: DatasetQuerySet, _name: str, words: str) -> DatasetQuerySet:
        """Keep the datasets whose name or short name holds the words."""
        return datasets.filter(Q(name__icontains=words) | Q(slug__icontains=words))


class VersionFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By status, and by the day the state was published."""

    status = django_filters.ChoiceFilter(choices=VersionStatus.choices)
    dated_after = django_filters.DateFilter(field_name="dated", lookup_expr="gte")
    dated_before = django_filters.DateFilter(field_name="dated", lookup_expr="lte")

    class Meta:
        model = Version
        fields = ["status", "dated_after", "dated_before"]


class LineageFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By either end's dataset or version id, and by kind."""

    kind = django_filters.ChoiceFilter(choices=LineageKind.choices)
    dataset = django_filters.CharFilter(method="filter_dataset", label="Dataset at either end, by short name")
    version = django_filters.UUIDFilter(method="filter_version", label="Version at either end, by id")

    class Meta:
        model = LineageEdge
        fields = ["kind", "dataset", "version"]

    def filter_dataset(self, edges: LineageEdgeQuerySet, _name: str, slug: str) -> LineageEdgeQuerySet:
        """Keep the edges with a version of the dataset at one end."""
        return edges.filter(Q(parent__dataset__slug=slug) | Q(child__dataset__slug=slug))

    def filter_version(self, edges: LineageEdgeQuerySet, _name: str, version_id: str) -> LineageEdgeQuerySet:
        """Keep the edges with the version at one end."""
        return edges.filter(Q(parent=version_id) | Q(child=version_id))
