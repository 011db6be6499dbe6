"""Filters of the list of links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django_filters

from registry.links.models import PanelRow
from registry.links.outcomes import Outcome
from registry.links.selectors import SHOWN

if TYPE_CHECKING:
    from django.db.models import QuerySet


class PanelRowFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By state, by what the last check saw, by host, and by an opt-out."""

    state = django_filters.ChoiceFilter(
        field_name="link__state", choices=[(state.value, state.label) for state in SHOWN]
    )
    outcome = django_filters.ChoiceFilter(field_name="link__outcome", choices=Outcome.choices)
    host = django_filters.CharFilter(field_name="link__host__name", label="Host, in full")
    opted_out = django_filters.BooleanFilter(
        method="filter_opted_out", label="Its answer declares an opt-out"
    )

    class Meta:
        model = PanelRow
        fields = ["state", "outcome", "host", "opted_out"]

    def filter_opted_out(self, rows: QuerySet[PanelRow], _name: str, wanted: bool) -> QuerySet[PanelRow]:  # noqa: FBT001  -- django-filter's signature
        """Keep the links that declare an opt-out, or those that do not."""
        return rows.exclude(link__opt_outs=[]) if wanted else rows.filter(link__opt_outs=[])
